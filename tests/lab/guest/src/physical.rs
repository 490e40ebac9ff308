//! Memory that a program reaches by its physical address.

use crate::number;
use anyhow::{Context as _, Result, ensure};
use cachemaint::Cache;
use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd as _;
use std::process::ExitCode;
use std::ptr::{null_mut, without_provenance};

/// The device whose mappings are physical memory (mem(4)).
const MEMORY: &str = "/dev/mem";

/// Maps a range of physical memory for reading, and writes its lines back.
pub(crate) fn write_back(at: &str, len: &str) -> Result<ExitCode> {
    let (at, len) = (number(at)?.try_into()?, number(len)?.try_into()?);
    let file = File::open(MEMORY).with_context(|| format!("cannot open {MEMORY}"))?;
    let flags = (libc::PROT_READ, libc::MAP_SHARED);
    #[expect(unsafe_code, reason = "maps a device")]
    // SAFETY: a new mapping, at a place that the kernel finds.
    let base = unsafe { libc::mmap(null_mut(), len, flags.0, flags.1, file.as_raw_fd(), at) };
    let base = base.cast_const();
    ensure!(
        base != without_provenance(usize::MAX),
        "cannot map {MEMORY}: {}",
        Error::last_os_error()
    );
    let cache = Cache::host()?;
    #[expect(unsafe_code, reason = "there are no references to memory that the kernel stores to")]
    // SAFETY: (1) the mapping stays and all of it can be read.
    unsafe {
        cache.writeback_range(base.cast(), len);
    }
    Ok(ExitCode::SUCCESS)
}
