//! The reason why an access to a mapping failed, found by asking the file: nothing is written, and nothing allocated.

use super::files;
use crate::dax::latch::{Access, Failure};
use crate::dax::system::Mapped;
use crate::system::calls::uninterrupted;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Returns the reason for which an access to a mapping of a file failed, as far as the file shows it.
#[cold]
pub(in crate::dax) fn reason(file: &File, mapped: &Mapped, access: Access) -> Failure {
    let page = files::page_size() as u64;
    if access.is_memory_error {
        // A huge page is aligned in memory, and the mapping need not be.
        let extent = page.max(1_u64.checked_shl(access.order.into()).unwrap_or(page));
        let address = mapped.address + access.at;
        let (from, end) = (address / extent * extent, mapped.address + mapped.len);
        let at = from.saturating_sub(mapped.address);
        let len = (from.saturating_add(extent)).min(end) - mapped.address - at;
        return Failure::Poisoned { at, len };
    }
    let found = match uninterrupted(|| file.metadata()) {
        Ok(found) if found.is_file() => found,
        Ok(_device) => return Failure::Access(access),
        Err(error) => return Failure::Unmeasured { errno: files::number(&error) },
    };
    let at = access.at / page * page;
    let place = mapped.offset + at;
    if found.len() <= place {
        return Failure::Cut { size: found.len(), needed: mapped.offset + mapped.len };
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

/// Returns true for a file system that reports no free block. One without a limit reports no blocks at all.
fn is_full(file: &File) -> bool {
    let found = uninterrupted(|| rustix::fs::fstatfs(file));
    found.is_ok_and(|system| system.f_blocks > 0 && system.f_bavail == 0)
}
