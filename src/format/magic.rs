//! The first bytes of each format. By them a format knows a medium of another one, and is not created over it.

use crate::medium::Readable;
use core::error::Error;
use core::fmt::{self, Formatter};

/// The first bytes of a format.
pub(crate) type Magic = [u8; 8];

pub(crate) const JOURNAL: Magic = *b"cmjournl";
pub(crate) const RECORDING: Magic = *b"CMtRace\x1a";
pub(crate) const STORE: Magic = *b"cmpresrv";

/// Returns the name of the format that begins with these bytes.
pub(crate) const fn name(found: Magic) -> Option<&'static str> {
    match found {
        JOURNAL => Some("a journal"),
        RECORDING => Some("a recording"),
        STORE => Some("a store"),
        _ => None,
    }
}

/// Writes that a medium begins with other bytes than those of a format, and the action to take.
pub(crate) fn write_instead(f: &mut Formatter<'_>, found: Magic, magic: Magic) -> fmt::Result {
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

/// The offset of the second superblock of each format.
const SECOND: u64 = 4096;

/// Returns the first words of both superblocks. Bytes after the end of the medium are zeros.
pub(crate) fn words<E: Error>(medium: &dyn Readable<Error = E>) -> Result<[Magic; 2], E> {
    let mut words = [[0; 8]; 2];
    for (at, word) in [0, SECOND].into_iter().zip(&mut words) {
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
#[cfg(any(feature = "journal", feature = "preserve", feature = "recorder"))]
pub(crate) fn another(words: [Magic; 2], magic: Magic) -> Option<Magic> {
    words.into_iter().find(|word| *word != magic && name(*word).is_some())
}

/// Returns the first words of a medium that is too short for both superblocks, if they show other content.
///
/// A medium that was cut begins with zeros or with this magic, or has this magic in its second superblock.
pub(crate) fn other_than<E: Error>(
    magic: Magic,
    medium: &dyn Readable<Error = E>,
) -> Result<Option<[Magic; 2]>, E> {
    let len = stored(medium, 0);
    let words @ [first, second] = words(medium)?;
    let is_possible = first[..len] == magic[..len] || first == [0; 8] || second == magic;
    Ok((!is_possible).then_some(words))
}
