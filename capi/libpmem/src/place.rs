//! The addresses of a new mapping.
//!
//! A mapping begins at a multiple of 2 MiB, or of 1 GiB if it is long, so that the kernel can use large pages. Pools of
//! libpmemobj rely on 2 MiB.

use crate::failure::errno;
use crate::machine::machine;
use crate::system::page_size;
use core::ffi::{CStr, c_int, c_void};
use core::ops::Range;
use core::ptr::{null_mut, without_provenance_mut};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

const MAPPINGS: &CStr = c"/proc/self/maps";

/// Returns true if the kernel shows which addresses are taken. Without `/proc` the kernel chooses, as with PMDK.
pub(crate) fn can_be_chosen() -> bool {
    // SAFETY: the path ends with 0.
    unsafe { libc::access(MAPPINGS.as_ptr(), libc::R_OK) == 0 }
}

/// Returns a place for `len` bytes at a multiple of an alignment: a hint for the kernel.
pub(crate) fn place_for(len: usize, alignment: usize) -> Result<*mut c_void, c_int> {
    let large = if len >= 2 * GIB { GIB } else { 2 * MIB };
    let alignment = alignment.max(large);
    let place = match machine().map_from {
        Some(from) => {
            let mappings = std::fs::read(OsStr::from_bytes(MAPPINGS.to_bytes()))
                .map_err(|error| error.raw_os_error().unwrap_or(libc::ENOMEM))?;
            first_free(ranges(&mappings), from.max(page_size()), len, alignment)
        }
        None => free_at_kernels_choice(len, alignment)?,
    };
    place.map(without_provenance_mut).ok_or(libc::ENOMEM)
}

/// Lets the kernel choose addresses for more bytes, and returns the first aligned one.
fn free_at_kernels_choice(len: usize, alignment: usize) -> Result<Option<usize>, c_int> {
    let more = len.checked_add(alignment).ok_or(libc::ENOMEM)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: without MAP_FIXED a new mapping replaces none.
    let start = unsafe { libc::mmap(null_mut(), more, libc::PROT_READ, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(errno());
    }
    // SAFETY: no one else knows the mapping.
    unsafe { libc::munmap(start, more) };
    Ok(start.addr().checked_next_multiple_of(alignment))
}

/// Returns the first aligned address with `len` bytes that overlap none of the ascending ranges.
fn first_free(
    taken: impl Iterator<Item = Range<usize>>,
    from: usize,
    len: usize,
    alignment: usize,
) -> Option<usize> {
    let mut place = from.checked_next_multiple_of(alignment)?;
    for taken in taken {
        if taken.start > place && taken.start - place >= len {
            break;
        }
        if taken.end > place {
            place = taken.end.checked_next_multiple_of(alignment)?;
        }
    }
    place.checked_add(len).map(|_end| place)
}

/// Returns the ranges of `/proc/self/maps`.
fn ranges(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let range = line.split(|byte| *byte == b' ').next()?;
        let (start, end) = str::from_utf8(range).ok()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(address(start)?..address(end)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"00010000-00020000 r-xp 00000000 fe:00 123   /bin/\xff\n\
        00030000-00040000 rw-p 00000000 00:00 0\n";

    #[test]
    fn a_place_is_the_first_that_is_long_enough() {
        for (from, len, place) in [
            (0x1000, 0x1000, Some(0x2000)),
            (0x1000, 0xe000, Some(0x2000)),
            (0x1000, 0xe001, Some(0x20000)),
            (0x1000, 0x10000, Some(0x20000)),
            (0x1000, 0x10001, Some(0x40000)),
            (0x18000, 0x10000, Some(0x20000)),
            (0x50001, 0x10000, Some(0x52000)),
            (0x50000, usize::MAX, None),
            (usize::MAX, 1, None),
        ] {
            assert_eq!(first_free(ranges(MAPS), from, len, 0x2000), place, "{from:#x} {len:#x}");
        }
    }
}
