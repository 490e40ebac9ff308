//! A program whose output is recorded and passed on.

#[cfg(unix)]
use super::stoppable::{Stoppable, StoppableWriter};
use super::{Lines, Stream};
use crate::commands::text;
use crate::standard;
use anyhow::Context as _;
use cachemaint::dax::DaxFile;
use cachemaint_recorder::Recorder;
use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, PipeWriter, Read, Write};
#[cfg(unix)]
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

/// Runs a program, and records its output. Returns its exit code: as shells do, 127 for a program that is not found, and
/// 126 for one that cannot be started. A failure to record its lines or to pass them on ends nothing, and makes a code of 0
/// that of a failure.
pub(super) fn record(
    path: &Path,
    recorder: &Recorder<'static, Arc<DaxFile>>,
    program: &OsStr,
    arguments: &[OsString],
) -> anyhow::Result<ExitCode> {
    // The shards are claimed before the program runs: a file of another program may have too few shards.
    let has_failed = AtomicBool::new(false);
    let output = Lines::new(path, recorder, Stream::Output, Some(&has_failed))?;
    let errors = Lines::new(path, recorder, Stream::Error, Some(&has_failed))?;
    #[cfg(unix)]
    let stop = super::signals::pass_on().context("signals cannot be handled")?;
    // An interrupt of the terminal reaches the program itself, and its last lines are recorded.
    #[cfg(not(unix))]
    let stop = crate::interrupts::handle(|| {}).map(|()| NeverStopped)?;
    let (from_errors, to_errors) = io::pipe().context("a pipe cannot be created")?;
    #[cfg(unix)]
    let from_errors = Stoppable::new(from_errors, &stop);
    thread::scope(|scope| {
        // A program that runs must not end because there is no thread to read its output.
        let mut to = until_stopped(standard::errors(), &stop);
        let beside = thread::Builder::new()
            .spawn_scoped(scope, move || errors.record(from_errors, &mut to))
            .context("the program was not run, as a thread cannot be started")?;
        let mut child = match start(program, arguments, to_errors) {
            Ok(child) => child,
            Err(code) => return Ok(code),
        };
        #[cfg(unix)]
        super::signals::pass_on_to(&child);
        let from = child.stdout.take().context("the program has no output")?;
        #[cfg(unix)]
        let from = Stoppable::new(from, &stop);
        let output = record_output(output, from, &stop);
        let errors = beside.join().unwrap_or_else(|panic| resume_unwind(panic));
        #[cfg(unix)]
        super::signals::pass_on_until_end().context("the program cannot be waited for")?;
        let status = child.wait().context("the program cannot be waited for")?;
        let is_passed_on = output? & errors?;
        let is_lost = !is_passed_on || has_failed.load(Ordering::Relaxed);
        Ok(if status.success() && is_lost { ExitCode::FAILURE } else { code(status) })
    })
}

/// Records the lines of the program's standard output, and passes them on if standard output can be written. A closed one
/// discards them.
fn record_output(lines: Lines<'_>, from: impl Read, stop: &Stop) -> anyhow::Result<bool> {
    match standard::output_or_closed() {
        Ok(mut to) => {
            let is_passed_on = lines.record(from, &mut until_stopped(&mut to, stop))?;
            Ok(has_finished(standard::finish(BufWriter::new(to))) && is_passed_on)
        }
        Err(error) => {
            text::tell!("cachemaint: lines are recorded, but not passed on: {error:#}");
            lines.record(from, &mut io::sink()).map(|_| false)
        }
    }
}

/// The means to stop a recording.
#[cfg(unix)]
type Stop = io::PipeReader;
#[cfg(not(unix))]
type Stop = NeverStopped;
#[cfg(not(unix))]
struct NeverStopped;

/// Returns a writer that is given up when the recording is stopped and no process reads it.
#[cfg(unix)]
const fn until_stopped<W: Write + AsFd>(to: W, stop: &Stop) -> StoppableWriter<'_, W> {
    StoppableWriter::new(to, stop)
}

#[cfg(not(unix))]
const fn until_stopped<W: Write>(to: W, _: &Stop) -> W {
    to
}

/// Returns true if the output was written out, and reports a failure. A reader that has gone is not a failure: the program
/// has found its output closed. On Windows the buffer of standard output can still have bytes for that reader.
fn has_finished(finished: io::Result<()>) -> bool {
    match finished {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            text::tell!("cachemaint: lines are recorded, but not all are passed on: {error}");
            false
        }
        _ => true,
    }
}

/// Starts a program with a pipe as its standard error, of which this process keeps no writer. Returns the exit code if the
/// program cannot be started.
fn start(program: &OsStr, arguments: &[OsString], errors: PipeWriter) -> Result<Child, ExitCode> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(errors);
    command.spawn().map_err(|error| {
        let program = text::printable(Path::new(program).display());
        text::tell!("cachemaint: {program} cannot be started: {error}");
        ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
    })
}

/// Returns the exit code as shells do: for a signal, 128 plus its number.
#[cfg(unix)]
fn code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;

    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(not(unix))]
fn code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::has_finished;
    use std::io::ErrorKind;

    #[test]
    fn an_output_whose_reader_has_gone_is_not_a_failure() {
        assert!(has_finished(Err(ErrorKind::BrokenPipe.into())));
        assert!(!has_finished(Err(ErrorKind::StorageFull.into())));
        assert!(has_finished(Ok(())));
    }
}
