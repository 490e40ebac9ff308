//! The demand of persistence by lines on a file: a written block of its own for each byte.
//!
//! A growth makes a file longer before it writes its zeros, so that a crash can leave an end that is longer and not
//! written. It reads as zeros. The next opening that excludes all others has the file system write them.

use super::{Linux, extents, mapping};
use crate::dax::error::{Error, ErrorKind};
use crate::dax::system::{Access, Mapper, Plan, files};
use crate::dax::{Writeback, file};
use alloc::vec::Vec;
use core::ops::Range;
use extents::{Extent, Unwritten};
use mapping::Unpopulated;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

/// The length of the part that is mapped at once, in bytes: a multiple of every page, and little for a 32-bit CPU.
const CHUNK: usize = 64 << 20;

/// The end of a file, from after the last byte that can be data.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    range: Range<u64>,
    /// The number of its bytes that have no block.
    holes: u64,
}

impl End {
    /// An extent of any other kind than an unwritten one can have data.
    fn of(extents: &[Extent], size: u64) -> Self {
        let end_of = |extent: &Extent| extent.logical.saturating_add(extent.length).min(size);
        let start = extents.iter().filter(|extent| extent.is_written()).map(end_of).max();
        let start = start.unwrap_or(0);
        let blocks = |extent| end_of(extent).saturating_sub(extent.logical.max(start));
        let allocated = extents.iter().map(blocks).fold(0, u64::saturating_add);
        Self { range: start..size, holes: (size - start).saturating_sub(allocated) }
    }
}

/// Refuses a mapping in which a store could still need the file system. If only the end of the file is unwritten, and
/// the plan says so, the end is finished.
pub(super) fn require(path: &Path, file: &File, plan: &Plan) -> Result<(), Error> {
    let Some(found) = first_unwritten(path, file, plan)? else { return Ok(()) };
    let end = end(path, file)?;
    if found.at < end.range.start {
        return Err(refusal(path, &found));
    }
    if !plan.finishes {
        return Err(Error::new(path, ErrorKind::Unfinished { at: end.range.start }));
    }
    require_space(path, file, end.holes)?;
    finish(path, file, &end.range)?;
    match first_unwritten(path, file, plan)? {
        None => Ok(()),
        Some(found) => Err(refusal(path, &found)),
    }
}

fn first_unwritten(path: &Path, file: &File, plan: &Plan) -> Result<Option<Unwritten>, Error> {
    extents::first_unwritten(file, plan.offset, plan.len as u64)
        .map_err(|errno| unknown(path, errno))
}

fn refusal(path: &Path, found: &Unwritten) -> Error {
    Error::new(path, ErrorKind::NotAllocated { at: found.at, what: found.what })
}

fn unknown(path: &Path, errno: Errno) -> Error {
    Error::os(path, "FIEMAP", &errno.into())
}

fn end(path: &Path, file: &File) -> Result<End, Error> {
    let metadata = file.metadata().map_err(|error| Error::os(path, files::METADATA, &error))?;
    let (size, mut extents) = (metadata.len(), Vec::new());
    extents::for_each(file, 0, size, |extent| extents.push(*extent))
        .map_err(|errno| unknown(path, errno))?;
    Ok(End::of(&extents, size))
}

/// Refuses to fill holes for which there is no space. A reservation that fails keeps what it has got so far.
fn require_space(path: &Path, file: &File, holes: u64) -> Result<(), Error> {
    let status =
        rustix::fs::fstatvfs(file).map_err(|errno| Error::os(path, "fstatvfs", &errno.into()))?;
    if holes > status.f_frsize.saturating_mul(status.f_bavail) {
        return Err(Error::new(path, ErrorKind::NoSpace { len: holes }));
    }
    Ok(())
}

/// Has the file system write zeros where nothing is written, durably. Bytes that are written stay, also those that a
/// program without the lock stores meanwhile: a page fault changes no byte, and a write of zeros would.
fn finish(path: &Path, file: &File, range: &Range<u64>) -> Result<(), Error> {
    Linux::reserve(file, range.clone()).map_err(|error| file::writing(path, range, &error))?;
    let first = range.start - range.start % rustix::param::page_size() as u64;
    for at in (first..range.end).step_by(CHUNK) {
        let len = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
        fault_in(path, file, at, len, range.start)?;
    }
    file.sync_all().map_err(|error| Error::os(path, files::SYNC, &error))
}

/// Makes a part of the file accessible for writing, without `MAP_SYNC`: with it each page fault would commit the file
/// system's journal.
fn fault_in(
    path: &Path,
    file: &File,
    offset: u64,
    len: usize,
    unwritten: u64,
) -> Result<(), Error> {
    let plan = Plan {
        offset,
        len,
        access: Access::ReadAndWrite,
        writeback: Writeback::Pages,
        populate: false,
        takes_unwritten: true,
        finishes: false,
    };
    let mapping = mapping::new(file.as_fd(), &plan, rustix::param::page_size() as u64, None)
        .map_err(|errno| Error::os(path, "mmap", &errno.into()))?;
    mapping::populate(&mapping, plan.access).map_err(|why| match why {
        Unpopulated::Unknown => Error::new(path, ErrorKind::Unfinished { at: unwritten }),
        Unpopulated::At { errno, .. } => Error::os(path, "madvise", &errno.into()),
    })
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::extents;
    use super::{End, Extent, finish, require};
    use crate::cache::Cache;
    use crate::dax::mapping::Mapping;
    use crate::dax::system::{Host, Mapper, Plan};
    use crate::dax::{DaxFile, Error, ErrorKind, Guarantee, Lock, Options, Writeback};
    use crate::killed::at_each_system_call;
    use crate::medium::{Granularity, Readable};
    use crate::skip::skip;
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::ops::Range;
    use rustix::fs::FallocateFlags;
    use std::fs::{self, File};
    use std::io;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::path::{Path, PathBuf};
    use tempfile::TempDir;

    /// A multiple of the block size of every file system in use, and of every page.
    const BLOCK: u64 = 64 << 10;

    /// The system, except that files of any file system count as persisted by lines. So their blocks are looked at as
    /// on DAX. They are mapped as the file system can.
    struct ByLines;

    impl Mapper for ByLines {
        const PERSISTS_VIEWS: bool = true;

        fn guarantee(path: &Path, file: &File, cache: Option<Cache>) -> Result<Guarantee, Error> {
            let found = Host::guarantee(path, file, cache)?;
            Ok(Guarantee { granularity: Granularity::Line(64), ..found })
        }

        fn guarantee_in(directory: &Path, cache: Option<Cache>) -> Result<Guarantee, Error> {
            Host::guarantee_in(directory, cache)
        }

        fn reserve(file: &File, range: Range<u64>) -> io::Result<()> {
            Host::reserve(file, range)
        }

        fn map(path: &Path, file: &File, plan: &Plan) -> Result<Mapping, Error> {
            require(path, file, plan)?;
            Host::map(path, file, &Plan { writeback: Writeback::Pages, ..*plan })
        }
    }

    fn place() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        (directory, path)
    }

    fn open(path: &Path) -> Result<DaxFile, Error> {
        Options::new().open_on::<ByLines>(path)
    }

    /// Creates a file by lines; `None` if that is not possible here, with a line that gives the reason.
    fn create(test: &str, path: &Path) -> Option<DaxFile> {
        if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
            skip(test, "user-mode emulation does not pass MADV_POPULATE_WRITE on");
            return None;
        }
        match Options::new().create_new_on::<ByLines>(path, BLOCK) {
            Ok(file) => Some(file),
            Err(error) => {
                let kind = error.kind();
                let expected = matches!(
                    kind,
                    ErrorKind::NotSupported(crate::dax::NotSupported::Cpu(_))
                        | ErrorKind::Os { call: "FIEMAP", .. }
                );
                assert!(expected, "{error}");
                skip(test, error);
                None
            }
        }
    }

    /// As a growth leaves a file that was cut off after the length had changed: `written` blocks with data, and then
    /// as many without.
    fn unfinished(path: &Path, written: u64) {
        let file = File::create_new(path).unwrap();
        file.write_all_at(&data(written), 0).unwrap();
        let (start, len) = (written * BLOCK, written.max(1) * BLOCK);
        rustix::fs::fallocate(&file, FallocateFlags::empty(), start, len).unwrap();
        file.sync_all().unwrap();
    }

    /// Returns bytes that are not 0.
    fn data(blocks: u64) -> Vec<u8> {
        let len = usize::try_from(blocks * BLOCK).unwrap();
        let mut data = (1..=251).collect::<Vec<u8>>().repeat(len / 251 + 1);
        data.truncate(len);
        data
    }

    fn is_written(file: &File, range: Range<u64>) -> bool {
        extents::first_unwritten(file, range.start, range.end - range.start).unwrap().is_none()
    }

    #[test]
    fn a_growth_that_was_cut_off_is_finished_by_the_next_exclusive_opening() {
        const TEST: &str = "a_growth_that_was_cut_off_is_finished_by_the_next_exclusive_opening";
        const NEW: u64 = 32 * BLOCK;
        let (_directory, path) = place();
        let Some(file) = create(TEST, &path) else { return };
        drop(file);
        let mut left = [0, 0];
        let was_cut_off = at_each_system_call(
            TEST,
            || {
                fs::remove_file(&path).unwrap();
                let file = create(TEST, &path).unwrap();
                file.file().write_all_at(&data(1), 0).unwrap();
            },
            || open(&path)?.grow_on::<ByLines>(NEW),
            |is_finished| {
                let mut file = open(&path).unwrap();
                let len = Readable::len(&file);
                left[usize::from(len == NEW)] += 1;
                assert!(len == NEW || len == BLOCK && !is_finished, "{len}");
                assert!(is_written(file.file(), 0..len));
                file.grow_on::<ByLines>(NEW).unwrap();
                assert!(is_written(file.file(), 0..NEW));
                let bytes = fs::read(&path).unwrap();
                // Slices are compared at once, which an emulator needs.
                let (old, new) = bytes.split_at(data(1).len());
                assert!(old == data(1) && new == vec![0; new.len()]);
            },
        );
        assert!(!was_cut_off || left[0] > 3 && left[1] > 3, "killed on both sides: {left:?}");
    }

    /// The process is killed while it finishes an unfinished file.
    #[test]
    fn finishing_that_was_cut_off_is_finished_by_the_next_opening() {
        const TEST: &str = "finishing_that_was_cut_off_is_finished_by_the_next_opening";
        let (_directory, path) = place();
        let Some(file) = create(TEST, &path) else { return };
        drop(file);
        at_each_system_call(
            TEST,
            || {
                fs::remove_file(&path).unwrap();
                unfinished(&path, 2);
            },
            || open(&path).map(drop),
            |_| {
                let file = open(&path).unwrap();
                assert!(is_written(file.file(), 0..4 * BLOCK));
                assert!(fs::read(&path).unwrap() == [data(2), vec![0; data(2).len()]].concat());
            },
        );
    }

    #[test]
    fn an_opening_that_is_not_exclusive_says_who_can_finish_the_file() {
        const TEST: &str = "an_opening_that_is_not_exclusive_says_who_can_finish_the_file";
        let (directory, path) = place();
        let Some(file) = create(TEST, &directory.path().join("other")) else { return };
        drop(file);
        unfinished(&path, 1);
        for lock in [Lock::Shared, Lock::None] {
            let options = Options::new().lock(lock);
            let error = options.open_on::<ByLines>(&path).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unfinished { at: BLOCK }), "{error}");
            assert!(
                error.to_string().contains("open it once for writing under the exclusive lock")
            );
        }
        #[cfg(target_pointer_width = "64")]
        for lock in [Lock::Exclusive, Lock::Shared, Lock::None] {
            let options = Options::new().lock(lock);
            let error = options.view_on::<ByLines>(&path).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unfinished { at: BLOCK }), "{error}");
        }
        assert!(!is_written(&File::open(&path).unwrap(), BLOCK..2 * BLOCK), "it is as it was");
        drop(open(&path).unwrap());
        Options::new().lock(Lock::None).open_on::<ByLines>(&path).unwrap();
    }

    /// A hole at the end, after a growth that could not reserve blocks; a file in which nothing is written; a part.
    #[test]
    fn all_of_the_end_is_finished_whatever_is_mapped() {
        const TEST: &str = "all_of_the_end_is_finished_whatever_is_mapped";
        let (_directory, path) = place();
        let Some(file) = create(TEST, &path) else { return };
        drop(file);
        for (size, part) in [(3, 0..3), (3, 2..3), (9, 4..6), (1, 0..1)] {
            for written in [0, 1] {
                fs::remove_file(&path).unwrap();
                unfinished(&path, written);
                let (size, part) = (size * BLOCK + 100, part.start * BLOCK..part.end * BLOCK);
                fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size).unwrap();
                let options = Options::new().offset(part.start).len(part.end - part.start);
                let file = options.open_on::<ByLines>(&path).unwrap();
                let needed = part.end > written * BLOCK;
                assert_eq!(is_written(file.file(), 0..size), needed, "{written} {part:?} {size}");
                let bytes = fs::read(&path).unwrap();
                let (old, new) = bytes.split_at(data(written).len());
                assert!(old == data(written) && new.iter().all(|byte| *byte == 0));
                assert_eq!(bytes.len() as u64, size);
            }
        }
    }

    #[test]
    fn a_hole_before_data_is_refused_and_stays() {
        const TEST: &str = "a_hole_before_data_is_refused_and_stays";
        let (_directory, path) = place();
        let Some(file) = create(TEST, &path) else { return };
        file.file().set_len(3 * BLOCK).unwrap();
        file.file().write_all_at(&data(1), 2 * BLOCK).unwrap();
        file.file().set_len(5 * BLOCK).unwrap();
        file.file().sync_all().unwrap();
        drop(file);
        let blocks = || fs::metadata(&path).unwrap().blocks();
        let before = blocks();
        let error = open(&path).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotAllocated { at: BLOCK, .. }), "{error}");
        assert_eq!(blocks(), before);
    }

    /// A program that takes no lock has stored to the end since the extents were looked at.
    #[test]
    fn finishing_changes_no_byte() {
        const TEST: &str = "finishing_changes_no_byte";
        let (_directory, path) = place();
        let Some(file) = create(TEST, &path) else { return };
        file.file().set_len(8 * BLOCK).unwrap();
        file.file().write_all_at(&data(1), BLOCK + 100).unwrap();
        file.file().write_all_at(b"the end", 8 * BLOCK - 7).unwrap();
        let before = fs::read(&path).unwrap();
        finish(&path, file.file(), &(BLOCK..8 * BLOCK)).unwrap();
        assert!(fs::read(&path).unwrap() == before);
        assert!(is_written(file.file(), 0..8 * BLOCK));
    }

    /// As much as is free, and more, in one hole.
    #[test]
    fn an_end_without_space_is_refused_before_anything_is_allocated() {
        const TEST: &str = "an_end_without_space_is_refused_before_anything_is_allocated";
        let (_directory, path) = place();
        let Some(file) = create(TEST, &path) else { return };
        let status = rustix::fs::fstatvfs(file.file()).unwrap();
        let size = status.f_frsize * status.f_blocks + 2 * BLOCK;
        if isize::try_from(size).is_err() {
            return skip(TEST, "the file system is larger than the addresses of this CPU");
        }
        if let Err(error) = file.file().set_len(size) {
            return skip(TEST, error);
        }
        drop(file);
        let blocks = || fs::metadata(&path).unwrap().blocks();
        let before = blocks();
        let error = open(&path).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NoSpace { len } if *len == size - BLOCK),
            "{error}"
        );
        assert_eq!(blocks(), before);
    }

    /// `FIEMAP_EXTENT_UNWRITTEN`, `_LAST`, `_UNKNOWN`, `_DELALLOC`, `_DATA_INLINE`, `_SHARED`
    /// (`include/uapi/linux/fiemap.h`). Only the first one says that there is no data.
    #[test]
    fn the_end_begins_after_the_last_extent_that_can_have_data() {
        let at = |block: u64, flags| Extent::at(block * BLOCK, 0, BLOCK).with_flags(flags);
        let end = |extents: &[Extent], blocks: u64| {
            let End { range, holes } = End::of(extents, blocks * BLOCK);
            (range.start / BLOCK, range.end / BLOCK, holes / BLOCK)
        };
        assert_eq!(end(&[], 4), (0, 4, 4));
        assert_eq!(end(&[at(0, 0), at(1, 0x800), at(2, 0x801)], 3), (1, 3, 0));
        assert_eq!(end(&[at(0, 0x800), at(2, 0), at(4, 0x800)], 7), (3, 7, 3));
        for flags in [0, 0x1, 0x2, 0x4, 0x200, 0x2000] {
            assert_eq!(end(&[at(0, 0x800), at(1, flags), at(5, 0x800)], 6), (2, 6, 3), "{flags:x}");
        }
        // Reserved after the end of the file.
        assert_eq!(end(&[at(0, 0), at(1, 0x800), at(2, 0x800)], 2), (1, 2, 0));
        let size = 100;
        let whole = End { range: size..size, holes: 0 };
        assert_eq!(End::of(&[at(0, 0)], size), whole, "the last block goes on after the end");
        assert_eq!(End::of(&[Extent::at(u64::MAX - 4095, 0, 8192)], size), whole);
    }
}
