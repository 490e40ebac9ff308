//! What a lane writes: kept if it fails.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

/// So many lines of a failed lane's log are told at once.
const LAST_LINES: usize = 40;

/// The log of one lane.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Begins the log of the lane `name` below `work`.
    pub(super) fn create(work: &Path, name: &str) -> Result<Self> {
        let folder = work.join("logs");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(format!("{}.log", name.replace('/', "-")));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// The log as the standard error of a child.
    pub(crate) fn complaints(&self) -> Result<Stdio> {
        let file = self.file.try_clone();
        Ok(file.with_context(|| format!("cannot share {}", self.path.display()))?.into())
    }

    /// Where it is, with its last lines.
    pub(super) fn keep(self) -> Result<String> {
        let bytes =
            fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(LAST_LINES);
        let mut told = format!("   the end of {}:", self.path.display());
        for line in lines.iter().skip(skipped) {
            told.push_str("\n   | ");
            told.push_str(line);
        }
        Ok(told)
    }

    pub(super) fn discard(self) -> Result<()> {
        fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

impl Write for Log {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
