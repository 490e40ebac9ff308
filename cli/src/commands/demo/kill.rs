//! The writing process, which is killed in the middle.

use super::acknowledgements::{Acknowledged, take_one};
use super::{FILE, PAYLOAD};
use crate::commands::text;
use crate::interrupts;
use anyhow::{Context, ensure};
use std::io::BufReader;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The number of acknowledged records after which the child is killed; or it is killed after [`PATIENCE`] and at least
/// one.
const KILL_AFTER: u64 = FILE / PAYLOAD as u64 / 4;
const PATIENCE: Duration = Duration::from_secs(2);

/// True after SIGINT, SIGTERM or SIGHUP.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Returns true after one of these signals.
pub(super) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Ends the demo at its next record after SIGINT, SIGTERM or SIGHUP, and removes its file and its child. A second
/// signal ends it at once: the disk may hang.
pub(super) fn note_interrupts() -> anyhow::Result<()> {
    interrupts::handle(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(text::INTERRUPTED.into());
        }
    })
}

/// Runs the child, kills it in the middle, and collects its acknowledgements.
pub(super) fn write_and_kill(path: &Path) -> anyhow::Result<Acknowledged> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let mut command = Command::new(program);
    command.arg("demo-writer").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    // A terminal's interrupt is for this process, which ends the child.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().context("the writing process cannot be started")?;
    let acknowledged = collect(&mut child);
    // No child is left behind after any failure.
    child.kill().context("the writing process cannot be killed")?;
    let status = child.wait().context("the writing process cannot be waited for")?;
    let acknowledged = acknowledged?;
    ensure!(
        was_killed(status),
        "the writing process ended by itself ({status}) after {} records",
        acknowledged.times.len(),
    );
    Ok(acknowledged)
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

/// On other systems (`TerminateProcess`) the kill looks like any failure.
#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}

/// Reads acknowledgements until it is time to kill, kills, and reads the rest of the pipe.
fn collect(child: &mut Child) -> anyhow::Result<Acknowledged> {
    let stdout = child.stdout.take().context("the writing process has no output")?;
    let mut reader = BufReader::new(stdout);
    let mut acknowledged = Acknowledged::default();
    let started = Instant::now();
    let is_time = |acknowledged: &Acknowledged| {
        let count = acknowledged.times.len() as u64;
        // A busy machine may start the child late.
        let is_late = count > 0 && started.elapsed() >= PATIENCE;
        count >= KILL_AFTER || is_late || is_interrupted()
    };
    while !is_time(&acknowledged) {
        if !take_one(&mut reader, &mut acknowledged)? {
            break;
        }
    }
    child.kill().context("the writing process cannot be killed")?;
    while take_one(&mut reader, &mut acknowledged)? {}
    Ok(acknowledged)
}
