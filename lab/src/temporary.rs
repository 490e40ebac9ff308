//! Files that are removed with the values that need them.

use core::ops::Deref;
use std::path::{Path, PathBuf};

/// The path of a file that is removed with this value, if there is one.
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
        // Ignored: a file that stays behind in the build folder does no harm.
        drop(std::fs::remove_file(&self.0));
    }
}
