//! The command `cachemaint`.
//!
//! Exit codes: 0 if the work is done; 1 if the answer is no: damage, a loss, files without a guard; 2 if the command line is
//! not understood; 3 if the work could not be done; 130 if a signal ended it; 141, as by SIGPIPE, if the reader of standard
//! output has closed the pipe. Results go to standard output, errors to standard error. What a command was asked to append,
//! save or guard is done although its report cannot be printed.

mod canary;
mod commands;
mod interrupts;
mod output;
mod read_only;
mod standard;

use clap::{Parser, Subcommand};
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Cache maintenance and persistence: the promises of this machine, and the proof on a real file.
#[derive(Parser)]
#[command(name = "cachemaint", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Caps(commands::caps::Arguments),
    Inspect(commands::inspect::Arguments),
    Demo(commands::demo::Arguments),
    Journal(commands::journal::Arguments),
    Preserve(commands::preserve::Arguments),
    Record(commands::record::Arguments),
    Dump(commands::dump::Arguments),
    #[cfg(target_os = "linux")]
    Guard(commands::guard::Arguments),
    Bench(commands::bench::Arguments),
    #[command(hide = true)]
    DemoWriter(commands::demo::WriterArguments),
}

/// The exit code of a command that could not do its work.
const FAILED: u8 = 3;
/// The exit code of a command whose output has no reader any more (128 and SIGPIPE), as shells have it.
const UNREAD: u8 = 141;

fn main() -> ExitCode {
    // Where there is no handler, an access to a missing byte of a file ends the command.
    #[cfg(target_os = "linux")]
    drop(cachemaint::dax::FaultHandler::install());
    let outcome = match arguments().command {
        Command::Caps(arguments) => commands::caps::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Journal(arguments) => commands::journal::run(&arguments),
        Command::Preserve(arguments) => commands::preserve::run(&arguments),
        Command::Record(arguments) => commands::record::run(&arguments),
        Command::Dump(arguments) => commands::dump::run(&arguments),
        #[cfg(target_os = "linux")]
        Command::Guard(arguments) => commands::guard::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::DemoWriter(arguments) => commands::demo::write_until_killed(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => UNREAD.into(),
        Err(error) => {
            commands::text::tell!("{error:#}{}", action(&error));
            FAILED.into()
        }
    }
}

/// Parses the command line. An error shows its arguments: a terminal would execute their control characters, so these are
/// replaced first.
fn arguments() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|error| {
        let shown = std::env::args_os()
            .map(|argument| commands::text::printable(Path::new(&argument).display()));
        // The replaced arguments can be valid, if those given are not UTF-8.
        Arguments::try_parse_from(shown).err().unwrap_or(error).exit()
    })
}

/// Returns what helps against the error of a system call that the kernel does not have, or that is not permitted.
fn action(error: &anyhow::Error) -> &'static str {
    #[cfg(unix)]
    let is_refused = |error: &io::Error| {
        use rustix::io::Errno;
        matches!(Errno::from_io_error(error), Some(Errno::NOSYS | Errno::PERM))
    };
    #[cfg(not(unix))]
    let is_refused = |_: &io::Error| false;
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(is_refused)) {
        "; if a filter of system calls (seccomp) refuses it, have the container or sandbox permit it"
    } else {
        ""
    }
}

/// Returns true if the reader of the output went away, as in `cachemaint caps | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_it))
}
