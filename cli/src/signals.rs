//! Signals: those that ask a command to end, and that of a file which becomes too long.

use std::process::exit;
#[cfg(unix)]
use {
    anyhow::Context as _,
    signal_hook::consts::{SIGHUP, SIGINT, SIGTERM},
    signal_hook::iterator::Signals,
    std::sync::Arc,
    std::thread,
};

/// Calls `handler` with the signal, on a thread of its own, at the first SIGINT, SIGTERM or SIGHUP from now on, instead of
/// ending the command. On Linux a signal that is ignored at the start stays so: `nohup` ignores SIGHUP, and a shell without job
/// control ignores SIGINT for its jobs in the background.
#[cfg(unix)]
pub(crate) fn handle(handler: impl FnOnce(i32) + Send + 'static) -> anyhow::Result<()> {
    let ignored = ignored();
    let awaited = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let awaited = awaited.filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(awaited).context("cannot handle signals")?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            handler(signal);
        }
    };
    thread::Builder::new().spawn(wait).context("cannot start a thread")?;
    Ok(())
}

/// Other systems end the command.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "Unix can fail")]
pub(crate) fn handle(_: impl FnOnce(i32) + Send + 'static) -> anyhow::Result<()> {
    Ok(())
}

/// Ends the command by a signal that was handled, as a command without a handler ends. Shells show 128 plus its number.
pub(crate) fn end_by(signal: i32) -> ! {
    #[cfg(unix)]
    drop(signal_hook::low_level::emulate_default_handler(signal));
    exit(128 + signal)
}

/// Has a write beyond the limit of file sizes (setrlimit(2), `RLIMIT_FSIZE`) fail, instead of ending the command by SIGXFSZ.
pub(crate) fn outlive_file_limit() {
    #[cfg(unix)]
    drop(signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), Arc::default()));
}

/// Returns the set of ignored signals (`proc_pid_status(5)`).
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0)
}
