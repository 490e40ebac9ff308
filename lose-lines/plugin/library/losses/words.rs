//! The two memories of a machine that loses lines: the one that the guest sees, and the one that has persisted.
//!
//! Both are files in shared mappings, so a killed emulator leaves them as they were. Other CPUs and devices can store
//! to the first one at any time, so words are atomic.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::{File, OpenOptions};
use std::path::Path;

use crate::system::{self, Mapping};

/// The bytes of a line.
pub const LINE: u64 = 64;
/// The words of a line.
pub const WORDS: usize = 8;

/// The content of a line.
pub type Line = [u64; WORDS];

/// The words of one memory.
#[derive(Debug)]
enum Words {
    Mapped(Mapping),
    #[cfg(test)]
    Owned(Vec<AtomicU64>),
}

impl Words {
    fn all(&self) -> &[AtomicU64] {
        match self {
            Self::Mapped(mapped) => mapped.words(),
            #[cfg(test)]
            Self::Owned(words) => words,
        }
    }
}

/// One memory with the file behind it.
#[derive(Debug)]
struct Memory {
    words: Words,
    /// The file, and the offset in it at which the memory begins.
    file: Option<(File, u64)>,
}

impl Memory {
    fn open(path: &Path, offset: u64, len: u64) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", path.display());
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size < offset + len {
            return Err(format!("{} has {size} bytes: make it whole", path.display()));
        }
        let len = usize::try_from(len).map_err(|error| error.to_string())?;
        let mapped = Mapping::new(&file, offset, len).map_err(failed)?;
        Ok(Self { words: Words::Mapped(mapped), file: Some((file, offset)) })
    }

    fn line(&self, line: u32) -> &[AtomicU64] {
        let first = line as usize * WORDS;
        &self.words.all()[first..first + WORDS]
    }

    fn get(&self, line: u32) -> Line {
        let words = self.line(line);
        core::array::from_fn(|place| words[place].load(Ordering::Relaxed))
    }

    fn set(&self, line: u32, content: &Line) {
        for (word, value) in self.line(line).iter().zip(content) {
            word.store(*value, Ordering::Relaxed);
        }
    }

    /// Returns the ranges of lines for which the file has blocks. All other lines are zero.
    fn extents(&self) -> Vec<Range<u32>> {
        let count = self.words.all().len() / WORDS;
        let whole = u32::try_from(count).unwrap_or(u32::MAX);
        let mut extents = Vec::new();
        let Some((file, offset)) = &self.file else {
            extents.push(0..whole);
            return extents;
        };
        let end = offset + u64::from(whole) * LINE;
        let mut at = *offset;
        while at < end {
            let data = match system::data(file, at) {
                Ok(Some(data)) => data,
                Ok(None) => break,
                // A file system that cannot list blocks: any line may have some.
                Err(_) => {
                    extents.push(0..whole);
                    return extents;
                }
            };
            let hole = system::hole(file, data).ok().flatten().unwrap_or(end).min(end);
            if data >= end {
                break;
            }
            let line = |at: u64| u32::try_from((at - offset) / LINE).unwrap_or(whole);
            extents.push(line(data)..line(hole + LINE - 1).min(whole));
            at = hole;
        }
        extents
    }
}

/// The memory that the guest sees, and the one that has persisted.
#[derive(Debug)]
pub struct Memories {
    live: Memory,
    persisted: Memory,
}

impl Memories {
    /// Maps `len` bytes of both files: of the first from `offset`, of the second all.
    ///
    /// # Errors
    /// If a file cannot be opened or mapped, or is too short; the message names it.
    pub fn open(live: &Path, offset: u64, persisted: &Path, len: u64) -> Result<Self, String> {
        Ok(Self {
            live: Memory::open(live, offset, len)?,
            persisted: Memory::open(persisted, 0, len)?,
        })
    }

    /// Returns memories of zeros.
    #[cfg(test)]
    pub(crate) fn of_lines(count: usize) -> Self {
        let memory = || Memory {
            words: Words::Owned((0..count * WORDS).map(|_| AtomicU64::new(0)).collect()),
            file: None,
        };
        Self { live: memory(), persisted: memory() }
    }

    /// Returns the content that the guest sees.
    #[must_use]
    pub fn live(&self, line: u32) -> Line {
        self.live.get(line)
    }

    /// Returns the content that has persisted.
    #[must_use]
    pub fn persisted(&self, line: u32) -> Line {
        self.persisted.get(line)
    }

    /// Makes the content persist.
    pub fn persist(&self, line: u32, content: &Line) {
        self.persisted.set(line, content);
    }

    /// Makes both memories hold the content.
    pub fn set(&self, line: u32, content: &Line) {
        self.live.set(line, content);
        self.persisted.set(line, content);
    }

    /// Stores to a word that the guest sees.
    #[cfg(test)]
    pub(crate) fn store(&self, line: u32, word: usize, value: u64) {
        self.live.line(line)[word].store(value, Ordering::Relaxed);
    }

    /// Returns true if the line would be lost or changed by a crash.
    #[must_use]
    pub fn is_dirty(&self, line: u32) -> bool {
        self.live(line) != self.persisted(line)
    }

    /// Returns the dirty lines in order. Only lines for which one of the files has blocks are compared.
    #[must_use]
    pub fn dirty(&self) -> Vec<u32> {
        let mut dirty: Vec<u32> = [&self.live, &self.persisted]
            .into_iter()
            .flat_map(Memory::extents)
            .flatten()
            .filter(|line| self.is_dirty(*line))
            .collect();
        dirty.sort_unstable();
        dirty.dedup();
        dirty
    }
}
