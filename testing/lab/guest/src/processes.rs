//! Small programs for the effects of one process on another one's file. The result is the exit code, or the signal that
//! ends the process.

use anyhow::{Context as _, Result, ensure};
use cachemaint::dax::{DaxFile, ErrorKind, Options};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Exit code of [`open`] if another process holds the file.
const LOCKED: i32 = 3;

fn map(path: &Path) -> Result<DaxFile> {
    Ok(Options::new().allow_page_granularity().open(path)?)
}

fn this_program(arguments: &[&str], path: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(arguments[0]).arg(path).args(&arguments[1..]);
    command
}

/// Holds a file while another process tries to open it, which must be refused. Then kills a third process that holds
/// it, after which it can be opened: a lock ends with its holder.
pub(crate) fn contend(path: &Path) -> Result<ExitCode> {
    let file = map(path)?;
    let second = this_program(&["open"], path).stdin(Stdio::null()).status()?;
    ensure!(second.code() == Some(LOCKED), "a second process opened the file: {second}");
    drop(file);

    let mut holder = this_program(&["open"], path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the holder")?;
    let mut ready = [0];
    let output = holder.stdout.as_mut().context("the holder has no output")?;
    std::io::Read::read_exact(output, &mut ready).context("the holder did not open the file")?;
    let refusal = map(path).err().context("two processes hold the file")?;
    ensure!(is_locked(&refusal), "refused for another reason: {refusal:#}");
    holder.kill().context("cannot kill the holder")?;
    holder.wait().context("cannot wait for the holder")?;
    drop(map(path)?);
    Ok(ExitCode::SUCCESS)
}

fn is_locked(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<cachemaint::dax::Error>()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::Locked))
}

/// Opens a file, reports this with one byte, and holds the file until the standard input ends.
pub(crate) fn open(path: &Path) -> Result<ExitCode> {
    let file = match map(path) {
        Ok(file) => file,
        Err(error) if is_locked(&error) => std::process::exit(LOCKED),
        Err(error) => return Err(error),
    };
    std::io::Write::write_all(&mut std::io::stdout(), b"+").context("cannot say so")?;
    std::io::Write::flush(&mut std::io::stdout()).context("cannot say so")?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).context("cannot wait")?;
    drop(file);
    ensure!(fs::metadata(path).is_ok(), "{} is gone", path.display());
    Ok(ExitCode::SUCCESS)
}
