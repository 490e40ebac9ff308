//! Errors of missing files, and of files of zeros, in commands that can create them.

use anyhow::anyhow;
use cachemaint::dax;
use cachemaint_journal as journal;
use cachemaint_preserve as preserve;
use cachemaint_preserve::FormatError;

/// Adds the option that creates a missing file, journal or store to an error about it.
pub(super) fn or_create(error: anyhow::Error) -> anyhow::Error {
    const ZEROS: [u8; 8] = [0; 8];
    let file = error.downcast_ref::<dax::Error>().map(dax::Error::kind);
    let journal = error.downcast_ref::<journal::Error<dax::Error>>().map(journal::Error::kind);
    let store = error.downcast_ref::<preserve::Error<dax::Error>>().map(preserve::Error::kind);
    let is_missing = matches!(file, Some(dax::ErrorKind::NotFound))
        || matches!(
            journal,
            Some(journal::ErrorKind::Format(FormatError::Foreign { found: ZEROS, .. }))
        )
        || matches!(
            store,
            Some(preserve::ErrorKind::Format(FormatError::Foreign { found: ZEROS, .. }))
        );
    if is_missing { anyhow!("{error:#} (`--create SIZE`)") } else { error }
}
