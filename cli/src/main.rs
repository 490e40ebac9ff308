//! The command `cachemaint`.
//!
//! Results go to standard output, errors to standard error. What a command was asked to append, save or guard is done
//! although its report cannot be printed.

mod canary;
mod commands;
mod interrupts;
mod output;
mod read_only;
mod standard;

use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand};
use commands::text::{Failure, Talk, failed, write_json_line};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// Cache maintenance and persistence: the promises of this machine, and the proof on a real file.
#[derive(Parser)]
#[command(name = "cachemaint", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print no report, progress or remark: errors, JSON, records, events and blobs alone
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print also the guarantee of what is appended or recorded
    #[arg(short, long, global = true)]
    verbose: bool,
    /// The use of colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    the answer is no: damaged, lost, not enough
  2    the command line is not understood
  3    could not be done
  130  ended by a signal, after what is left to do
  141  the reader of standard output has closed the pipe

With --json a command that could not be done prints {\"error\": {\"message\": TEXT}} as its last object.
Sizes are in units of 1024: 4096, 64k, 1.5M, 1GiB. Times have a unit: 10ms, 1.5s.";

#[derive(Subcommand)]
enum Command {
    Caps(commands::caps::Arguments),
    Inspect(commands::inspect::Arguments),
    Demo(commands::demo::Arguments),
    Journal(commands::journal::Arguments),
    Store(commands::store::Arguments),
    Record(commands::record::Arguments),
    Dump(commands::dump::Arguments),
    #[cfg(target_os = "linux")]
    Guard(commands::guard::Arguments),
    Bench(commands::bench::Arguments),
    #[command(hide = true)]
    DemoWriter(commands::demo::WriterArguments),
    #[command(hide = true)]
    Generate(commands::generate::Arguments),
}

/// The exit code of a command whose output has no reader any more (128 and SIGPIPE), as shells have it.
const UNREAD: u8 = 141;

fn main() -> ExitCode {
    // Where there is no handler, an access to a missing byte of a file ends the command.
    #[cfg(target_os = "linux")]
    drop(cachemaint::dax::FaultHandler::install());
    let Arguments { command, quiet, verbose, color } = arguments();
    Talk::set(quiet, verbose);
    match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let outcome = match command {
        Command::Caps(arguments) => commands::caps::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Journal(arguments) => commands::journal::run(&arguments),
        Command::Store(arguments) => commands::store::run(&arguments),
        Command::Record(arguments) => commands::record::run(&arguments),
        Command::Dump(arguments) => commands::dump::run(&arguments),
        #[cfg(target_os = "linux")]
        Command::Guard(arguments) => commands::guard::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::DemoWriter(arguments) => commands::demo::write_until_killed(&arguments),
        Command::Generate(arguments) => commands::generate::run(&arguments, Arguments::command()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => UNREAD.into(),
        Err(error) => {
            print_json_of(&error);
            failed(&error)
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
        let error = Arguments::try_parse_from(shown).err().unwrap_or(error);
        if error.use_stderr() {
            print_json_of(&anyhow::Error::msg(error.render().to_string()));
        }
        error.exit()
    })
}

/// The document of a command that has failed: a filter of JSON that gets nothing can take that for a yes.
#[derive(serde::Serialize)]
struct Failed {
    error: Failure,
}

/// Prints an error as the last line of JSON, if the command line asks for JSON.
fn print_json_of(error: &anyhow::Error) {
    if !wants_json() {
        return;
    }
    let mut line = Vec::new();
    if write_json_line(&mut line, &Failed { error: Failure::new(error) }).is_ok() {
        // The exit code and standard error say it too.
        drop(io::stdout().lock().write_all(&line));
    }
}

/// Returns true if the command line, right or wrong, asks for JSON: by `--json`, or by `-j` alone or among other switches.
fn wants_json() -> bool {
    let asks = |argument: OsString| {
        let switches = argument.as_encoded_bytes().strip_prefix(b"-").unwrap_or_default();
        argument == "--json"
            || switches.contains(&b'j') && switches.iter().all(|switch| b"jqv".contains(switch))
    };
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(asks)
}

/// Returns true if the reader of the output went away, as in `cachemaint caps | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_it))
}
