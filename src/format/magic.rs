//! The first bytes of each format. By them a format knows a medium of another one, and is not created over it.

use crate::medium::Readable;
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
            "this is not {format}: it begins with {} instead of {}; open another medium, since creating {format} here \
             would destroy its content",
            found.escape_ascii(),
            magic.escape_ascii()
        ),
    }
}

/// The offset of the second superblock of each format.
const SECOND: u64 = 4096;

/// Returns the first bytes of a medium that is too short for both superblocks, if they show other content.
///
/// A medium that was cut begins with zeros or with this magic, or has this magic in its second superblock.
pub(crate) fn other_than<R: Readable>(magic: Magic, medium: &R) -> Result<Option<Magic>, R::Error> {
    let (mut found, mut second) = ([0; 8], [0; 8]);
    let len = usize::try_from(medium.len()).unwrap_or(usize::MAX).min(found.len());
    medium.read(0, &mut found[..len])?;
    if medium.len() >= SECOND + 8 {
        medium.read(SECOND, &mut second)?;
    }
    let is_possible = found[..len] == magic[..len] || found == [0; 8] || second == magic;
    Ok((!is_possible).then_some(found))
}
