//! One guarded file: its descriptor and mapping, the size and extents that are durable, and its write-back.
//!
//! A store of another program to a hole, to an extent that was never written or to one that is shared with another
//! file makes the file system change which blocks the file has. That is in memory when the store is made, and durable
//! when the file system commits it: lines that were written back before are in no file after a reset. So before the
//! lines of a file are written back its extents are looked at, and if they are others than those that were there when
//! it was synced last, it is synced.
//!
//! A file that is cut can grow into the blocks that it had. File systems hand out a freed block again when it is durable
//! that it was freed. So the same extents can be in memory alone, and a reset leaves the cut file. A cut to nothing is
//! seen by its size. Any other takes a call, of which the [notices](super::notices) report.
//!
//! A file that the operating system writes back by pages is not mapped. Its descriptor is all that `fdatasync` needs. If
//! that fails once the pages are clean and not on the medium ([`Taint`](super::super::Taint)), and the next call
//! succeeds. So the failure stays with the file until it is empty.

#[cfg(all(
    test,
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        all(target_arch = "powerpc64", target_endian = "little"),
    ),
    not(miri)
))]
#[expect(clippy::unwrap_used, reason = "a file that cannot be made is a finding")]
mod tests;

use super::super::system::extents::{self, Extent};
use super::super::system::{files, map_pages};
use super::super::{DaxView, Error, ErrorKind, FaultHandler, Guarantee, Options, Writeback};
use crate::cache::Cache;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are written back between two looks at the pace.
const STRETCH: usize = 1 << 20;
/// The unit in which the system counts a file's blocks (stat(2), `st_blocks`).
const BLOCK: u64 = 512;

/// A file that a [`Guard`](super::Guard) writes back.
#[derive(Debug)]
pub(super) struct GuardedFile {
    path: PathBuf,
    held: Held,
    guarantee: Arc<Guarantee>,
    writeback: Writeback,
    /// The caches that write its lines back.
    cache: Option<Cache>,
    size: u64,
    device: u64,
    /// The size and the extents that it had when it was synced last; `None` if it was not yet, or was cut since.
    durable: Option<(u64, Vec<Extent>)>,
    /// The error number of the first failure to sync its pages.
    lost: Option<i32>,
    /// True if it had no name when it was written back last. The kernel gives a removed file no name again (Linux,
    /// `vfs_link`).
    was_removed: bool,
}

/// One descriptor, and the mapping if lines of it are written back.
#[derive(Debug)]
enum Held {
    Open(File),
    /// A view of a file that may have holes, so the promise of a view's write-back does not hold for it alone.
    Mapped(Box<DaxView>),
}

/// The written back bytes and lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) lines: u64,
}

impl GuardedFile {
    /// Takes an open regular file.
    pub(super) fn new(
        path: &Path,
        file: File,
        (device, size): (u64, u64),
        guarantee: Arc<Guarantee>,
        options: &Options,
    ) -> Result<Self, Error> {
        let writeback = options.method(path, &guarantee)?;
        let cache = match writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => Some(cache),
            Writeback::Pages => None,
        };
        let mut guarded = Self {
            path: path.to_path_buf(),
            held: Held::Open(file),
            guarantee,
            writeback,
            cache,
            size,
            device,
            durable: None,
            lost: None,
            was_removed: false,
        };
        // A file that cannot be mapped is refused at once.
        guarded.map(options)?;
        Ok(guarded)
    }

    /// Returns the path at which it was found.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its size in bytes when it was written back last, or was found, with its holes.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the guarantee of its medium for the bytes that a pass has written back, with reason and evidence.
    pub(super) fn guarantee(&self) -> &Guarantee {
        &self.guarantee
    }

    /// Returns the caches that write its lines back; `None` where the operating system does it by pages.
    pub(super) const fn cache(&self) -> Option<Cache> {
        self.cache
    }

    /// Returns the number of the device of its file system.
    pub(super) const fn device(&self) -> u64 {
        self.device
    }

    pub(super) const fn file(&self) -> &File {
        match &self.held {
            Held::Open(file) => file,
            Held::Mapped(view) => view.file(),
        }
    }

    /// Issues the write-back of all stored bytes, and has the file system make durable where they are. By lines a
    /// fence is owed. By pages nothing is to be done if its file system `is_synced` in this pass. Returns `None` for
    /// a file without bytes, and for a removed one that was written back after its removal: a reset takes nothing of
    /// these.
    ///
    /// `after` is called with the bytes of each stretch of lines.
    pub(super) fn write_back(
        &mut self,
        options: &Options,
        installed: FaultHandler,
        is_synced: bool,
        after: &mut impl FnMut(u64),
    ) -> Result<Option<Written>, Error> {
        let metadata = self.file().metadata().map_err(|error| self.failed("fstat", &error))?;
        self.size = metadata.size();
        let is_removed = metadata.nlink() == 0;
        if self.size == 0 || (is_removed && self.was_removed) {
            self.doubt();
            self.lost = None;
            return Ok(None);
        }
        let written = if let Some(cache) = self.cache {
            self.write_back_lines(options, installed, cache, after)?
        } else {
            self.sync_pages(is_synced)?;
            let bytes = self.size.min(metadata.blocks().saturating_mul(BLOCK));
            Some(Written { bytes, lines: 0 })
        };
        self.was_removed = is_removed;
        Ok(written)
    }

    fn write_back_lines(
        &mut self,
        options: &Options,
        installed: FaultHandler,
        cache: Cache,
        after: &mut impl FnMut(u64),
    ) -> Result<Option<Written>, Error> {
        self.map(options)?;
        if self.settle()? {
            self.map_pages();
        }
        let Held::Mapped(view) = &self.held else { return Ok(None) };
        let extents = self.extents();
        write_lines(view, extents, cache, installed, after).map(Some)
    }

    /// Returns the error number of the first failure to sync its pages, which every later sync reports until it is empty.
    pub(super) const fn lost(&self) -> Option<i32> {
        self.lost
    }

    /// Takes the failure that another descriptor of the file has reported: the kernel may not report it to this one.
    pub(super) fn take_failure(&mut self, lost: Option<i32>) {
        self.lost = self.lost.or(lost);
    }

    /// Has the next pass sync it, whatever its extents are then.
    pub(super) fn doubt(&mut self) {
        self.durable = None;
    }

    /// Maps all of a file that is written back by lines.
    fn map(&mut self, options: &Options) -> Result<(), Error> {
        let size = self.size;
        if self.cache.is_none() || size == 0 {
            return Ok(());
        }
        match &mut self.held {
            Held::Mapped(view) if view.len() == size => {}
            Held::Mapped(view) => options.map_anew(view, size)?,
            Held::Open(file) => {
                let file = file.try_clone().map_err(|error| Error::opening(&self.path, &error))?;
                let chosen = (Guarantee::clone(&self.guarantee), self.writeback);
                let view = options.view_open(&self.path, file, size, chosen)?;
                self.held = Held::Mapped(Box::new(view));
            }
        }
        Ok(())
    }

    /// Has the size and the extents made durable, if they are not those that are. Returns true if they have changed. A
    /// file that grows within its last block keeps its extents.
    fn settle(&mut self) -> Result<bool, Error> {
        let now = extents::now(self.file(), self.size)
            .map_err(|errno| self.failed("FIEMAP", &errno.into()))?;
        let now = (self.size, now);
        let has_changed = self.durable.as_ref() != Some(&now);
        if has_changed {
            // Later stores can add to them, and are for the next pass.
            self.sync()?;
            self.durable = Some(now);
        }
        Ok(has_changed)
    }

    /// Makes the pages of the durable extents accessible, by one call for each extent. A write-back of any other page
    /// costs a page fault of its own.
    fn map_pages(&self) {
        let Held::Mapped(view) = &self.held else { return };
        for part in self.extents().iter().filter_map(|extent| stored(extent, view.len())) {
            map_pages(&view.mapping, view.mapping.checked_range(&part));
        }
    }

    /// Returns the durable extents.
    fn extents(&self) -> &[Extent] {
        self.durable.as_ref().map_or(&[], |(_, extents)| extents)
    }

    fn sync(&self) -> Result<(), Error> {
        self.file().sync_data().map_err(|error| self.not_synced(&error))
    }

    /// Syncs a file that is written back by pages, if its file system was not synced. An error is returned from then on.
    fn sync_pages(&mut self, is_synced: bool) -> Result<(), Error> {
        let synced = if is_synced { Ok(()) } else { self.file().sync_data() };
        if let Err(error) = synced {
            self.lost.get_or_insert(files::number(&error));
        }
        match self.lost {
            None => Ok(()),
            Some(number) => Err(self.not_synced(&io::Error::from_raw_os_error(number))),
        }
    }

    #[cold]
    fn not_synced(&self, error: &io::Error) -> Error {
        Error::writeback(&self.path, &(0..self.size), error)
    }

    #[cold]
    fn failed(&self, call: &'static str, error: &io::Error) -> Error {
        Error::os(&self.path, call, error)
    }
}

/// For the tests of this module and of those that use it.
#[cfg(all(
    test,
    any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        all(target_arch = "powerpc64", target_endian = "little"),
    ),
    not(miri)
))]
impl GuardedFile {
    /// Returns true if the last pass has found it durable, and nothing was heard since.
    pub(super) const fn is_durable(&self) -> bool {
        self.durable.is_some()
    }

    /// Has its lines written back, on whichever medium it is.
    pub(super) const fn take_lines(&mut self, cache: Cache) {
        self.cache = Some(cache);
    }
}

/// Issues the write-back of the parts that something was stored to, ever. `after` is called with the bytes of each
/// stretch.
///
/// Each stretch is guarded by itself. A page that is missing costs a signal and a mapping, so a file that was cut is
/// left at the first stretch with such a page: nothing of it is left after that. A stretch with another error is tried again,
/// as the file can have been cut and have grown again meanwhile. The stretches after it are written back in any case.
fn write_lines(
    view: &DaxView,
    extents: &[Extent],
    cache: Cache,
    installed: FaultHandler,
    after: &mut impl FnMut(u64),
) -> Result<Written, Error> {
    let mut written = Written::default();
    let mut failed = Ok(());
    for stretch in extents.iter().flat_map(|extent| stretches(extent, view.len())) {
        let write = || view.catch_faults(installed, |view| view.writeback_lines(&stretch, cache));
        match write().or_else(|first| if is_cut(&first) { Err(first) } else { write() }) {
            Ok(()) => {}
            Err(error) if is_cut(&error) => break,
            Err(error) => failed = failed.and(Err(error)),
        }
        let bytes = stretch.end - stretch.start;
        written.bytes += bytes;
        // The stretch begins with a block, and a block begins with a line.
        written.lines += bytes.div_ceil(cache.line_size() as u64);
        after(bytes);
    }
    failed.map(|()| written)
}

/// Returns true if the file ends before the page of a fault.
const fn is_cut(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Shorter { .. })
}

/// Returns the stretches of an extent that something may have been stored to, within `len` bytes.
fn stretches(extent: &Extent, len: u64) -> impl Iterator<Item = Range<u64>> {
    let part = stored(extent, len).unwrap_or_default();
    let end = part.end;
    part.step_by(STRETCH).map(move |start| start..(start + STRETCH as u64).min(end))
}

/// Returns the part of an extent that may have been stored to, within `len` bytes.
fn stored(extent: &Extent, len: u64) -> Option<Range<u64>> {
    let part = extent.logical..extent.logical.saturating_add(extent.length).min(len);
    (extent.is_written() && !part.is_empty()).then_some(part)
}
