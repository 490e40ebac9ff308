//! A machine's first program that does one thing and powers off, without the host's requests.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result};
use rustix::system::{RebootCommand, reboot};

/// Starts the machine, prints the result of `work` on the console and powers off.
pub(crate) fn run(work: impl FnOnce() -> Result<String>) -> Result<ExitCode> {
    lose_lines_agent::boot()?;
    let mut console = OpenOptions::new().write(true).open("/dev/console").context("no console")?;
    match work() {
        Ok(text) => writeln!(console, "{text}")?,
        Err(why) => writeln!(console, "failed: {why:#}")?,
    }
    reboot(RebootCommand::PowerOff).context("cannot power off")?;
    // The call does not return.
    loop {
        thread::park();
    }
}

/// Returns the kernel's symbols of a module, with their addresses.
pub(crate) fn symbols(module: &str) -> Result<String> {
    let all = fs::read_to_string("/proc/kallsyms").context("cannot read the kernel's symbols")?;
    let end = format!("[{module}]");
    Ok(all.lines().filter(|line| line.ends_with(&end)).collect::<Vec<_>>().join("\n"))
}
