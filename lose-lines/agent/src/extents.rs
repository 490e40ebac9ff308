//! The blocks of the files below a directory (FIEMAP: Linux, `Documentation/filesystems/fiemap.rst`).

use super::files::walk;
use super::protocol::{Extent, Reply};
use anyhow::{Context as _, Result};
use rustix::ioctl::{Direction, Opcode, Updater, ioctl, opcode};
use std::fs::File;
use std::path::Path;

/// The extents that one call asks for.
const BATCH: usize = 64;
/// The words of `struct fiemap` without its tail, and of `struct fiemap_extent` (`include/uapi/linux/fiemap.h`).
const HEADER: usize = 4;
const EXTENT: usize = 7;

/// `FS_IOC_FIEMAP`, `_IOWR('f', 11, struct fiemap)`.
const FIEMAP: Opcode = opcode::from_components(Direction::ReadWrite, b'f', 11, HEADER * 8);

type Words = [u64; HEADER + EXTENT * BATCH];

/// Returns the extents of all files below a directory.
pub(crate) fn below(directory: &str) -> Result<Reply> {
    let mut extents = Vec::new();
    for (path, metadata) in walk(Path::new(directory))? {
        if metadata.is_file() {
            let found = of(&path).with_context(|| format!("cannot map {}", path.display()))?;
            extents.extend(found);
        }
    }
    Ok(Reply::Extents(extents))
}

fn of(path: &Path) -> Result<Vec<Extent>> {
    let file = File::open(path)?;
    let mut extents = Vec::new();
    let mut from = 0;
    loop {
        let mut words: Words = [0; HEADER + EXTENT * BATCH];
        words[0] = from;
        words[1] = u64::MAX - from;
        words[3] = BATCH as u64;
        #[expect(unsafe_code, reason = "an ioctl that has no wrapper")]
        // SAFETY: the request reads and writes the header, and writes at most as many extents as the header asks for.
        let request = unsafe { Updater::<FIEMAP, Words>::new(&mut words) };
        #[expect(unsafe_code, reason = "an ioctl that has no wrapper")]
        // SAFETY: the words live until the call returns.
        unsafe { ioctl(&file, request) }.context("FIEMAP")?;
        // The lower half of the word is `fm_flags`, the upper one `fm_mapped_extents`.
        let count = usize::try_from(words[2] >> 32)?;
        for extent in words[HEADER..].chunks_exact(EXTENT).take(count) {
            let [offset, start, len] = [extent[0], extent[1], extent[2]];
            extents.push(Extent { path: path.display().to_string(), offset, start, len });
            from = offset + len;
        }
        if count < BATCH {
            return Ok(extents);
        }
    }
}
