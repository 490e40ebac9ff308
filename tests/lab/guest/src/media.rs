//! Small programs for the effects of media errors on a file. Each prints one JSON document, or ends as it must.

use anyhow::{Context as _, Result, bail};
use cachemaint::dax::{DaxFile, Error, ErrorKind, FaultHandler, Options};
use rustix::fs::FallocateFlags;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

fn map(path: &Path) -> Result<DaxFile> {
    Ok(Options::new().open(path)?)
}

fn print(document: &Value) -> Result<ExitCode> {
    writeln!(std::io::stdout(), "{document}").context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

/// `FIBMAP`, `_IO(0x00, 1)` (`include/uapi/linux/fs.h`).
const FIBMAP: Opcode = opcode::none(0, 1);

/// Prints the position of a byte of a file on its device, by another call than the library's.
pub(crate) fn place(path: &Path, at: &str) -> Result<ExitCode> {
    let at: u64 = at.parse().context("the offset is not a number")?;
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size = rustix::fs::fstatvfs(&file).context("fstatvfs")?.f_bsize;
    let mut block = i32::try_from(at / size).context("beyond what FIBMAP can count")?;
    #[expect(unsafe_code, reason = "an ioctl that has no wrapper")]
    // SAFETY: the request reads and writes the number of a block.
    let request = unsafe { Updater::<FIBMAP, i32>::new(&mut block) };
    #[expect(unsafe_code, reason = "an ioctl that has no wrapper")]
    // SAFETY: it does nothing else.
    unsafe { ioctl(&file, request) }.context("FIBMAP")?;
    let block = u64::try_from(block).context("no block")?;
    print(&json!({ "at": block * size + at % size }))
}

/// Prints the bad blocks of a file that the library knows of.
pub(crate) fn bad_blocks(path: &Path) -> Result<ExitCode> {
    let found = map(path)?.view().bad_blocks()?;
    let ranges: Vec<_> = found.ranges.iter().map(|range| [range.start, range.end]).collect();
    print(&json!({ "ranges": ranges, "is_complete": found.is_complete }))
}

/// Returns the result of an operation on a file: null, or the media error.
fn outcome<T>(result: Result<T, Error>) -> Result<Value> {
    let Err(error) = result else { return Ok(Value::Null) };
    match error.kind() {
        ErrorKind::Poisoned { at, len, .. } => Ok(json!([at, at + len])),
        _ => bail!(error),
    }
}

/// Reads a range by calls.
pub(crate) fn checked(path: &Path, at: &str, len: &str) -> Result<ExitCode> {
    let file = map(path)?;
    let mut bytes = vec![0; len.parse().context("the length is not a number")?];
    let read = file
        .view()
        .read_through_kernel(at.parse().context("the offset is not a number")?, &mut bytes);
    print(&json!({ "poisoned": outcome(read)? }))
}

/// Loads a word under a guard, and once more: the second time the page must not be zeros either.
pub(crate) fn guarded(path: &Path, at: &str) -> Result<ExitCode> {
    let at = at.parse().context("the offset is not a number")?;
    let guard = FaultHandler::install().context("no guard")?;
    let file = map(path)?;
    let load = || outcome(file.catch_faults(guard, |file| file.load(at, Ordering::Relaxed)));
    let (first, second) = (load()?, load()?);
    print(&json!({ "first": first, "second": second, "is_tainted": file.view().taint().is_some() }))
}

/// Loads a word.
pub(crate) fn load(path: &Path, at: &str) -> Result<ExitCode> {
    let word =
        map(path)?.load(at.parse().context("the offset is not a number")?, Ordering::Relaxed);
    print(&json!({ "word": word }))
}

/// Has a new file take all space of the file system, down to its last block.
pub(crate) fn fill(path: &Path) -> Result<ExitCode> {
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let mut len = 0;
    for step in [16 << 20, 1 << 20, 64 << 10, 4 << 10] {
        while rustix::fs::fallocate(&file, FallocateFlags::empty(), len, step).is_ok() {
            len += step;
        }
    }
    file.sync_all().context("cannot sync it")?;
    print(&json!({ "len": len }))
}

/// Clears a range.
pub(crate) fn clear(path: &Path, at: &str, len: &str) -> Result<ExitCode> {
    let mut file = map(path)?;
    let at: u64 = at.parse().context("the offset is not a number")?;
    let len: u64 = len.parse().context("the length is not a number")?;
    let cleared = file.clear_bad_blocks(at..at + len);
    let pairs = |ranges: &[std::ops::Range<u64>]| -> Vec<[u64; 2]> {
        ranges.iter().map(|range| [range.start, range.end]).collect()
    };
    let mut document = match cleared {
        Ok(lost) => json!({ "lost": pairs(&lost) }),
        Err(error) => match error.kind() {
            ErrorKind::NotCleared { at, len, step, errno, lost, .. } => json!({
                "failed": [at, at + len],
                "step": format!("{step:?}"),
                "errno": errno,
                "lost": pairs(lost),
                "text": error.to_string(),
            }),
            _ => bail!(error),
        },
    };
    document["is_tainted"] = json!(file.view().taint().is_some());
    print(&document)
}
