//! The command `cachemaint`.
//!
//! Results go to standard output, errors to standard error. A command appends, saves or guards what it was asked to, even if
//! its report cannot be printed.

mod commands;
mod failure;
mod output;
mod read_only;
mod signals;
mod streams;

use clap::{ColorChoice, Parser, Subcommand};
use commands::text;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{ExitCode, exit};

/// Show what survives a crash, and store logs, state and events that must survive one
#[derive(Parser)]
#[command(name = "cachemaint", version, propagate_version = true, max_term_width = 100)]
#[command(help_template = TEMPLATE, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print only errors, JSON and requested data
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

const TEMPLATE: &str = "\
{about-with-newline}
Examples:
  Keep the last lines that a program prints, even if the machine crashes:
    program | cachemaint recording write events --create 16M
  Append a record that survives a crash:
    echo \"paid 3 to Ada\" | cachemaint journal append log --create 1M
  Start a service only if its file survives a power loss:
    cachemaint inspect log --survives power-loss --accept drive_flushes

{usage-heading} {usage}

{all-args}{after-help}";

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    the answer is no: damaged, lost, or a demand that is not met
  2    the command line is wrong
  3    I/O or environment failure, or its output could not be written
  141  the reader of standard output closed the pipe

A signal ends every command with 128 plus its number: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP. Only `guard` then
exits with 0 or 1.

With --json, a command that fails prints {\"error\": {\"message\": TEXT}} as its last object.
Sizes are 4096, 64k, 1.5M or 1GiB, in units of 1024. Times are 10ms or 1.5s.";

#[derive(Subcommand)]
enum Command {
    Caps(commands::caps::Arguments),
    Inspect(commands::inspect::Arguments),
    Journal(commands::journal::Arguments),
    Store(commands::store::Arguments),
    Recording(commands::recording::Arguments),
    #[cfg(target_os = "linux")]
    Guard(commands::guard::Arguments),
    Canary(commands::canary::Arguments),
    Bench(commands::bench::Arguments),
    Demo(commands::demo::Arguments),
    #[cfg(feature = "generate")]
    #[command(hide = true)]
    Generate(commands::generate::Arguments),
}

fn main() -> ExitCode {
    // Where there is no handler, an access to a missing byte of a file ends the command.
    #[cfg(target_os = "linux")]
    drop(cachemaint::dax::FaultHandler::install());
    signals::outlive_file_limit();
    let Arguments { command, quiet, color } = arguments();
    text::be_quiet(quiet);
    match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let outcome = match command {
        Command::Caps(arguments) => commands::caps::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Journal(arguments) => commands::journal::run(&arguments),
        Command::Store(arguments) => commands::store::run(&arguments),
        Command::Recording(arguments) => commands::recording::run(&arguments),
        #[cfg(target_os = "linux")]
        Command::Guard(arguments) => commands::guard::run(&arguments),
        Command::Canary(arguments) => commands::canary::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Demo(arguments) => commands::demo::run(&arguments),
        #[cfg(feature = "generate")]
        Command::Generate(arguments) => {
            commands::generate::run(&arguments, <Arguments as clap::CommandFactory>::command())
        }
    };
    outcome.unwrap_or_else(|error| {
        print_json_of(&error);
        failure::tell(&error).into()
    })
}

/// Parses the command line. An error shows its arguments: a terminal would execute their control characters, so these are
/// replaced first.
fn arguments() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|error| {
        let shown =
            std::env::args_os().map(|argument| text::printable(Path::new(&argument).display()));
        // The replaced arguments can be valid, if those given are not UTF-8.
        let error = Arguments::try_parse_from(shown).err().unwrap_or(error);
        if error.use_stderr() {
            print_json_of(&anyhow::Error::msg(error.render().to_string()));
            error.exit();
        }
        // The help or the version, which was asked for.
        let printed = text::report(|out| write!(out, "{}", error.render().ansi()));
        exit(printed.err().map_or(0, |error| failure::tell(&error)).into());
    })
}

/// Prints an error as the last line of JSON, if the command line asks for JSON: a filter that gets nothing can take that for a
/// yes.
fn print_json_of(error: &anyhow::Error) {
    if wants_json() && !failure::is_broken_pipe(error) {
        // The exit code and standard error say it too.
        drop(text::write_json(&serde_json::json!({"error": failure::in_json(error)})));
    }
}

/// Returns true if the command line, right or wrong, asks for JSON: by `--json`, or by `-j` among switches.
fn wants_json() -> bool {
    let asks = |argument: OsString| {
        let switches = argument.as_encoded_bytes().strip_prefix(b"-").unwrap_or_default();
        argument == "--json"
            || switches.contains(&b'j') && switches.iter().all(|switch| b"jq".contains(switch))
    };
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(asks)
}
