//! The output of machines and commands under one name. It is kept until the next run of this name.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Display, Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

/// The number of lines of a log that are printed at once.
const LAST_LINES: usize = 40;
/// The number of characters of a line that are printed. The log contains complete documents.
const LONGEST_LINE: usize = 200;

/// The log of one test.
#[derive(Debug)]
pub struct Transcript {
    path: PathBuf,
    file: File,
}

impl Transcript {
    fn file(work: &Path, name: &str) -> PathBuf {
        work.join("logs").join(format!("{}.log", name.replace('/', "-")))
    }

    /// Returns the log of the last run of the test `name`; it is empty if it has not run.
    pub fn read(work: &Path, name: &str) -> String {
        let bytes = fs::read(Self::file(work, name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Creates the log of the test `name` below `work`.
    pub fn create(work: &Path, name: &str) -> Result<Self> {
        let folder = work.join("logs");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = Self::file(work, name);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Returns the log as the standard error of a child.
    pub fn complaints(&self) -> Result<Stdio> {
        Ok(self.writer()?.into())
    }

    /// Returns the log for another thread to write.
    pub fn writer(&self) -> Result<File> {
        let file = self.file.try_clone();
        file.with_context(|| format!("cannot share {}", self.path.display()))
    }

    /// Returns the whole log so far.
    pub fn text(&self) -> Result<String> {
        let bytes =
            fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the path of the log.
    pub fn path(&self) -> Display<'_> {
        self.path.display()
    }

    /// Returns the position of the next line.
    pub fn position(&self) -> Result<u64> {
        let file = self.file.metadata();
        Ok(file.with_context(|| format!("cannot read {}", self.path.display()))?.len())
    }

    /// Returns the part of the log from this position on.
    pub fn since(&self, position: u64) -> Result<String> {
        let mut bytes = Vec::new();
        File::open(&self.path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(position))?;
                file.read_to_end(&mut bytes)
            })
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Creates a log next to this one for a part of its test, which another thread runs.
    pub fn beside(&self, name: &str) -> Result<Self> {
        let path = self.path.with_file_name(format!("{name}.log"));
        let file = File::create(&path);
        Ok(Self { file: file.with_context(|| format!("cannot write {}", path.display()))?, path })
    }

    /// Appends such a log to this one.
    pub fn join(&self, beside: Self) -> Result<()> {
        let text = beside.text()?;
        let added = self.writer()?.write_all(text.as_bytes());
        added.with_context(|| format!("cannot write {}", self.path.display()))?;
        beside.remove()
    }

    /// Moves the log to a new file of the system's directory for temporary files, which stays.
    pub fn keep(&self) -> Result<PathBuf> {
        let file = tempfile::Builder::new().prefix("lose-lines-").suffix(".txt").tempfile();
        let kept = file.context("cannot keep the log")?;
        fs::copy(&self.path, kept.path()).context("cannot keep the log")?;
        Ok(kept.keep().context("cannot keep the log")?.1)
    }

    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }

    /// Returns the path of the log with its last lines.
    pub fn end(&self) -> String {
        let mut told = format!("   the end of {}:", self.path.display());
        // An unreadable log says as little as an empty one.
        let text = self.text().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
            told.push_str("\n   | ");
            told.extend(line.chars().take(LONGEST_LINE));
        }
        told
    }
}

impl Write for Transcript {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
