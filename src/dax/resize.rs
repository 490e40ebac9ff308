//! Files that get longer or shorter while they are mapped.
//!
//! | step | growing | shrinking |
//! |---|---|---|
//! | 1 | space is reserved; the file keeps its length | the part that stays is mapped anew |
//! | 2 | the length changes, at once | the length changes, at once (OpenBSD: the last page is written back first) |
//! | 3 | zeros are written over the new bytes | |
//! | 4 | the file is synced | the file is synced |
//! | 5 | all of it is mapped anew, the old mapping ends | the old mapping ends |
//!
//! No byte can be accessed whose block is not durable. A mapping by cache lines relies on that.
//!
//! | a crash of a growth after step | leaves |
//! |---|---|
//! | 1 | the old length; space after the end stays reserved until the file grows, shrinks or is removed |
//! | 2 | the old length or the new one; the new bytes read as zeros and are not written |
//! | 3 | the same; a part of the new bytes is written |
//! | 4, 5 | the new length, with written zeros |
//!
//! After steps 2 and 3 the next opening under the exclusive lock finishes the file (`system/linux/written.rs`).

use super::error::{Error, ErrorKind};
use super::invalid_input::InvalidInput;
use super::lock::Lock;
use super::mapping::Mapping;
use super::system::{Access, Host, Mappable, Mapper, Plan, files};
use super::{DaxFile, DaxView, NotSupported, file};
use core::mem;
use core::ops::Range;

impl DaxFile {
    /// Maps more of the file, which is made longer for it if need be: `len` is the new length of the
    /// mapping in bytes.
    ///
    /// Bytes that the file has there already are shown as they are, and are synced like those at
    /// [`Options::open`]. Missing ones are zeros, and they and the new length are on the medium when this returns.
    ///
    /// Several processes without locks must not make the file longer at the same time, nor open it meanwhile. One could
    /// overwrite with zeros the new bytes that another has stored and persisted. It could also cut them off (SIGBUS), if it
    /// fails or asks for fewer. One of them makes the file longer, and the others then map the new bytes by this call.
    ///
    /// The mapping may move, which makes addresses from [`as_ptr`](Self::as_ptr) invalid. Its offset in the file stays
    /// the same, and so do all stored bytes, persistent or not.
    ///
    /// # Crashes
    /// A crash meanwhile leaves the old length or the new one, and every byte that was durable. The new bytes read as
    /// zeros. They may not be written: then the file is unfinished. By pages it is opened all the same. By lines or
    /// finer it is finished by the next [`Options::open`] under the exclusive lock, or by this call under that lock.
    /// Until then any other opening is refused with [`ErrorKind::Unfinished`], also while the growth is under way.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`]. [`ErrorKind::TooLarge`], also for the limit of the process (`ulimit -f`), without its
    /// signal. [`InvalidInput::NoGrowth`] for less than the mapped length. [`InvalidInput::SharedLock`] if the file
    /// would have to be made longer under a shared lock. [`ErrorKind::Shorter`] if it has shrunk below its mapping.
    /// [`NotSupported::FixedSize`] of device DAX. [`NotSupported::Adopted`] of a mapping that its owner alone may
    /// change, [`NotSupported::ForkedChild`] in a child of the process that opened the file. The errors of mapping at
    /// [`Options::open`]. File and mapping are as they were then. If a sync fails ([`ErrorKind::Os`], or
    /// [`ErrorKind::NoSpace`] on a network file system), stored bytes may be lost. So [`taint`](super::DaxView::taint) and
    /// later write-backs by pages report it.
    ///
    /// On Windows a file that is mapped cannot be made shorter. So the file can be longer after an error, by bytes that read
    /// as zeros. The next call maps them.
    ///
    /// # Cost
    /// Writes the new bytes and syncs the file. Under Linux the extents of all of it are looked at again
    /// where it is persisted by cache lines.
    ///
    /// [`Options::open`]: super::Options::open
    #[doc(alias("resize", "extend", "truncate", "mremap"))]
    pub fn grow(&mut self, len: u64) -> Result<(), Error> {
        self.grow_on::<Host>(len)
    }

    /// Cuts off the end of the file and of its mapping: `len` is the new length of the mapping in bytes.
    /// The new length is on the medium when this returns.
    ///
    /// The mapping may move, as with [`grow`](Self::grow). Other processes, which only a lock keeps away, and views may
    /// still map the part that is cut off. Their next access to it raises a signal (SIGBUS), which ends the process.
    ///
    /// # Crashes
    /// A crash meanwhile leaves the old length or the new one.
    ///
    /// # Errors
    /// [`InvalidInput::NoShrinking`] for more than the mapped length; [`InvalidInput::ZeroLength`].
    /// [`InvalidInput::Longer`] if the file continues after the mapping, as it can with
    /// [`Options::len`](super::Options::len): the call would cut off bytes that the caller does not see.
    /// [`InvalidInput::SharedLock`] under a shared lock. [`NotSupported::FixedSize`] of device DAX.
    /// [`NotSupported::Adopted`] of a mapping that its owner alone may change. [`NotSupported::ForkedChild`] in a child of
    /// the process that opened the file. File and mapping are as they were then.
    ///
    /// If the last sync fails ([`ErrorKind::Os`]), both are short, and a crash may leave the old length. A failure can be about
    /// stored bytes, so [`taint`](super::DaxView::taint) and later write-backs by pages report it.
    ///
    /// On Windows a file that is mapped cannot be made shorter, so this is the system's error there.
    #[doc(alias("resize", "truncate"))]
    pub fn shrink(&mut self, len: u64) -> Result<(), Error> {
        self.shrink_on::<Host>(len)
    }

    pub(super) fn grow_on<M: Mapper>(&mut self, len: u64) -> Result<(), Error> {
        let mapped = self.view.len();
        if len < mapped {
            return Err(
                self.error(ErrorKind::InvalidInput(InvalidInput::NoGrowth { mapped, asked: len }))
            );
        }
        let plan = self.plan(len)?;
        let (old, new) = (self.size_of_file()?, self.view.offset + len);
        let DaxView { path, file, .. } = &self.view;
        let durable = if new > old {
            self.require_no_sharers()?;
            file::extend::<M>(path, file, old..new, || self.sync_growth(&(old..new)))
        } else {
            // Nothing has made the blocks and the length durable that another program, or this one by calls, gave the file.
            self.sync()
        };
        let mapped = durable.and_then(|()| {
            M::map(path, file, &plan).inspect_err(|error| self.view.note_failed_sync(error))
        });
        let mapping = mapped.inspect_err(|_error| self.restore::<M>(old, new))?;
        self.replace(mapping);
        Ok(())
    }

    pub(super) fn shrink_on<M: Mapper>(&mut self, len: u64) -> Result<(), Error> {
        let mapped = self.view.len();
        if len > mapped {
            return Err(self
                .error(ErrorKind::InvalidInput(InvalidInput::NoShrinking { mapped, asked: len })));
        }
        let plan = self.plan(len)?;
        let (size, end) = (self.size_of_file()?, self.view.offset + mapped);
        if size > end {
            return Err(self.error(ErrorKind::InvalidInput(InvalidInput::Longer { size, end })));
        }
        self.require_no_sharers()?;
        self.persist_cut_page::<M>(len)?;
        let DaxView { path, file, .. } = &self.view;
        let mapping =
            M::map(path, file, &plan).inspect_err(|error| self.view.note_failed_sync(error))?;
        file.set_len(self.view.offset + len)
            .map_err(|error| Error::os(path, files::SET_LEN, &error))?;
        self.replace(mapping);
        // A failure is that of the new mapping.
        self.sync()
    }

    /// Gives the file that was made longer its old length back.
    fn restore<M: Mapper>(&self, old: u64, new: u64) {
        if new > old {
            // The error that led here is the one to report, and a failed write-back is noted.
            drop(self.persist_cut_page::<M>(old.saturating_sub(self.view.offset)));
        }
        file::restore(&self.view.file, old, new);
    }

    /// Writes back the mapped page in which the file is about to end, where the system loses its stores otherwise.
    fn persist_cut_page<M: Mapper>(&self, len: u64) -> Result<(), Error> {
        if M::KEEPS_CUT_PAGES {
            return Ok(());
        }
        let end = len.min(self.view.len());
        let start = len - len % files::page_size() as u64;
        self.view.persist(start.min(end)..end)
    }

    fn sync(&self) -> Result<(), Error> {
        let DaxView { path, .. } = &self.view;
        self.view.sync_file().map_err(|error| Error::os(path, files::SYNC, &error))
    }

    /// Syncs the file after it was made longer by a range: a network file system may find only now that it is full.
    fn sync_growth(&self, range: &Range<u64>) -> Result<(), Error> {
        let DaxView { path, .. } = &self.view;
        self.view.sync_file().map_err(|error| {
            let written = file::writing(path, range, &error);
            let is_full = matches!(written.kind(), ErrorKind::NoSpace { .. });
            if is_full { written } else { Error::os(path, files::SYNC, &error) }
        })
    }

    /// Replaces the mapping before the old one ends. A child that another thread forks meanwhile has a copy of the file, and
    /// drops it: an assignment would leave a mapping there whose memory is released already.
    fn replace(&mut self, mapping: Mapping) {
        drop(mem::replace(&mut self.view.mapping, mapping));
    }

    /// Returns the same part of the file with another length.
    fn plan(&self, len: u64) -> Result<Plan, Error> {
        // The new mapping would hide a failure of the old one.
        self.view.check()?;
        if self.view.guarantee.is_device_dax {
            return Err(self.error(ErrorKind::NotSupported(NotSupported::FixedSize)));
        }
        let DaxView { offset, writeback, populate, .. } = self.view;
        let overflow =
            || self.error(ErrorKind::InvalidInput(InvalidInput::Overflow { offset, len }));
        let end = offset.checked_add(len).ok_or_else(overflow)?;
        file::check_new_len(&self.view.path, end)?;
        let mappable =
            Mappable { alignment: self.view.guarantee.alignment, ..Mappable::of_bytes(end) };
        let len = file::mapped_len(mappable, offset, Some(len)).map_err(|kind| self.error(kind))?;
        Ok(Plan {
            offset,
            len,
            access: Access::ReadAndWrite,
            writeback,
            populate,
            takes_unwritten: false,
            finishes: self.view.lock() == Lock::Exclusive,
        })
    }

    /// Returns the length of the file, which is at least that of its mapping.
    fn size_of_file(&self) -> Result<u64, Error> {
        let DaxView { path, file, offset, .. } = &self.view;
        let metadata = file.metadata().map_err(|error| Error::os(path, files::METADATA, &error))?;
        let (size, needed) = (metadata.len(), offset + self.view.len());
        if size < needed {
            return Err(self.error(ErrorKind::Shorter { size, needed }));
        }
        Ok(size)
    }

    /// Refuses a shared lock: two processes that make a file longer would write their zeros over each other's bytes.
    fn require_no_sharers(&self) -> Result<(), Error> {
        match self.view.lock() {
            Lock::Shared => Err(self.error(ErrorKind::InvalidInput(InvalidInput::SharedLock))),
            Lock::Exclusive | Lock::None => Ok(()),
        }
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(&self.view.path, kind)
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::super::mapping::Mapping;
    use super::super::system::{Host, Mapper, Plan, files};
    use super::super::{DaxFile, Error, ErrorKind, Guarantee, Options};
    use crate::cache::Cache;
    use alloc::vec;
    use core::ops::Range;
    use std::fs::{self, File};
    use std::io;
    use std::path::Path;
    #[cfg(target_os = "linux")]
    use {
        super::file,
        crate::killed::note_system_calls,
        rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    };

    const OLD: u64 = 8 << 10;
    const NEW: u64 = 64 << 10;

    /// The system, but that a step fails, or looks what the ones before it have left.
    struct With<const WHAT: char>;

    const NO_ROOM: char = 'r';
    const NO_MAPPING: char = 'm';
    const ORDER: char = 'o';
    const NAMED: char = 'n';
    const CUT: char = 'c';
    const CUT_UNMAPPED: char = 'u';

    fn len(file: &File) -> u64 {
        file.metadata().unwrap().len()
    }

    impl<const WHAT: char> Mapper for With<WHAT> {
        const PERSISTS_VIEWS: bool = Host::PERSISTS_VIEWS;
        const NAMES_FIRST: bool = WHAT == NAMED;
        const KEEPS_CUT_PAGES: bool = !matches!(WHAT, CUT | CUT_UNMAPPED);

        fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error> {
            Host::guarantee(path, file, cache)
        }

        fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error> {
            Host::guarantee_in(directory, cache)
        }

        fn reserve(file: &File, range: Range<u64>) -> io::Result<()> {
            if WHAT == NO_ROOM {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Host::reserve(file, range.clone())?;
            if WHAT == ORDER {
                assert_eq!(range, OLD..NEW);
                assert_eq!(len(file), OLD, "room is found before the length changes");
            }
            Ok(())
        }

        fn map(path: &Path, file: &File, plan: &Plan) -> Result<Mapping, Error> {
            if matches!(WHAT, NO_MAPPING | CUT_UNMAPPED) {
                return Err(Error::os(path, "mmap", &io::ErrorKind::OutOfMemory.into()));
            }
            if WHAT == ORDER {
                // Grown before it is mapped; cut off after what stays is.
                assert_eq!(len(file), NEW);
            }
            Host::map(path, file, plan)
        }
    }

    /// Returns a file of memory whose length cannot be restored after a failure.
    #[cfg(target_os = "linux")]
    fn unshrinkable(len: u64, seals: SealFlags) -> File {
        let memfd = File::from(memfd_create(c"file", MemfdFlags::ALLOW_SEALING).unwrap());
        memfd.set_len(len).unwrap();
        fcntl_add_seals(&memfd, seals | SealFlags::SHRINK).unwrap();
        memfd
    }

    /// As on Windows, where another process could have stored to bytes whose zeros are still to be written.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_new_file_that_others_can_open_is_not_longer_than_its_written_zeros() {
        let new = unshrinkable(0, SealFlags::WRITE);
        let error = file::extend::<With<NAMED>>(Path::new("new"), &new, 0..NEW, || Ok(()));
        let error = error.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Os { call: "write", .. }), "{error}");
        assert_eq!(len(&new), 0);
    }

    /// As on Windows, where a mapped file cannot be made shorter.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_failed_grow_that_cannot_restore_the_length_leaves_zeros_for_the_next_one() {
        let memfd = unshrinkable(OLD, SealFlags::empty());
        let mut file = Options::new().allow_page_granularity().open_file(memfd).unwrap();
        file.write(OLD - 8, b"the end.");

        let error = file.grow_on::<With<NO_MAPPING>>(NEW).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Os { call: "mmap", .. }), "{error}");
        assert_eq!((file.len(), len(file.file())), (OLD, NEW));
        file.grow(NEW).unwrap();
        let mut mapped = vec![1; 64 << 10];
        file.read(0, &mut mapped).unwrap();
        let (old, new) = mapped.split_at(8 << 10);
        assert!(old.ends_with(b"\0the end.") && new.iter().all(|byte| *byte == 0));
        file.persist(0..NEW).unwrap();
    }

    fn create(path: &Path) -> DaxFile {
        let file = Options::new().allow_page_granularity().create_new(path, OLD).unwrap();
        file.write(OLD - 8, b"the end.");
        file
    }

    /// Returns false if the file is written back by lines, which no system that loses stores of a cut page can do.
    fn is_by_pages(file: &DaxFile, test: &str) -> bool {
        let is_by_pages = file.view.cache().is_none();
        if !is_by_pages {
            crate::skip::skip(test, "files here are written back by lines");
        }
        is_by_pages
    }

    /// As on OpenBSD.
    #[test]
    fn a_file_is_not_cut_in_a_page_whose_stores_would_be_lost() {
        let directory = tempfile::tempdir().unwrap();
        let page = files::page_size() as u64;
        let options = Options::new().allow_page_granularity();
        let mut file = options.create_new(directory.path().join("file"), 3 * page).unwrap();
        if !is_by_pages(&file, "a_file_is_not_cut_in_a_page_whose_stores_would_be_lost") {
            return;
        }
        file.view.fail(5);
        let error = file.shrink_on::<With<CUT>>(page + 100).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Writeback { errno: 5, .. }), "{error}");
        assert_eq!((file.len(), len(file.file())), (3 * page, 3 * page));
    }

    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    const SET_LEN: core::ffi::c_long = libc::SYS_ftruncate;
    #[cfg(all(target_os = "linux", target_pointer_width = "32"))]
    const SET_LEN: core::ffi::c_long = libc::SYS_ftruncate64;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_page_whose_stores_would_be_lost_is_written_back_before_the_length_is_restored() {
        let test =
            "a_page_whose_stores_would_be_lost_is_written_back_before_the_length_is_restored";
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let page = files::page_size();
        let probe =
            Options::new().allow_page_granularity().create_new(directory.path().join("probe"), 1);
        if !is_by_pages(&probe.unwrap(), test) {
            return;
        }
        let (in_a_page, at_its_end) = ([SET_LEN, libc::SYS_msync, SET_LEN], [SET_LEN, SET_LEN]);
        for (cut, expected) in [(100, &in_a_page[..]), (page, &at_its_end)] {
            fs::write(&path, vec![1; cut]).unwrap();
            let act = || {
                let mut file = Options::new().allow_page_granularity().open(&path)?;
                drop(file.grow_on::<With<CUT_UNMAPPED>>(2 * NEW));
                Ok::<_, Error>(())
            };
            let mut calls = vec![];
            if !note_system_calls(test, act, |call| calls.push(call.number)) {
                return;
            }
            assert_eq!(fs::metadata(&path).unwrap().len(), cut as u64);
            calls.retain(|number| [libc::SYS_msync, SET_LEN].contains(number));
            assert_eq!(calls, expected);
        }
    }

    fn assert_as_it_was(path: &Path, file: &DaxFile) {
        let mut expected = vec![0; 8 << 10];
        expected[(8 << 10) - 8..].copy_from_slice(b"the end.");
        assert!(fs::read(path).unwrap() == expected, "the file");
        let mut mapped = vec![1; 8 << 10];
        assert_eq!(file.len(), OLD);
        file.read(0, &mut mapped).unwrap();
        assert!(mapped == expected, "the mapping");
    }

    #[test]
    fn a_failed_grow_or_shrink_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut file = create(&path);

        let error = file.grow_on::<With<NO_ROOM>>(NEW).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NoSpace { len } if *len == NEW - OLD), "{error}");
        assert_as_it_was(&path, &file);
        let error = file.grow_on::<With<NO_MAPPING>>(NEW).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Os { call: "mmap", .. }), "{error}");
        assert_as_it_was(&path, &file);
        let error = file.shrink_on::<With<NO_MAPPING>>(100).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Os { call: "mmap", .. }), "{error}");
        assert_as_it_was(&path, &file);
    }

    #[test]
    fn the_length_changes_when_there_is_room_and_before_the_bytes_are_mapped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut file = create(&path);
        file.grow_on::<With<ORDER>>(NEW).unwrap();
        assert_eq!((file.len(), len(file.file())), (NEW, NEW));
        file.shrink_on::<With<ORDER>>(OLD).unwrap();
        assert_eq!((file.len(), len(file.file())), (OLD, OLD));
        assert_as_it_was(&path, &file);
    }
}
