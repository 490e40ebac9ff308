//! The name of a blob or region.

use crate::format::NAME;
use core::fmt;

/// The name of a blob or region. In an error it holds at most the first 62 bytes of the name, to keep a `Result` small.
///
/// `{}` prints it as it is. `{:?}` prints it in quotes, with unprintable characters escaped, and with dots if it is
/// truncated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<const BYTES: usize = NAME> {
    bytes: [u8; BYTES],
    len: u8,
    is_cut: bool,
}

/// A name in an error.
pub(crate) type ShortName = Name<62>;

impl<const BYTES: usize> Name<BYTES> {
    /// Returns a name, truncated if it is too long.
    pub(crate) fn cut(name: &str) -> Self {
        let mut len = name.len().min(BYTES);
        while !name.is_char_boundary(len) {
            len -= 1;
        }
        let mut bytes = [0; BYTES];
        bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
        Self { bytes, len: len as u8, is_cut: len < name.len() }
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
impl<const BYTES: usize> core::ops::Deref for Name<BYTES> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const BYTES: usize> fmt::Debug for Name<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.as_str(), if self.is_cut { "..." } else { "" })
    }
}

impl<const BYTES: usize> fmt::Display for Name<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text.
#[cfg(feature = "serde")]
impl<const BYTES: usize> serde::Serialize for Name<BYTES> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
