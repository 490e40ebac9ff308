//! apt's state for one purpose, separate from the system's, with its lists and downloads.

use core::fmt::Write as _;
use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::PATIENCE;
use super::suite::Suite;
use crate::cache::{Cache, make_empty};
use crate::command::{Cmd, find_program};

/// apt's state for one purpose, separate from the system's. One process holds it at a time.
pub(super) struct State {
    pub(super) folder: PathBuf,
    _lock: File,
}

impl State {
    /// Opens the state for packages of a suite.
    pub(super) fn open(cache: &Cache, suite: Suite, architecture: &str) -> Result<Self> {
        let name = format!("{}-{architecture}", suite.name());
        Self::with(cache, &name, architecture, &suite.lines(cache)?)
    }

    /// Opens the state for packages from the sources in a list, or from the system's own if the list is empty. Waits
    /// for another process that holds it, which may be fetching the same packages.
    pub(super) fn with(
        cache: &Cache,
        name: &str,
        architecture: &str,
        lines: &[String],
    ) -> Result<Self> {
        find_program("apt-get").context("apt-get was not found; it needs Debian or Ubuntu")?;
        let folder = cache.folder().join("apt").join(name);
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let lock = folder.join("lock");
        let lock = File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("cannot lock {}", lock.display()))?;
        let state = Self { folder, _lock: lock };
        state.configure(architecture, lines)?;
        Ok(state)
    }

    /// Writes the configuration of [`apt`](Self::apt) and [`ask`](Self::ask).
    fn configure(&self, architecture: &str, lines: &[String]) -> Result<()> {
        let mut text = format!(
            "Dir::State::Lists \"{0}/lists\";\nDir::Cache \"{0}/cache\";\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\nAcquire::GzipIndexes \"true\";\nAPT::Architectures {{ \"{architecture}\"; }};\n",
            self.folder.display()
        );
        if !lines.is_empty() {
            let list = self.folder.join("sources.list");
            fs::write(&list, lines.concat())
                .with_context(|| format!("cannot write {}", list.display()))?;
            writeln!(
                text,
                "Dir::Etc::SourceList \"{}\";\nDir::Etc::SourceParts \"/dev/null\";\nAPT::Update::Error-Mode \"any\";",
                list.display()
            )?;
        }
        let file = self.folder.join("apt.conf");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    pub(super) fn program(&self, name: &str) -> Cmd {
        Cmd::new(name).env("APT_CONFIG", self.folder.join("apt.conf").display().to_string())
    }

    /// Returns `apt-get` with this state.
    pub(super) fn apt(&self) -> Cmd {
        self.program("apt-get").arg("--quiet").words(PATIENCE)
    }

    pub(super) fn update(&self) -> Result<()> {
        self.apt().arg("update").read().map(drop)
    }

    /// Returns the output of `apt-cache` with this state.
    pub(super) fn ask(&self, line: &str) -> Result<String> {
        self.program("apt-cache").words(line).read()
    }

    /// Returns the result of `find`. If it finds nothing, updates the lists and calls it again.
    pub(super) fn known<T>(&self, find: impl Fn() -> Option<T>) -> Result<Option<T>> {
        if let Some(found) = find() {
            return Ok(Some(found));
        }
        let updated = self.update();
        find().map_or_else(|| updated.map(|()| None), |found| Ok(Some(found)))
    }

    /// Returns the directory `name` in the state, without leftovers of an interrupted run.
    pub(super) fn emptied(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        make_empty(&folder)?;
        Ok(folder)
    }
}
