//! The command `cachemaint`.
//!
//! Exit codes: 0 for success; 1 if the command found a problem that it looks for (damage, loss) or failed; 2 if the
//! command line is not understood; 130 if a signal ended `demo`, `record` or `preserve load --output`. `record` passes on
//! the exit code of the program which it runs. Results go to standard output, errors to standard error. If the reader of
//! standard output closes the pipe, a command ends quietly with exit code 141, as by SIGPIPE. What it was asked to
//! append, save or guard is done before.

mod canary;
mod commands;
mod files;
#[cfg_attr(unix, expect(unsafe_code, reason = "reads and sets the disposition of signals"))]
mod interrupts;
mod read_only;
#[cfg_attr(unix, expect(unsafe_code, reason = "closes a descriptor, to get the error"))]
mod standard;

use clap::{Parser, Subcommand};
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
    Stat(commands::stat::Arguments),
    #[cfg(target_os = "linux")]
    Guard(commands::guard::Arguments),
    #[cfg(target_os = "linux")]
    Writeback(commands::guard::OnceArguments),
    #[cfg(not(target_os = "linux"))]
    Guard(commands::linux_alone::Arguments),
    #[cfg(not(target_os = "linux"))]
    Writeback(commands::linux_alone::Arguments),
    Bench(commands::bench::Arguments),
    #[command(hide = true)]
    DemoWriter(commands::demo::WriterArguments),
}

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
        Command::Stat(arguments) => commands::stat::run(&arguments),
        #[cfg(target_os = "linux")]
        Command::Guard(arguments) => commands::guard::run(&arguments),
        #[cfg(target_os = "linux")]
        Command::Writeback(arguments) => commands::guard::run_once(&arguments),
        #[cfg(not(target_os = "linux"))]
        Command::Guard(_) | Command::Writeback(_) => commands::linux_alone::run(),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::DemoWriter(arguments) => commands::demo::write_until_killed(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => commands::text::UNREAD.into(),
        Err(error) => {
            // Names of files and devices can come from anywhere: a terminal would execute their control characters.
            commands::text::tell!(
                "cachemaint: {}",
                commands::text::printable(format!("{error:#}"))
            );
            ExitCode::FAILURE
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

/// Returns true if the reader of the output went away, as in `cachemaint caps | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
