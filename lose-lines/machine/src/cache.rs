//! The directory of downloads, and of files made from them.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

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
        // Emulators get paths as text.
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

/// A folder with a random name that is removed with this value, and locked until then.
#[derive(Debug)]
pub struct Work {
    folder: TempDir,
    _lock: File,
}

/// The file in such a folder whose lock tells that it is in use.
const LOCK: &str = "lock";

impl Work {
    /// Makes a folder in `all`, and removes those of processes that were killed, in whatever container they were.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn below(all: &Path) -> Result<Self> {
        make(all)?;
        for entry in fs::read_dir(all).into_iter().flatten().flatten() {
            let lock = File::open(entry.path().join(LOCK));
            // A new folder has no lock yet.
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
        let cannot = || format!("cannot make a folder in {}", all.display());
        let folder = TempDir::new_in(all).with_context(cannot)?;
        let lock = File::create(folder.path().join(LOCK)).with_context(cannot)?;
        lock.lock().with_context(cannot)?;
        Ok(Self { folder, _lock: lock })
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

#[cfg(test)]
mod tests {
    use super::{LOCK, Work};

    #[test]
    fn a_folder_in_use_stays_and_that_of_a_killed_process_goes() {
        let all = tempfile::tempdir().unwrap();
        let killed = all.path().join("killed");
        std::fs::create_dir(&killed).unwrap();
        std::fs::write(killed.join(LOCK), "").unwrap();
        let [one, other] = [Work::below(all.path()).unwrap(), Work::below(all.path()).unwrap()];
        assert!(!killed.exists());
        assert!(one.folder().exists() && other.folder().exists());
    }
}
