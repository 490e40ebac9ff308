//! The blocks of a file, and the check that every byte has a written block of its own.
//!
//! A store to a hole, or to an extent that was allocated and never written, makes the file system allocate or convert
//! blocks and commit its journal. A store to an extent that is shared with another file (a reflink) makes it copy. A
//! mapping that is persisted line by line must contain neither. FIEMAP reports them (Linux
//! `Documentation/filesystems/fiemap.rst`).
//!
//! # Why this file is unsafe
//! FIEMAP is an `ioctl` over a structure with a variable tail, which libc and rustix do not wrap.

use crate::system::calls::uninterrupted;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};
use rustix::io::Errno;
use rustix::ioctl::{Direction, Getter, Opcode, Updater, ioctl, opcode};
use std::os::fd::AsFd;

/// The first part of a file that has no written block of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dax) struct Unwritten {
    /// The beginning of the part, in bytes.
    pub(in crate::dax) at: u64,
    pub(in crate::dax) what: &'static str,
}

/// `include/uapi/linux/fiemap.h`.
const FLAG_SYNC: u32 = 0x1;
const EXTENT_LAST: u32 = 0x1;
const EXTENT_UNKNOWN_OR_DELALLOC: u32 = 0x2 | 0x4;
const EXTENT_UNWRITTEN: u32 = 0x800;
const EXTENT_SHARED: u32 = 0x2000;
/// The bytes of an extent with one of these flags are not at its physical address, or not in plain form: `UNKNOWN`,
/// `DELALLOC`, `ENCODED`, `NOT_ALIGNED`, `DATA_INLINE`, `DATA_TAIL`.
const EXTENT_ELSEWHERE: u32 = 0x2 | 0x4 | 0x8 | 0x100 | 0x200 | 0x400;

/// The number of extents that one call asks for.
const BATCH: u32 = 64;

/// Contiguous bytes of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiemapExtent {
    /// The beginning of the bytes in the file.
    pub logical: u64,
    /// The beginning of the bytes on the file system's device.
    pub physical: u64,
    /// The number of bytes.
    pub length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

impl FiemapExtent {
    /// Returns bytes at a place on the device, for tests.
    #[must_use]
    pub fn at(logical: u64, physical: u64, length: u64) -> Self {
        Self { logical, physical, length, ..Self::default() }
    }

    /// Returns the same bytes with these flags, for tests.
    #[must_use]
    pub const fn with_flags(self, flags: u32) -> Self {
        Self { flags, ..self }
    }

    /// Returns true if the bytes are at the place that the extent reports.
    #[must_use]
    pub const fn tells_its_place(&self) -> bool {
        self.flags & EXTENT_ELSEWHERE == 0
    }
}

#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [FiemapExtent; BATCH as usize],
}

/// The size of the structure without its tail, which is what the request's number is made from.
const HEADER: usize = core::mem::offset_of!(Fiemap, extents);

/// `FS_IOC_FIEMAP`, `_IOWR('f', 11, struct fiemap)`.
const FS_IOC_FIEMAP: Opcode = opcode::from_components(Direction::ReadWrite, b'f', 11, HEADER);

/// Returns the first part of `len` bytes from `offset` that has no written block of its own; `None` if all have one.
///
/// # Errors
/// If the file system does not support FIEMAP.
pub(in crate::dax) fn first_unwritten(
    file: impl AsFd,
    offset: u64,
    len: u64,
) -> Result<Option<Unwritten>, Errno> {
    let range = offset..offset.saturating_add(len);
    first_unwritten_of(|start, len| extents_from(&file, start, len), range)
}

fn first_unwritten_of(ask: impl Ask, range: Range<u64>) -> Result<Option<Unwritten>, Errno> {
    let (mut at, end) = (range.start, range.end);
    let found = walk(ask, range, |extent| {
        if let Some(found) = judge(at, extent) {
            return ControlFlow::Break(found);
        }
        at = at.max(extent.logical.saturating_add(extent.length));
        ControlFlow::Continue(())
    })?;
    let found = found.unwrap_or(Unwritten { at, what: "a hole" });
    Ok(Some(found).filter(|found| found.at < end))
}

/// Passes on, in order, the extents that overlap `len` bytes from `offset`. The file is synced first.
///
/// # Errors
/// If the file system does not support FIEMAP.
pub fn for_each(
    file: impl AsFd,
    offset: u64,
    len: u64,
    mut what: impl FnMut(&FiemapExtent),
) -> Result<(), Errno> {
    let range = offset..offset.saturating_add(len);
    let visit = |extent: &_| {
        what(extent);
        ControlFlow::<()>::Continue(())
    };
    walk(|start, len| extents_from(&file, start, len), range, visit).map(drop)
}

/// A question for the extents that overlap a number of bytes from a place on.
trait Ask: FnMut(u64, u64) -> Result<Vec<FiemapExtent>, Errno> {}

impl<F: FnMut(u64, u64) -> Result<Vec<FiemapExtent>, Errno>> Ask for F {}

/// Visits the extents of a range until `visit` breaks, and returns its result then. An answer that reaches no further than
/// the ones before ends the walk, as the last extent does.
fn walk<T>(
    mut ask: impl Ask,
    range: Range<u64>,
    mut visit: impl FnMut(&FiemapExtent) -> ControlFlow<T>,
) -> Result<Option<T>, Errno> {
    let mut at = range.start;
    while at < range.end {
        let extents = ask(at, range.end - at)?;
        for extent in &extents {
            if let ControlFlow::Break(found) = visit(extent) {
                return Ok(Some(found));
            }
        }
        let Some(last) = extents.last() else { break };
        let reached = last.logical.saturating_add(last.length);
        if reached <= at || last.flags & EXTENT_LAST != 0 {
            break;
        }
        at = reached;
    }
    Ok(None)
}

/// `struct fsxattr` and its first flag (`include/uapi/linux/fs.h`).
type Fsxattr = [u32; 7];
const REALTIME: u32 = 1;
const FS_IOC_FSGETXATTR: Opcode = opcode::read::<Fsxattr>(b'X', 31);

/// Returns true for a file of xfs that is, or may be, on the realtime device: the number of its file system's device is
/// that of another one.
pub(in crate::dax) fn is_on_realtime_device(file: impl AsFd) -> bool {
    // SAFETY: the request does nothing but fill the structure.
    let request = unsafe { Getter::<FS_IOC_FSGETXATTR, Fsxattr>::new() };
    // SAFETY: as above.
    let found = unsafe { ioctl(file, request) };
    found.map_or(true, |[flags, ..]| flags & REALTIME != 0)
}

/// Returns the fault of the next extent, if everything before `at` was written.
fn judge(at: u64, extent: &FiemapExtent) -> Option<Unwritten> {
    let from = extent.logical.max(at);
    let what = if extent.logical > at {
        return Some(Unwritten { at, what: "a hole" });
    } else if extent.flags & EXTENT_UNWRITTEN != 0 {
        "an extent that was allocated and never written"
    } else if extent.flags & EXTENT_SHARED != 0 {
        "an extent that is shared with another file"
    } else if extent.flags & EXTENT_UNKNOWN_OR_DELALLOC != 0 {
        "an extent without a place on the device yet"
    } else {
        return None;
    };
    Some(Unwritten { at: from, what })
}

/// Syncs the file, so that all blocks are known, and returns the next extents.
fn extents_from(file: impl AsFd, start: u64, length: u64) -> Result<Vec<FiemapExtent>, Errno> {
    uninterrupted(|| ask_extents(&file, start, length))
}

fn ask_extents(file: impl AsFd, start: u64, length: u64) -> Result<Vec<FiemapExtent>, Errno> {
    let mut fiemap = Fiemap {
        start,
        length,
        flags: FLAG_SYNC,
        mapped_extents: 0,
        extent_count: BATCH,
        reserved: 0,
        extents: [FiemapExtent::default(); BATCH as usize],
    };
    // SAFETY: the structure is the one that this request reads and writes; the kernel writes at most
    // `extent_count` extents after its header, and there is room for them.
    let request = unsafe { Updater::<FS_IOC_FIEMAP, Fiemap>::new(&mut fiemap) };
    // SAFETY: the request does nothing but fill the structure.
    unsafe { ioctl(file, request) }?;
    let mapped = fiemap.mapped_extents.min(BATCH) as usize;
    Ok(fiemap.extents.get(..mapped).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::{
        EXTENT_SHARED, EXTENT_UNWRITTEN, FiemapExtent, Unwritten, first_unwritten,
        first_unwritten_of, judge,
    };
    use rustix::fs::FallocateFlags;
    use rustix::io::Errno;
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    const PAGE: u64 = 4096;
    /// A multiple of the block size of every file system in use.
    const BLOCK: usize = 64 << 10;

    fn extent(logical: u64, flags: u32) -> FiemapExtent {
        FiemapExtent { logical, length: PAGE, flags, ..FiemapExtent::default() }
    }

    #[test]
    fn only_a_written_extent_of_the_files_own_will_do() {
        let found = |at, flags| judge(at, &extent(PAGE, flags)).map(|found| (found.at, found.what));
        assert_eq!(found(PAGE, 0), None);
        assert_eq!(found(PAGE + 100, 0), None, "from within the extent");
        assert_eq!(found(0, 0), Some((0, "a hole")));
        let unwritten = "an extent that was allocated and never written";
        assert_eq!(found(PAGE, EXTENT_UNWRITTEN), Some((PAGE, unwritten)));
        let shared = "an extent that is shared with another file";
        assert_eq!(found(PAGE, EXTENT_SHARED), Some((PAGE, shared)));
    }

    /// A kernel could answer every question with the first extent. The file is refused then, as one with a hole.
    #[test]
    fn an_answer_that_is_repeated_ends_the_walk() {
        let found = first_unwritten_of(|_, _| Ok(alloc::vec![extent(0, 0)]), 0..4 * PAGE);
        assert_eq!(found, Ok(Some(Unwritten { at: PAGE, what: "a hole" })));
    }

    /// Four stretches: written, allocated, a hole, written.
    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn a_real_file_system_shows_holes_and_unwritten_extents() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let file: &File = path.as_file();
        let stretch = BLOCK as u64;
        file.set_len(4 * stretch).unwrap();
        for place in [0, 3] {
            file.write_all_at(&alloc::vec![7; BLOCK], place * stretch).unwrap();
        }
        let allocated = rustix::fs::fallocate(file, FallocateFlags::empty(), stretch, stretch);
        file.sync_all().unwrap();
        let whole = match (allocated, first_unwritten(file, 0, 4 * stretch)) {
            (Ok(()), Ok(found)) => found,
            (Err(errno), _) | (_, Err(errno)) => {
                assert!(matches!(errno, Errno::OPNOTSUPP | Errno::NOTTY), "{errno}");
                // Not by a macro, whose output the harness keeps when the test passes.
                writeln!(std::io::stdout(), "skipped: extents: no FIEMAP for temporary files")
                    .unwrap();
                return;
            }
        };
        let unwritten = "an extent that was allocated and never written";
        assert_eq!(whole, Some(Unwritten { at: stretch, what: unwritten }));
        assert_eq!(first_unwritten(file, 0, stretch).unwrap(), None);
        assert_eq!(first_unwritten(file, 3 * stretch, stretch).unwrap(), None);
        let hole = Unwritten { at: 2 * stretch, what: "a hole" };
        assert_eq!(first_unwritten(file, 2 * stretch, 2 * stretch).unwrap(), Some(hole));
        let beyond = Unwritten { at: 4 * stretch, what: "a hole" };
        assert_eq!(first_unwritten(file, 3 * stretch, 2 * stretch).unwrap(), Some(beyond));
    }
}
