//! A directory for a store, and the command that is run on it.

use assert_cmd::assert::Assert;
use assert_cmd::{Command, cargo};
use cachemaint_preserve::Options;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

/// Bytes that are loaded in one go.
pub(crate) const PIECE: usize = 1 << 20;

/// A directory for a store.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) directory: TempDir,
}

impl Place {
    /// A place without a file yet.
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { path: directory.path().join("state"), directory }
    }

    /// A store of 1 MiB with a blob of each name, whose bytes are the name.
    pub(crate) fn with(names: &[&str]) -> Self {
        let place = Self::empty();
        drop(Options::new().create_new(place.created(1 << 20)).unwrap());
        for name in names {
            place.run_with(&["save", name], *name).success();
        }
        place
    }

    pub(crate) fn created(&self, size: u64) -> cachemaint::dax::DaxFile {
        cachemaint::dax::Options::new()
            .allow_page_granularity()
            .create_new(&self.path, size)
            .unwrap()
    }

    /// `cachemaint preserve COMMAND FILE …`
    pub(crate) fn run(&self, arguments: &[&str]) -> Assert {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: impl Into<Vec<u8>>) -> Assert {
        Command::from_std(self.process(arguments)).write_stdin(input).assert()
    }

    pub(crate) fn process(&self, arguments: &[&str]) -> Process {
        let mut process = Process::new(cargo::cargo_bin!("cachemaint"));
        process.arg("preserve").arg(arguments[0]).arg(&self.path).args(&arguments[1..]);
        process
    }

    pub(crate) fn load(&self, name: &str) -> Vec<u8> {
        self.run(&["load", name]).success().get_output().stdout.clone()
    }

    pub(crate) fn json(&self, command: &str) -> Value {
        let output = self.run(&[command, "--json"]);
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }

    /// The blobs in the output of `list --json`.
    pub(crate) fn blobs(&self) -> Vec<Value> {
        self.json("list")["blobs"].as_array().unwrap().clone()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let name = |blob: &Value| blob["name"].as_str().unwrap().to_owned();
        self.blobs().iter().map(name).collect()
    }

    /// The place in the file at which a blob begins.
    pub(crate) fn offset(&self, name: &str) -> usize {
        let blobs = self.blobs();
        let blob = blobs.iter().find(|blob| blob["name"] == name).unwrap();
        usize::try_from(blob["offset"].as_u64().unwrap()).unwrap()
    }

    /// Changes a bit of the byte at an offset.
    pub(crate) fn damage(&self, at: usize) {
        let mut bytes = fs::read(&self.path).unwrap();
        bytes[at] ^= 1;
        fs::write(&self.path, bytes).unwrap();
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.beside(name), bytes).unwrap();
        text(&self.beside(name)).to_owned()
    }

    pub(crate) fn stat(&self) -> Assert {
        let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
        command.arg("stat").arg(&self.path).arg("--json").assert()
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap()
}

/// Bytes of all values, which differ from those of another seed everywhere.
pub(crate) fn many(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(7) >> 3).to_le_bytes()[0].wrapping_add(seed)).collect()
}
