//! The machine and the tree that the checks run on.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::absent::Lacks;
use crate::command::Cmd;

/// The folders of the workspace.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// Finds the workspace and makes it the current directory.
    pub fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask is not inside the workspace")?;
        // Cargo takes a program for up to date in another tree that shares the folder of builds.
        let is_of = |folder: &OsString| Path::new(folder).starts_with(root);
        ensure!(
            env::var_os("CARGO_MANIFEST_DIR").as_ref().is_none_or(is_of),
            "this program was compiled in {}: `touch xtask/src/main.rs`, or set another CARGO_TARGET_DIR",
            root.display()
        );
        env::set_current_dir(root).with_context(|| format!("cannot enter {}", root.display()))?;
        Ok(Self { root: root.to_path_buf() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a folder inside cargo's target directory.
    pub fn target_dir(&self, name: &str) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |path| self.root.join(path))
            .join(name)
    }

    /// Returns the files of this kind that git tracks or would track. rustfmt and the package must not miss them.
    pub fn sources(&self, pattern: &str) -> Result<Vec<String>> {
        // The tree may belong to another user, as in a container.
        let listed = Cmd::new("git")
            .words("-c safe.directory=* ls-files --cached --others --exclude-standard --deduplicate --")
            .arg(pattern)
            .read()?;
        Ok(listed
            .lines()
            .filter(|file| self.root.join(file).is_file())
            .map(str::to_owned)
            .collect())
    }

    /// Brings a copy of the tree up to date. Files that are the same are not touched, so that they are not compiled
    /// again.
    pub fn copy_sources(&self, to: &Path) -> Result<()> {
        let sources = self.sources("*")?;
        if to.exists() {
            let kept = sources.iter().map(|file| to.join(file)).collect();
            remove_others(to, &kept).with_context(|| format!("cannot tidy up {}", to.display()))?;
        }
        for file in sources {
            let (from, to) = (self.root.join(&file), to.join(&file));
            let bytes =
                fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            let folder = to.parent().context("a file has no folder")?;
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&to, bytes))
                .with_context(|| format!("cannot write {}", to.display()))?;
        }
        Ok(())
    }
}

/// Returns true if no network interface but the loopback is up (Linux, `Documentation/ABI/testing/sysfs-class-net`).
pub fn without_network() -> bool {
    let Ok(interfaces) = fs::read_dir("/sys/class/net") else { return false };
    let mut others = interfaces.flatten().filter(|interface| interface.file_name() != "lo");
    let is_down = |interface: fs::DirEntry| {
        fs::read_to_string(interface.path().join("operstate"))
            .is_ok_and(|state| state.trim() == "down")
    };
    others.all(is_down)
}

/// Returns what was fetched. An error is a failure, unless the machine has no network.
pub fn fetched<T>(result: Result<T>) -> Result<T> {
    result.map_err(|why| if without_network() { Lacks::Network.error(why) } else { why })
}

/// Removes the files of a copy of the tree that are no longer in the tree. Otherwise a module that has become a folder
/// would be there twice.
fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::remove_others;

    #[test]
    fn a_copy_loses_the_files_that_the_tree_has_no_more() {
        let copy = tempfile::tempdir().unwrap();
        let [kept, gone] = ["src/view/mod.rs", "src/view.rs"].map(|file| copy.path().join(file));
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        for file in [&kept, &gone] {
            fs::write(file, "//!").unwrap();
        }
        remove_others(copy.path(), &BTreeSet::from([kept.clone()])).unwrap();
        assert!(kept.is_file() && !gone.exists());
    }
}
