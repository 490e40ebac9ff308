//! `cachemaint recording`: write lines into a flight recorder, and print them.

mod print;
mod write;

use super::payload;
use super::text;
use crate::failure::of_format;
use crate::read_only::ReadOnly;
use cachemaint::dax;
use cachemaint_recorder::{Error, ErrorKind, Reader};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Keep the last events of a program in a file, and print them
///
/// New events overwrite the oldest. The newest survive every crash that the file survives.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Write(write::Arguments),
    Print(print::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Write(arguments) => write::run(arguments),
        Command::Print(arguments) => print::run(arguments),
    }
}

/// Opens the recording in a file for reading.
pub(super) fn reader<'f>(path: &Path, file: &'f ReadOnly) -> anyhow::Result<Reader<&'f ReadOnly>> {
    Reader::open(file).map_err(|error| named(path, error.error))
}

/// Returns the error with the path of its file.
pub(super) fn named(path: &Path, error: impl Into<Error<dax::Error>>) -> anyhow::Error {
    let error = error.into();
    match error.kind() {
        ErrorKind::Format(format) => of_format(path, Some(format), &error),
        _ => of_format(path, None, &error),
    }
}

/// The damage to the names of events.
pub(super) const DAMAGED_NAMES: &str = "the names of events are damaged";

/// Returns the time that is `nanoseconds` after the beginning of 1970. All times that 64 bits can count are within the
/// calendar.
pub(super) fn time(nanoseconds: u64) -> Option<String> {
    let time = text::utc(nanoseconds / SECOND)?;
    Some(format!("{time}.{:09}Z", nanoseconds % SECOND))
}

const SECOND: u64 = 1_000_000_000;

/// The times of many events, most of which are in one second with the event before.
#[derive(Default)]
pub(super) struct Times {
    second: u64,
    /// The last time; empty before the first one.
    text: String,
}

impl Times {
    /// Returns a time as [`time`] does.
    pub(super) fn of(&mut self, nanoseconds: u64) -> Option<&str> {
        let second = nanoseconds / SECOND;
        if self.text.is_empty() || self.second != second {
            (self.second, self.text) = (second, time(nanoseconds)?);
        }
        self.text.truncate(self.text.len() - "000000000Z".len());
        write!(self.text, "{:09}Z", nanoseconds % SECOND).ok()?;
        Some(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Times;

    /// The known moments are 10^9 seconds and the last one that 64 bits of nanoseconds can count (`date -u -d
    /// @18446744073`).
    #[test]
    fn times_of_one_second_and_of_others_are_those_of_the_calendar() {
        let mut times = Times::default();
        for (nanoseconds, expected) in [
            (1_000_000_000_000_000_050, "2001-09-09T01:46:40.000000050Z"),
            (1_000_000_000_999_999_999, "2001-09-09T01:46:40.999999999Z"),
            (1_000_000_000_000_000_000, "2001-09-09T01:46:40.000000000Z"),
            (1_000_000_001_000_000_000, "2001-09-09T01:46:41.000000000Z"),
            (0, "1970-01-01T00:00:00.000000000Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(times.of(nanoseconds), Some(expected));
        }
    }
}
