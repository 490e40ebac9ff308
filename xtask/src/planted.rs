//! Defects to plant in a copy of the tree: patches that checks must notice.
//!
//! A patch begins with the defect in words. Lines `KEY: WORDS` follow, with the check that notices it and the words of
//! its failure, then the output of `git diff`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command::Cmd;
use crate::host::Host;

#[derive(Debug)]
pub(crate) struct Planted {
    path: PathBuf,
    text: String,
}

impl Planted {
    /// Returns the patches of a folder by their names.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>> {
        let unread = || format!("cannot read {}", folder.display());
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<PathBuf> =
            entries.with_context(unread)?.iter().map(fs::DirEntry::path).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
        paths.sort();
        let read = |path| Ok(Self { text: fs::read_to_string(&path).with_context(unread)?, path });
        paths.into_iter().map(read).collect()
    }

    #[cfg(test)]
    pub(crate) fn new(text: &str) -> Self {
        Self { path: PathBuf::from("a.patch"), text: text.to_owned() }
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the words after `key` and a colon.
    pub(crate) fn says(&self, key: &str) -> Result<&str> {
        let mut head = self.text.lines().take_while(|line| !line.starts_with("diff "));
        head.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
            .with_context(|| format!("{}: no line `{key}:` before the patch", self.path.display()))
    }

    /// Makes `copy` a copy of the tree with this defect.
    pub(crate) fn plant(&self, host: &Host, copy: &Path) -> Result<()> {
        host.copy_sources(copy)?;
        self.apply(copy, "apply")
    }

    fn apply(&self, tree: &Path, how: &str) -> Result<()> {
        let folder = tree.parent().context("the tree has no folder")?;
        Cmd::new("git")
            .words("-c safe.directory=*")
            .words(how)
            .arg(self.path.display().to_string())
            .folder(tree)
            // In a folder of a repository git would apply only the part below that folder, without a message.
            .env("GIT_CEILING_DIRECTORIES", folder.display().to_string())
            .read()
            .with_context(|| format!("{} does not fit the code: make it again", self.name()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Planted;

    #[test]
    fn each_patch_of_the_tree_fits_it() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for folder in ["tests/regressions", "tests/lab/planted"] {
            let patches = Planted::all(&tree.join(folder)).unwrap();
            assert!(!patches.is_empty(), "{folder} has none");
            let misfits: Vec<String> = patches
                .iter()
                .filter_map(|patch| patch.apply(tree, "apply --check").err())
                .map(|error| format!("{error:#}"))
                .collect();
            assert_eq!(misfits, [""; 0]);
        }
    }

    #[test]
    fn the_head_of_a_patch_ends_where_the_patch_begins() {
        let patch = Planted::new("All is lost.\n\nTest: a b\ndiff --git a/x b/x\nShows: c\n");
        assert_eq!(patch.says("Test").unwrap(), "a b");
        assert!(patch.says("Shows").is_err());
    }
}
