//! The output of the checks: standard output, or a log that is printed as a whole, for steps that run beside others.
//!
//! Each thread has an output of its own, and so have the commands that it waits for.

use core::cell::RefCell;
use std::io::{self, Write};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use lose_lines::log::Log;

thread_local! {
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// The output of this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output;

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| match log {
            Some(log) => log.write(buf),
            None => io::stdout().write(buf),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        LOG.with_borrow_mut(|log| match log {
            Some(log) => log.flush(),
            None => io::stdout().flush(),
        })
    }
}

/// Returns the same output as the standard error of a child.
pub(crate) fn complaints() -> Result<Stdio> {
    LOG.with_borrow(|log| log.as_ref().map_or_else(|| Ok(Stdio::inherit()), Log::complaints))
}

/// Keeps the output of this thread in a log while `work` runs, then prints it.
pub(crate) fn collected<T>(log: Log, work: impl FnOnce() -> T) -> Result<T> {
    LOG.set(Some(log));
    let result = work();
    let log = LOG.take().context("the log of this thread is gone")?;
    io::stdout().lock().write_all(log.text()?.as_bytes())?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{Output, collected};
    use crate::command::{Check as _, Cmd};
    use lose_lines::log::Log;

    #[test]
    fn the_output_of_a_thread_and_of_its_commands_is_in_one_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::create(folder.path(), "step").unwrap();
        collected(log, || {
            writeln!(Output, "before").unwrap();
            let command = Cmd::new("sh").args(["-c", "echo out; echo error >&2"]);
            assert!(command.check().unwrap().failure().is_none());
            writeln!(Output, "behind").unwrap();
            // Another thread's output is not in it.
            std::thread::spawn(|| writeln!(Output, "elsewhere").unwrap()).join().unwrap();
        })
        .unwrap();
        let text = Log::read(folder.path(), "step");
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('$')).collect();
        assert_eq!((lines.first(), lines.last()), (Some(&"before"), Some(&"behind")));
        // Standard output goes through a pipe, and standard error does not.
        lines.sort_unstable();
        assert_eq!(lines, ["before", "behind", "error", "out"]);
    }
}
