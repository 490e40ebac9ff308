//! The first bytes of each format. By them a format knows a medium of another one, and is not created over it.

use super::root::BLOCK;
use cachemaint::medium::Readable;
use core::error::Error;
use core::fmt::{self, Formatter};

/// The first bytes of a format.
pub type Magic = [u8; 8];

/// A journal.
pub const JOURNAL: Magic = *b"cmjournl";
/// A recording.
pub const RECORDING: Magic = *b"CMtRace\x1a";
/// A store.
pub const STORE: Magic = *b"cmpresrv";

/// Returns the name of the format that begins with these bytes.
#[must_use]
pub const fn name(found: Magic) -> Option<&'static str> {
    match found {
        JOURNAL => Some("a journal"),
        RECORDING => Some("a recording"),
        STORE => Some("a store"),
        _ => None,
    }
}

/// Writes that a medium begins with other bytes than those of a format, and the action to take.
pub fn write_instead(f: &mut Formatter<'_>, found: Magic, magic: Magic) -> fmt::Result {
    let format = name(magic).unwrap_or_default();
    match name(found) {
        Some(other) => write!(
            f,
            "the medium has {other} instead of {format}; open it as that, or open another medium"
        ),
        None => write!(
            f,
            "this is not {format}: it begins with {} instead of {}; open another medium",
            found.escape_ascii(),
            magic.escape_ascii()
        ),
    }
}

/// Returns the words at the beginnings of all roots. Bytes after the end of the medium are zeros.
pub fn words<E: Error>(medium: &dyn Readable<Error = E>) -> Result<[Magic; 4], E> {
    let mut words = [[0; 8]; 4];
    for (at, word) in [0, 1, 2, 3].map(|slot| slot * BLOCK).into_iter().zip(&mut words) {
        let len = stored(medium, at);
        if len > 0 {
            medium.read(at, &mut word[..len])?;
        }
    }
    medium.check()?;
    Ok(words)
}

/// Returns the number of bytes of the word at `at` that the medium has.
fn stored<E: Error>(medium: &dyn Readable<Error = E>, at: u64) -> usize {
    medium.len().saturating_sub(at).min(8) as usize
}

/// Returns the first of these words that begins another format than that of `magic`.
#[must_use]
pub fn another(words: [Magic; 4], magic: Magic) -> Option<Magic> {
    words.into_iter().find(|word| *word != magic && name(*word).is_some())
}

/// Returns the first word of a medium that is too short for its roots, or that of another format, if they show other
/// content.
///
/// A medium that was cut begins with zeros or with this magic, or has this magic in the place of a root.
pub fn other_than<E: Error>(
    magic: Magic,
    medium: &dyn Readable<Error = E>,
) -> Result<Option<Magic>, E> {
    let len = stored(medium, 0);
    let words = words(medium)?;
    let first = words[0];
    let is_possible = first[..len] == magic[..len] || first == [0; 8] || words.contains(&magic);
    let named = words.into_iter().find(|word| name(*word).is_some());
    Ok((!is_possible).then_some(named.unwrap_or(first)))
}
