//! Files that are removed together with the values that need them.

use core::ops::Deref;
use std::path::{Path, PathBuf};

/// The path of a file, if any, that is removed when this value is dropped.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Deref for Temporary {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Ignored: a file left behind in the build directory does no harm.
        drop(std::fs::remove_file(&self.0));
    }
}
