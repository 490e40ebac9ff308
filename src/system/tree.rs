//! The kernel's files in `/proc` and `/sys`, under a root that tests replace.
//!
//! A value is read with its path, so that it can be shown as the evidence for a conclusion.
//! "Absent" and "unreadable" are different answers.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A question to the kernel and its answer. The path is the kernel's, without the root.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Evidence {
    /// The file, attribute or call that was asked.
    pub asked: String,
    /// The answer: the value, or the reason why it is missing.
    pub answer: String,
}

impl Evidence {
    /// Returns a question and its answer, safe to print.
    pub(crate) fn new(asked: impl AsRef<str>, answer: impl AsRef<str>) -> Self {
        Self { asked: printable(asked.as_ref()), answer: printable(answer.as_ref()) }
    }
}

/// A fact that could not be determined.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Unknown {
    /// The reason: the question and its answer.
    pub reason: String,
    /// The remedy.
    pub advice: &'static str,
}

impl Unknown {
    pub(crate) fn new(asked: &str, answer: &str, advice: &'static str) -> Self {
        Self { reason: printable(&alloc::format!("{asked}: {answer}")), advice }
    }
}

impl core::fmt::Display for Unknown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}; {}", self.reason, self.advice)
    }
}

impl core::error::Error for Unknown {}

/// Serializes the number, or the object with the reason why it is missing.
#[cfg(feature = "serde")]
pub(crate) fn number_or_reason<S: serde::Serializer>(
    number: &Result<u64, Unknown>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match number {
        Ok(number) => serializer.serialize_u64(*number),
        Err(why) => serde::Serialize::serialize(why, serializer),
    }
}

/// Returns the text with `?` for characters that can control or mislead a terminal: control characters, and those that
/// hide or reorder text. A device tree and firmware can contain anything, and a device tree terminates its texts with
/// NUL.
pub(crate) fn printable(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.trim_end_matches('\0').chars().map(|c| if is_plain(c) { c } else { '?' }).collect()
}

/// The outcome of reading one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// The text of the attribute, without white space at the ends.
    Value(String),
    /// The kernel does not show it.
    Absent,
    /// The attribute exists, but cannot be read.
    Unreadable(String),
}

impl Attribute {
    /// Returns the text, if it was read.
    pub(crate) fn value(&self) -> Option<&str> {
        match self {
            Self::Value(text) => Some(text),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// Returns the outcome for an error of a call.
    fn missing(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            _ => Self::Unreadable(error.to_string()),
        }
    }

    /// Returns the outcome in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Value(text) => text.clone(),
            Self::Absent => "absent".to_string(),
            Self::Unreadable(why) => alloc::format!("unreadable: {why}"),
        }
    }
}

/// The files of `/proc` and `/sys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Returns the files of the running kernel.
    pub(crate) fn host() -> Self {
        Self::at("/")
    }

    /// Returns the files under `root`, which holds `proc` and `sys`.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Reads the attribute at an absolute path.
    pub(crate) fn read(&self, path: &Path) -> Attribute {
        match self.read_bytes(path) {
            Ok(bytes) => Attribute::Value(String::from_utf8_lossy(&bytes).trim().to_string()),
            Err(attribute) => attribute,
        }
    }

    /// Reads the bytes at an absolute path.
    ///
    /// # Errors
    /// [`Attribute::Absent`] or [`Attribute::Unreadable`].
    pub(crate) fn read_bytes(&self, path: &Path) -> Result<Vec<u8>, Attribute> {
        // Enough for most files: the reported size, which the standard library would use, means nothing here.
        let mut bytes = Vec::with_capacity(4096);
        let read = fs::File::open(self.inside(path))
            .and_then(|file| file.take(u64::MAX).read_to_end(&mut bytes));
        read.map(|_count| bytes).map_err(|error| Attribute::missing(&error))
    }

    /// Returns true if an absolute path exists.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.inside(path).exists()
    }

    /// Returns the target of a path's symbolic links, as an absolute path in this tree.
    pub(crate) fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let root = self.root.canonicalize().ok()?;
        let real = self.inside(path).canonicalize().ok()?;
        Some(Path::new("/").join(real.strip_prefix(root).ok()?))
    }

    /// Returns the names in a directory, in order; none for a directory that is missing or unreadable.
    pub(crate) fn list(&self, path: &Path) -> Vec<String> {
        self.names(path).unwrap_or_default()
    }

    /// Returns the names in a directory, in order.
    ///
    /// # Errors
    /// [`Attribute::Absent`] or [`Attribute::Unreadable`].
    pub(crate) fn names(&self, path: &Path) -> Result<Vec<String>, Attribute> {
        let entries =
            fs::read_dir(self.inside(path)).map_err(|error| Attribute::missing(&error))?;
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    pub(in crate::system) fn inside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
