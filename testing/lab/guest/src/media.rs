//! Small programs for the effects of media errors on a file. Each prints one JSON document, or ends as it should.

use anyhow::{Context as _, Result, bail};
use cachemaint::dax::{DaxFile, Error, ErrorKind, FaultHandler, Options, PreadFile};
use cachemaint::medium::Readable as _;
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

/// Prints the position of a byte of a file on its device, found without the library.
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

/// Prints the bad blocks of a file that the library reports.
pub(crate) fn bad_blocks(path: &Path) -> Result<ExitCode> {
    let found = cachemaint_inspect::bad_blocks(map(path)?.view())?;
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

/// Reads a range with checked calls.
pub(crate) fn checked(path: &Path, at: &str, len: &str) -> Result<ExitCode> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let file = PreadFile::new(file, 0)?;
    let mut bytes = vec![0; len.parse().context("the length is not a number")?];
    let read = file.read(at.parse().context("the offset is not a number")?, &mut bytes);
    print(&json!({ "poisoned": outcome(read)? }))
}

/// Loads a word with a handler for SIGBUS, and then persists another word.
pub(crate) fn guarded(path: &Path, at: &str) -> Result<ExitCode> {
    let at = at.parse().context("the offset is not a number")?;
    FaultHandler::install().context("no handler")?;
    let file = map(path)?;
    let _believed_if_checked = file.load(at, Ordering::Relaxed);
    let first = outcome(file.check())?;
    // On a CPU, a write-back of an unmapped page is a page fault. In an emulator it does nothing.
    let _mapped = file.load(0, Ordering::Relaxed);
    let second = outcome(file.persist(0..8))?;
    print(&json!({ "first": first, "second": second }))
}

/// Loads a word.
pub(crate) fn load(path: &Path, at: &str) -> Result<ExitCode> {
    let word =
        map(path)?.load(at.parse().context("the offset is not a number")?, Ordering::Relaxed);
    print(&json!({ "word": word }))
}
