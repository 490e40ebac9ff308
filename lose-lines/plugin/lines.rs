//! The model: the state of each line of one range.
//!
//! A line is clean, dirty, or written back but not fenced. A store makes it dirty in any state. A write-back affects a
//! dirty line, unless words of it were streamed since the last fence, which it may miss. A fence completes every
//! write-back before it, except that some need MFENCE. Nothing else makes a line clean: the model never relies on a CPU
//! that writes lines back by itself.

use core::fmt;
use core::ops::Range;
use std::collections::HashSet;

/// More lines than this indicate wrong arguments of a mark.
const MOST_LINES: u64 = 1 << 26;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No store since the last completed write-back.
    Clean,
    /// Stored to, and not written back since.
    Dirty,
    /// Written back by an instruction that no fence has completed.
    Unfenced,
    /// Written back by an instruction that no MFENCE has completed. SFENCE is not enough.
    NeedsMfence,
}

/// The effect of a streaming (non-temporal) store on its line. Vendors permit both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streaming {
    /// The line is updated where it is cached, and stays dirty, as measured on AMD Zen 5 and as
    /// Intel's optimization manual allows an implementation.
    #[default]
    Ordinary,
    /// The line leaves the caches with its dirty bytes, so a fence completes it (Intel SDM vol. 1, 10.4.6.2).
    Evicting,
}

/// How CLFLUSH is completed, which differs between vendors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clflush {
    /// By itself, in order with stores (Intel SDM vol. 2A, CLFLUSH).
    Itself,
    /// By MFENCE, and not by SFENCE (AMD APM vol. 3, CLFLUSH).
    Mfence,
}

/// What was observed since watching began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    stores: u64,
    streaming: u64,
    writebacks: u64,
    fences: u64,
}

/// The lines of a watched range.
#[derive(Debug)]
pub struct Lines {
    /// The watched bytes; the first and the last line may hold others.
    range: Range<u64>,
    line: u64,
    states: Vec<State>,
    /// The lines that were written back since the last fence. A fence need not look at others.
    unfenced: Vec<usize>,
    /// The words that were streamed since the last fence, and not stored to by ordinary stores since.
    streamed: HashSet<u64>,
    seen: Seen,
}

impl Lines {
    /// Returns the lines of `line` bytes, a power of two, that hold the `len` bytes from `start`. Returns `None` if
    /// these are more than a program would watch, or wrap around the end of the address space.
    #[must_use]
    pub fn covering(start: u64, len: u64, line: u64) -> Option<Self> {
        let range = start..start.checked_add(len)?;
        let first = start / line;
        let count = if len == 0 { 0 } else { (range.end - 1) / line - first + 1 };
        if count > MOST_LINES {
            return None;
        }
        let states = vec![State::Clean; usize::try_from(count).ok()?];
        let (unfenced, streamed) = (Vec::new(), HashSet::new());
        Some(Self { range, line, states, unfenced, streamed, seen: Seen::default() })
    }

    /// Returns the watched bytes.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Records an ordinary store of `len` bytes.
    pub fn store(&mut self, address: u64, len: u64) {
        let lines = self.touched(address, len);
        self.seen.stores += u64::from(!lines.is_empty());
        self.states[lines].fill(State::Dirty);
        for word in self.words(address, len) {
            self.streamed.remove(&word);
        }
    }

    /// Records a streaming store of `len` bytes.
    pub fn streaming_store(&mut self, address: u64, len: u64, streaming: Streaming) {
        let lines = self.touched(address, len);
        self.seen.streaming += u64::from(!lines.is_empty());
        self.states[lines.clone()].fill(State::Dirty);
        match streaming {
            Streaming::Ordinary => self.streamed.extend(self.words(address, len)),
            Streaming::Evicting => lines.for_each(|line| self.issue(line, State::Unfenced)),
        }
    }

    /// Records an instruction that writes back the line of `address`; `needs_mfence` is true if SFENCE does not complete
    /// it.
    pub fn writeback(&mut self, address: u64, needs_mfence: bool) {
        let state = if needs_mfence { State::NeedsMfence } else { State::Unfenced };
        // The line may begin before the range. Any byte of the line stands for it.
        let start = address / self.line * self.line;
        let lines = self.touched(start, self.line);
        self.seen.writebacks += u64::from(!lines.is_empty());
        if !self.words(start, self.line).any(|word| self.streamed.contains(&word)) {
            lines.for_each(|line| self.issue(line, state));
        }
    }

    /// Records an instruction that completes the write-backs before it: every one, or those that do not need MFENCE.
    pub fn fence(&mut self, completes_all: bool) {
        self.seen.fences += 1;
        self.streamed.clear();
        self.unfenced.retain(|line| {
            let state = &mut self.states[*line];
            let is_late = *state == State::NeedsMfence && !completes_all;
            // A line that was stored to meanwhile stays dirty.
            if *state != State::Dirty && !is_late {
                *state = State::Clean;
            }
            is_late
        });
    }

    fn issue(&mut self, line: usize, state: State) {
        if self.states[line] == State::Dirty {
            self.states[line] = state;
            self.unfenced.push(line);
        }
    }

    /// Returns the indices in `states` of the lines in which these bytes and the range meet.
    fn touched(&self, address: u64, len: u64) -> Range<usize> {
        let Range { start, end } = self.watched(address, len);
        if start >= end {
            return 0..0;
        }
        let place = |address: u64| {
            let lines = address / self.line - self.range.start / self.line;
            usize::try_from(lines).unwrap_or(usize::MAX)
        };
        place(start)..place(end - 1) + 1
    }

    /// Returns the words in which these bytes and the range meet.
    fn words(&self, address: u64, len: u64) -> Range<u64> {
        let bytes = self.watched(address, len);
        if bytes.is_empty() { 0..0 } else { bytes.start / 8..bytes.end.div_ceil(8) }
    }

    /// Returns those of these bytes that are in the range. If none is, the end may come before the start.
    fn watched(&self, address: u64, len: u64) -> Range<u64> {
        address.max(self.range.start)..address.saturating_add(len).min(self.range.end)
    }

    fn count(&self, state: State) -> usize {
        self.states.iter().filter(|is| **is == state).count()
    }
}

/// Prints `stores=1 streaming=0 writebacks=1 fences=1 dirty_lines=0 unfenced_lines=0`.
impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { stores, streaming, writebacks, fences } = self.seen;
        let dirty = self.count(State::Dirty);
        let unfenced = self.count(State::Unfenced) + self.count(State::NeedsMfence);
        write!(
            f,
            "stores={stores} streaming={streaming} writebacks={writebacks} fences={fences} "
        )?;
        write!(f, "dirty_lines={dirty} unfenced_lines={unfenced}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, State, Streaming};

    const START: u64 = 0x1000;

    fn lines(len: u64) -> Lines {
        Lines::covering(START, len, 64).unwrap()
    }

    fn left(lines: &Lines) -> (usize, usize) {
        (lines.count(State::Dirty), lines.count(State::Unfenced))
    }

    #[test]
    fn a_store_is_clean_when_it_was_written_back_and_fenced() {
        let mut lines = lines(256);
        lines.store(START + 8, 8);
        assert_eq!(left(&lines), (1, 0));
        lines.writeback(START, false);
        assert_eq!(left(&lines), (0, 1));
        lines.fence(true);
        assert_eq!(left(&lines), (0, 0));
        assert_eq!(
            lines.to_string(),
            "stores=1 streaming=0 writebacks=1 fences=1 dirty_lines=0 unfenced_lines=0"
        );
    }

    #[test]
    fn a_fence_without_a_write_back_leaves_a_line_dirty() {
        let mut lines = lines(256);
        lines.store(START, 8);
        lines.fence(true);
        assert_eq!(left(&lines), (1, 0));
    }

    #[test]
    fn a_write_back_before_the_store_has_no_effect() {
        let mut lines = lines(256);
        lines.writeback(START, false);
        lines.store(START, 8);
        lines.fence(true);
        assert_eq!(left(&lines), (1, 0));
    }

    #[test]
    fn a_store_between_write_back_and_fence_makes_the_line_dirty_again() {
        let mut lines = lines(256);
        lines.store(START, 8);
        lines.writeback(START, false);
        lines.store(START, 8);
        lines.fence(true);
        assert_eq!(left(&lines), (1, 0));
        lines.writeback(START, false);
        lines.fence(true);
        assert_eq!(left(&lines), (0, 0));
    }

    #[test]
    fn a_store_across_a_boundary_makes_both_lines_dirty() {
        let mut lines = lines(256);
        lines.store(START + 60, 8);
        assert_eq!(left(&lines), (2, 0));
    }

    #[test]
    fn a_store_outside_is_not_seen() {
        let mut lines = Lines::covering(START + 8, 100, 64).unwrap();
        lines.store(START, 8);
        lines.store(START + 108, 8);
        lines.store(0, 8);
        lines.store(u64::MAX, 8);
        assert_eq!(left(&lines), (0, 0));
        lines.store(START + 4, 8);
        lines.store(START + 104, 8);
        assert_eq!(left(&lines), (2, 0));
        // By an address of the line that lies outside the range.
        lines.writeback(START, false);
        lines.writeback(START + 127, false);
        lines.fence(true);
        assert!(
            lines
                .to_string()
                .starts_with("stores=2 streaming=0 writebacks=2 fences=1 dirty_lines=0")
        );
    }

    #[test]
    fn a_streaming_store_needs_a_write_back_unless_it_evicts() {
        let mut ordinary = lines(256);
        ordinary.streaming_store(START, 16, Streaming::Ordinary);
        ordinary.fence(true);
        assert_eq!(left(&ordinary), (1, 0));
        ordinary.writeback(START, false);
        ordinary.fence(true);
        assert_eq!(left(&ordinary), (0, 0));

        let mut evicting = lines(256);
        evicting.streaming_store(START, 16, Streaming::Evicting);
        assert_eq!(left(&evicting), (0, 1));
        evicting.fence(true);
        assert_eq!(left(&evicting), (0, 0));
        assert!(evicting.to_string().starts_with("stores=0 streaming=1 "));
    }

    #[test]
    fn a_write_back_has_streamed_words_after_a_fence() {
        let mut lines = lines(256);
        lines.streaming_store(START, 16, Streaming::Ordinary);
        lines.writeback(START, false);
        lines.fence(true);
        assert_eq!(left(&lines), (1, 0), "the words may have come after the write-back");
        lines.writeback(START, false);
        lines.fence(true);
        assert_eq!(left(&lines), (0, 0));
    }

    #[test]
    fn a_write_back_has_an_ordinary_store_to_streamed_words() {
        for (len, expected) in [(8, (1, 0)), (16, (0, 0))] {
            let mut lines = lines(256);
            lines.streaming_store(START, 16, Streaming::Ordinary);
            lines.store(START, len);
            lines.writeback(START, false);
            lines.fence(true);
            assert_eq!(left(&lines), expected, "{len}");
        }
    }

    #[test]
    fn streamed_words_outside_do_not_matter() {
        let mut lines = Lines::covering(START + 8, 100, 64).unwrap();
        lines.store(START + 8, 8);
        lines.streaming_store(START, 8, Streaming::Ordinary);
        lines.writeback(START, false);
        lines.fence(true);
        assert_eq!(left(&lines), (0, 0));
    }

    #[test]
    fn lines_of_any_size_are_counted() {
        for line in [32, 64, 128, 256] {
            let mut lines = Lines::covering(START + line - 1, 2 * line + 2, line).unwrap();
            lines.store(START, 5 * line);
            assert_eq!(left(&lines), (4, 0), "a byte, two whole lines, a byte, in lines of {line}");
        }
    }

    #[test]
    fn a_range_can_be_empty_or_end_with_the_address_space_but_not_wrap() {
        let mut empty = lines(0);
        empty.store(START, 8);
        assert_eq!(left(&empty), (0, 0));
        let mut last = Lines::covering(u64::MAX - 63, 63, 64).unwrap();
        last.store(u64::MAX - 7, 8);
        last.writeback(u64::MAX, false);
        assert_eq!(left(&last), (0, 1));
        assert!(Lines::covering(u64::MAX, 2, 64).is_none());
        assert!(Lines::covering(0, u64::MAX, 64).is_none());
    }
}
