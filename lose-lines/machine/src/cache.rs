//! The directory of downloads, and of files made from them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The user's directory of downloads.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

impl Cache {
    /// Returns `lose-lines` in the user's cache directory.
    ///
    /// # Errors
    /// If the user has none.
    pub fn of_user() -> Result<Self> {
        let caches = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set; set one, for the downloads")?;
        // Emulators and debugfs(8) get paths as text.
        ensure!(caches.to_str().is_some(), "{} is not UTF-8; set XDG_CACHE_HOME", caches.display());
        Ok(Self(caches.join("lose-lines")))
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }
}

/// Creates a directory unless it exists.
pub fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Creates a directory, without leftovers of an earlier run.
pub fn make_empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    make(folder)
}
