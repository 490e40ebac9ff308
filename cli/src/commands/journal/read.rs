//! `cachemaint journal read`.

use super::record::{Form, output};
use super::{named, reader};
use crate::read_only::ReadOnly;
use cachemaint::journal::Position;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Print the records, one a line, from the oldest on
///
/// The file is opened for reading only, also while another process appends to it: the last records may not
/// be acknowledged yet then, and a power cut can take them back. Control characters are shown as escapes.
///
/// Where the journal is damaged, it ends with an error and exit code 1; what comes before is printed.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Begin at this position, at which a record begins or ends
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// Wait at the end for what is appended
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    form: Form,
}

/// How long it waits before it looks again.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, from, follow, form } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = reader(path, &file)?;
    let mut records = match from {
        None => reader.records(),
        Some(from) => file
            .guarded(|| reader.records_from(Position::new(*from)))?
            .map_err(|error| named(path, error))?,
    };
    // On an error its end writes out what comes before.
    let mut out = output();
    loop {
        match file.guarded(|| records.next())?.transpose() {
            Ok(Some(record)) => form.write(&mut out, &record)?,
            Ok(None) => {
                out.flush()?;
                if !follow {
                    return Ok(ExitCode::SUCCESS);
                }
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(named(path, error)),
        }
    }
}
