//! Two CPUs with write-back caches over one memory. Neither sees the other's cache.
//!
//! The model does anything that architectures allow a cache to do, at the worst moment for the program:
//! - a store goes to the CPU's own cache, and a load is served by it;
//! - a write-back or invalidation that was issued is carried out when the fence completes it, not before;
//! - an [`Interference`] evicts a line (and writes it back if it was dirty), or fetches one by
//!   speculation, between any two accesses.

use std::ops::Range;

/// The longest line there is, in words.
pub(crate) const LONGEST_LINE: usize = 8;

/// An event that can happen to a line of a CPU's cache at any time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interference {
    /// The line leaves the cache; if it was dirty it is written back.
    Evict { cpu: usize, word: usize },
    /// The CPU fetches the line by speculation, if it does not have it.
    Fetch { cpu: usize, word: usize },
}

/// An operation that was issued for a line and not completed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Issued {
    Writeback,
    /// `discard`: not written back first although it may be dirty.
    Invalidate {
        discard: bool,
    },
}

/// A line that is cached.
struct Line {
    words: [u32; LONGEST_LINE],
    dirty: bool,
    issued: Option<Issued>,
}

/// The lines of memory that a CPU has, and its line size.
struct Cache {
    words_per_line: usize,
    lines: Vec<Option<Line>>,
}

/// Memory, and the caches of two CPUs.
pub(crate) struct Machine {
    memory: Vec<u32>,
    caches: [Cache; 2],
}

impl Machine {
    /// Returns memory of so many words, all zeros, and empty caches with lines of so many words.
    pub(crate) fn new(words: usize, words_per_line: [usize; 2]) -> Self {
        let words = words.next_multiple_of(LONGEST_LINE);
        let empty = |words_per_line| {
            let lines = (0..words / words_per_line).map(|_| None).collect();
            Cache { words_per_line, lines }
        };
        Self { memory: vec![0; words], caches: words_per_line.map(empty) }
    }

    /// Returns the memory, as a device without a cache sees it.
    pub(crate) fn memory(&mut self) -> &mut [u32] {
        &mut self.memory
    }

    pub(crate) fn load(&mut self, cpu: usize, word: usize) -> u32 {
        let within = word % self.caches[cpu].words_per_line;
        self.fetch(cpu, word).words[within]
    }

    pub(crate) fn store(&mut self, cpu: usize, word: usize, value: u32) {
        let within = word % self.caches[cpu].words_per_line;
        let line = self.fetch(cpu, word);
        line.words[within] = value;
        line.dirty = true;
    }

    /// Issues an operation for every line that the words touch. A line that is covered in part is never
    /// discarded.
    pub(crate) fn issue(&mut self, cpu: usize, words: Range<usize>, operation: Issued) {
        let Cache { words_per_line, lines } = &mut self.caches[cpu];
        for (place, line) in lines.iter_mut().enumerate() {
            let of_line = place * *words_per_line..(place + 1) * *words_per_line;
            let touched = words.start < of_line.end && of_line.start < words.end;
            let whole = words.start <= of_line.start && of_line.end <= words.end;
            if let Some(line) = line
                && touched
            {
                line.issued = Some(match operation {
                    Issued::Invalidate { discard } => {
                        Issued::Invalidate { discard: discard && whole }
                    }
                    Issued::Writeback => Issued::Writeback,
                });
            }
        }
    }

    /// Carries out the operations that the CPU has issued.
    pub(crate) fn fence(&mut self, cpu: usize) {
        for place in 0..self.caches[cpu].lines.len() {
            let issued = self.caches[cpu].lines[place].as_mut().and_then(|line| line.issued.take());
            match issued {
                None => {}
                Some(Issued::Writeback) => self.write_back(cpu, place),
                Some(Issued::Invalidate { discard }) => {
                    if !discard {
                        self.write_back(cpu, place);
                    }
                    self.caches[cpu].lines[place] = None;
                }
            }
        }
    }

    pub(crate) fn interfere(&mut self, interference: Interference) {
        match interference {
            Interference::Fetch { cpu, word } => {
                self.fetch(cpu, word);
            }
            Interference::Evict { cpu, word } => {
                let place = word / self.caches[cpu].words_per_line;
                self.write_back(cpu, place);
                self.caches[cpu].lines[place] = None;
            }
        }
    }

    /// Copies a line to memory if it is there and dirty.
    fn write_back(&mut self, cpu: usize, place: usize) {
        let Cache { words_per_line, lines } = &mut self.caches[cpu];
        if let Some(line) = &mut lines[place]
            && line.dirty
        {
            let memory = &mut self.memory[place * *words_per_line..][..*words_per_line];
            memory.copy_from_slice(&line.words[..*words_per_line]);
            line.dirty = false;
        }
    }

    /// Returns the line of the word, fetched if the CPU does not have it.
    fn fetch(&mut self, cpu: usize, word: usize) -> &mut Line {
        let Cache { words_per_line, lines } = &mut self.caches[cpu];
        let place = word / *words_per_line;
        lines[place].get_or_insert_with(|| {
            let mut words = [0; LONGEST_LINE];
            words[..*words_per_line]
                .copy_from_slice(&self.memory[place * *words_per_line..][..*words_per_line]);
            Line { words, dirty: false, issued: None }
        })
    }
}
