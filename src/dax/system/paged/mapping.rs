//! Mappings by memmap2, persisted by the system's own calls.
//!
//! # Why this file is unsafe
//! It vouches for what memmap2 has mapped, and has the system write it back.

use crate::dax::mapping::{Mapping, Pages};
#[cfg(not(windows))]
use crate::dax::system::files;
use crate::dax::system::{Access, Plan};
use core::ops::Range;
use core::ptr::NonNull;
use memmap2::{MmapOptions, MmapRaw};
#[cfg(not(windows))]
use rustix::mm::{MsyncFlags, msync};
use std::fs::File;
use std::io;

/// A shared mapping of a part of a file, and the file.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) pages: MmapRaw,
    pub(super) file: File,
}

/// Maps a part of the file.
pub(super) fn new(file: &File, plan: &Plan) -> io::Result<Mapping> {
    let mut options = MmapOptions::new();
    options.offset(plan.offset).len(plan.len);
    let pages = match plan.access {
        Access::Read => options.map_raw_read_only(file)?,
        Access::ReadAndWrite => options.map_raw(file)?,
    };
    let base = NonNull::new(pages.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
    let mapped = Mapped { pages, file: file.try_clone()? };
    // SAFETY: (1) a raw mapping can be read, and lasts as long as `mapped`; systems map whole pages.
    // (2) Mappings begin at a page, and the offset is a multiple of its size. (3) It is of no use for
    // anything else but to be written back.
    Ok(unsafe { Mapping::new(base, plan.len, mapped) })
}

#[cfg(not(windows))]
fn write_pages(pages: &MmapRaw, range: Range<usize>) -> io::Result<()> {
    let start = range.start - range.start % files::page_size();
    let address = pages.as_mut_ptr().wrapping_add(start).cast();
    // SAFETY: at most the bytes become those of the file, as by a store of another process.
    unsafe { msync(address, range.end - start, flags(std::env::consts::OS))? };
    Ok(())
}

/// Returns the flags with which `msync` reports a page that could not be written. OpenBSD does so only if it frees the
/// page then (`sys/uvm/uvm_vnode.c`, `uvn_flush`: `PGO_FREE`).
#[cfg(not(windows))]
pub(super) fn flags(os: &str) -> MsyncFlags {
    match os {
        "openbsd" => MsyncFlags::SYNC | MsyncFlags::INVALIDATE,
        _ => MsyncFlags::SYNC,
    }
}

/// On Windows the asynchronous flush of memmap2 is `FlushViewOfFile` alone; the other one is followed by
/// `FlushFileBuffers`.
#[cfg(windows)]
fn write_pages(pages: &MmapRaw, range: Range<usize>) -> io::Result<()> {
    let flush = || pages.flush_async_range(range.start, range.len());
    super::retry::while_locked(flush, std::thread::sleep)
}

#[cfg(target_os = "netbsd")]
use crate::dax::system::files::netbsd::sync_data;

#[cfg(not(target_os = "netbsd"))]
fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

impl Pages for Mapped {
    /// Two steps: the pages go to the file (`msync`, `FlushViewOfFile`), and the file to its medium
    /// (`fdatasync`, on Apple's systems `F_FULLFSYNC`, on NetBSD `fsync_range`, on Windows `FlushFileBuffers`). With
    /// `msync` alone, macOS leaves the data in the drive's buffers.
    fn writeback(&self, range: Range<usize>) -> io::Result<()> {
        write_pages(&self.pages, range)?;
        sync_data(&self.file)
    }
}
