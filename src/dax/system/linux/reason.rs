//! The reason why an access to a mapping failed, determined from the file. Nothing is written or allocated.

use super::files;
use crate::dax::latch::{FailedAccess, Failure};
use crate::system::calls::uninterrupted;
use core::ops::Range;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Returns the reason why an access to a mapping failed, as far as the file shows it. The mapping begins at the address
/// `start`, and has this part of the file.
#[cold]
pub(super) fn reason(file: &File, start: u64, part: &Range<u64>, access: FailedAccess) -> Failure {
    let page = files::page_size() as u64;
    let mapped_len = part.end - part.start;
    if access.is_memory_error {
        // A huge page is aligned in memory, but the mapping need not be.
        let extent = page.max(1_u64.checked_shl(access.order.into()).unwrap_or(page));
        let address = start + access.at;
        let (from, end) = (address / extent * extent, start + mapped_len);
        let at = from.saturating_sub(start);
        let len = (from.saturating_add(extent)).min(end) - start - at;
        return Failure::Poisoned { at, len };
    }
    let found = match uninterrupted(|| file.metadata()) {
        Ok(found) if found.is_file() => found,
        Ok(_device) => return Failure::Access(access),
        Err(error) => return Failure::Unmeasured { errno: files::number(&error) },
    };
    let at = access.at / page * page;
    let place = part.start + at;
    if found.len() <= place {
        return Failure::Cut { size: found.len(), needed: part.end };
    }
    if is_unreadable(file, place, page) {
        return Failure::Poisoned { at, len: page };
    }
    if is_full(file) { Failure::NoSpace { at } } else { Failure::Access(access) }
}

/// Returns true if the medium has lost bytes of a page of the file.
fn is_unreadable(file: &File, place: u64, page: u64) -> bool {
    let mut piece = [0; 512];
    (place..place + page).step_by(piece.len()).any(|at| {
        let read = uninterrupted(|| file.read_at(&mut piece, at));
        let errno = read.err().and_then(|error| Errno::from_io_error(&error));
        matches!(errno, Some(Errno::IO | Errno::FAULT | Errno::HWPOISON))
    })
}

/// Returns true for a file system that reports no free block. A file system without a limit reports no blocks at all.
fn is_full(file: &File) -> bool {
    let found = uninterrupted(|| rustix::fs::fstatfs(file));
    found.is_ok_and(|system| system.f_blocks > 0 && system.f_bavail == 0)
}
