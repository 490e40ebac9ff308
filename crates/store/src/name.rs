//! The name of a blob or region.

use crate::format::NAME;
use core::fmt;

/// The name of a blob or region.
///
/// `{}` prints it as it is. `{:?}` prints it in quotes, with unprintable characters escaped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    bytes: [u8; NAME],
    len: u8,
}

impl Name {
    /// Returns a name of at most 255 bytes, as those of all entries are.
    pub(crate) fn new(name: &str) -> Self {
        let mut bytes = [0; NAME];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Self { bytes, len: name.len() as u8 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }

    pub(crate) fn as_str(&self) -> &str {
        // Valid UTF-8: the name was checked when it was read, or was a `str` before.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// The text.
impl core::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text.
#[cfg(feature = "serde")]
impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
