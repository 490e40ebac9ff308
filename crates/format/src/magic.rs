//! The first bytes of each format. They tell the formats apart, so that none is created over another.

use core::fmt::{self, Formatter};

/// The first bytes of a format.
pub type Magic = [u8; 8];

/// A format, as roots and messages name it.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Its first bytes.
    pub magic: Magic,
    /// Its version.
    pub version: u32,
    /// The format's name in messages: "journal".
    pub name: &'static str,
}

/// A journal.
pub const JOURNAL: Magic = *b"cmjournl";
/// A recording.
pub const RECORDING: Magic = *b"CMtRace\x1a";
/// A store.
pub const STORE: Magic = *b"cm-store";

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

/// Writes that a medium begins with the bytes of something else, and the remedy.
pub fn write_instead(f: &mut Formatter<'_>, found: Magic, magic: Magic) -> fmt::Result {
    let format = name(magic).unwrap_or_default();
    match name(found) {
        Some(other) => write!(
            f,
            "the medium holds {other}, not {format}; open it as {other}, or open another medium"
        ),
        None => write!(
            f,
            "this is not {format}: it begins with {} instead of {}; open another medium",
            found.escape_ascii(),
            magic.escape_ascii()
        ),
    }
}
