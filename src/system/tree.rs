//! The kernel's files in `/proc` and `/sys`, under a root that tests replace.
//!
//! "Absent" and "unreadable" are different answers.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

/// Returns the text with `?` for characters that can control or mislead a terminal: control characters, and those that
/// hide or reorder text. A device tree and firmware can contain anything, and a device tree terminates its texts with
/// NUL.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.trim_end_matches('\0').chars().map(|c| if is_plain(c) { c } else { '?' }).collect()
}

/// The outcome of reading one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The text of the attribute, without white space at the ends.
    Value(String),
    /// The kernel does not show it.
    Absent,
    /// The attribute exists, but cannot be read.
    Unreadable(String),
}

impl Attribute {
    /// Returns the text, if it was read.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
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
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Value(text) => text.clone(),
            Self::Absent => "absent".to_string(),
            Self::Unreadable(why) => alloc::format!("unreadable: {why}"),
        }
    }
}

/// The most bytes that sysfs shows of an attribute: a page, of which the largest is 64 KiB. Most fit into the first.
const PIECE: usize = 4096;

/// The files of `/proc` and `/sys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Returns the files of the running kernel.
    #[must_use]
    pub fn host() -> Self {
        Self::at("/")
    }

    /// Returns the files under `root`, which holds `proc` and `sys`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Reads the short attribute at an absolute path, by one call: sysfs shows all of it at once.
    #[must_use]
    pub fn attribute(&self, path: &Path) -> Attribute {
        let mut bytes = [0; PIECE];
        let read = fs::File::open(self.inside(path)).and_then(|mut file| file.read(&mut bytes));
        match read {
            Ok(count) => Attribute::Value(text(bytes.get(..count).unwrap_or_default())),
            Err(error) => Attribute::missing(&error),
        }
    }

    /// Reads the file at an absolute path.
    #[must_use]
    pub fn read(&self, path: &Path) -> Attribute {
        self.read_bytes(path).map_or_else(|missing| missing, |bytes| Attribute::Value(text(&bytes)))
    }

    /// Reads the bytes at an absolute path.
    ///
    /// # Errors
    /// [`Attribute::Absent`] or [`Attribute::Unreadable`].
    pub fn read_bytes(&self, path: &Path) -> Result<Vec<u8>, Attribute> {
        // Enough for most files: the reported size, which the standard library would use, means nothing here.
        let mut bytes = Vec::with_capacity(PIECE);
        let read = fs::File::open(self.inside(path))
            .and_then(|file| file.take(u64::MAX).read_to_end(&mut bytes));
        read.map(|_count| bytes).map_err(|error| Attribute::missing(&error))
    }

    /// Writes text into the attribute at an absolute path, which must be there.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(self.inside(path))?;
        // In one call, since the kernel parses the text of each call separately.
        io::Write::write_all(&mut file, text.as_bytes())
    }

    /// Returns true if an absolute path exists.
    #[must_use]
    pub fn exists(&self, path: &Path) -> bool {
        self.inside(path).exists()
    }

    /// Returns the target of the symbolic link at an absolute path, by one call. The kernel's own links lead to places
    /// without further links.
    #[must_use]
    pub fn link(&self, path: &Path) -> Option<PathBuf> {
        let read = fs::read_link(self.inside(path)).ok()?;
        let (from, target) = match read.strip_prefix(&self.root) {
            Ok(inside) => (Path::new("/"), inside),
            Err(_relative) => (path.parent().unwrap_or(path), &*read),
        };
        let mut place = PathBuf::new();
        for part in from.components().chain(target.components()) {
            match part {
                Component::ParentDir => drop(place.pop()),
                Component::CurDir => {}
                part => place.push(part),
            }
        }
        Some(place)
    }

    /// Returns the names in a directory, in order; none for a directory that is missing or unreadable.
    #[must_use]
    pub fn list(&self, path: &Path) -> Vec<String> {
        self.names(path).unwrap_or_default()
    }

    /// Returns the names in a directory, in order.
    ///
    /// # Errors
    /// [`Attribute::Absent`] or [`Attribute::Unreadable`].
    pub fn names(&self, path: &Path) -> Result<Vec<String>, Attribute> {
        let entries =
            fs::read_dir(self.inside(path)).map_err(|error| Attribute::missing(&error))?;
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Returns the path outside of this tree of an absolute path.
    #[must_use]
    pub fn inside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_string()
}
