//! The lines of a program's range that a crash could lose, between two marks of the program.
//!
//! 1. The program names a range: from now on its lines are clean, whatever they contain.
//! 2. It stores, writes back and fences.
//! 3. It asks for the lines that are dirty, and for those that were written back and not fenced.

use std::collections::HashSet;

use super::Losses;

/// The observations since the first mark.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// The write-backs and streaming stores of user mode before it.
    before: [u64; 2],
    /// The fences of user mode since then.
    pub fences: u64,
}

impl Losses {
    /// Makes these lines clean.
    pub fn watch(&mut self, lines: &[u32]) {
        for line in lines {
            self.persist_now(*line);
        }
        self.watch = Some(Watch { before: self.issued(), fences: 0 });
    }

    /// Adds a line about these lines, under a number.
    pub fn tell_left(&mut self, number: u64, lines: &[u32]) {
        let Some(Watch { before, fences }) = self.watch else { return };
        let is_pending: HashSet<u32> = self.pending.lines().collect();
        let (mut dirty, mut unfenced) = (0_u64, 0_u64);
        for line in lines {
            let live = self.memories.live(*line);
            let is_dirty = self.memories.is_dirty(*line);
            let is_written_back =
                || self.pending.newest(*line).is_some_and(|(content, _at)| content == live);
            if is_pending.contains(line) && is_written_back() {
                unfenced += 1;
            } else if is_dirty {
                dirty += 1;
            }
        }
        let [writebacks, streaming] = self.issued();
        self.told.push(format!(
            "left id={number} dirty={dirty} unfenced={unfenced} writebacks={} streaming={} fences={fences}",
            writebacks - before[0],
            streaming - before[1]
        ));
    }

    /// Returns the write-backs and the streaming stores of user mode.
    const fn issued(&self) -> [u64; 2] {
        [self.counts[0].writebacks, self.counts[0].streaming]
    }
}
