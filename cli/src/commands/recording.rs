//! The functions for recordings that `record`, `dump` and `stat` share.

use crate::read_only::ReadOnly;
use cachemaint::dax::{self, DaxView};
use cachemaint::recorder::{Error, ErrorKind, Reader};
use jiff::Timestamp;
use std::path::Path;

/// Opens the recording in a file for reading.
pub(super) fn reader<'f>(path: &Path, file: &'f ReadOnly) -> anyhow::Result<Reader<&'f DaxView>> {
    file.guarded(|| Reader::open(file.view()))?.map_err(|error| named(path, error.error))
}

/// Returns the error with the path of its file.
pub(super) fn named(path: &Path, error: Error<dax::Error>) -> anyhow::Error {
    match error.kind() {
        // This error already has the path.
        ErrorKind::Medium(_) => error.into(),
        _ => anyhow::Error::new(error).context(path.display().to_string()),
    }
}

/// Returns the damage to the names of events, some of which a lost descriptor may have had.
pub(super) const fn damage_of_names(is_descriptor_lost: bool) -> &'static str {
    if is_descriptor_lost {
        "names of events may be lost with the descriptor"
    } else {
        "the names of events are damaged"
    }
}

/// Returns the time that is `nanoseconds` after the beginning of 1970. All times that 64 bits can count are within the
/// calendar.
pub(super) fn time(nanoseconds: u64) -> Option<String> {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    Some(format!("{time:.9}"))
}

#[cfg(test)]
mod tests {
    use super::time;

    /// The known moments are 10^9 seconds and the last one that 64 bits of nanoseconds can count (`date -u -d
    /// @18446744073`).
    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(1_000_000_000_000_000_050).unwrap(), "2001-09-09T01:46:40.000000050Z");
        assert_eq!(time(u64::MAX).unwrap(), "2554-07-21T23:34:33.709551615Z");
    }
}
