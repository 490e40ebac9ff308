//! A program that stores to the holes of a file and never flushes, like most programs that know nothing of persistent
//! memory. Its mapping is ordinary, and the file system commits the allocated blocks when it chooses to.

use crate::number;
use anyhow::{Context as _, Result, ensure};
use std::fs::{File, OpenOptions};
use std::io::{Error, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::ptr::{null_mut, without_provenance};

/// Creates a file that is one hole. Each line of input is an offset. The program stores the offset plus one there, and
/// then answers with the offset.
pub(crate) fn store(path: &Path, len: &str) -> Result<ExitCode> {
    let size = number(len)?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    file.set_len(size)?;
    let base = map(&file, size.try_into()?)?;
    for line in std::io::stdin().lines() {
        let at = number(&line?)?;
        ensure!(at.is_multiple_of(8) && at < size, "no word of the file begins at {at}");
        let place = base.wrapping_byte_add(at.try_into()?);
        #[expect(unsafe_code, reason = "stores to a mapping")]
        // SAFETY: the word is in the mapping, which stays and has no references to it.
        unsafe {
            place.write_volatile((at + 1).to_le());
        }
        writeln!(std::io::stdout(), "{at}").context("cannot answer")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn map(file: &File, len: usize) -> Result<*mut u64> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    #[expect(unsafe_code, reason = "maps without MAP_SYNC, which the library does not")]
    // SAFETY: a new mapping, at a place that the kernel finds.
    let base = unsafe { libc::mmap(null_mut(), len, protection, flags, file.as_raw_fd(), 0) };
    ensure!(
        base.cast_const() != without_provenance(usize::MAX),
        "mmap: {}",
        Error::last_os_error()
    );
    Ok(base.cast())
}

/// Reads the file with system calls, and prints the offsets at which the stored value exists.
pub(crate) fn find(path: &Path, offsets: &[&str]) -> Result<ExitCode> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    for offset in offsets {
        let (at, mut word) = (number(offset)?, [0; 8]);
        file.read_exact_at(&mut word, at)?;
        if u64::from_le_bytes(word) == at + 1 {
            writeln!(std::io::stdout(), "{at}").context("cannot print")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
