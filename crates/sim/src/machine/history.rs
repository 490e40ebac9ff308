//! The stores of one run, word by word, and the time from which each is sure to survive.
//!
//! A history is cut at a number of events. At a cut, each word of a line has a number of stores made and a number of
//! stores that are sure to survive; a crash leaves a number between the two. These numbers are not independent: a store
//! *needs* the stores to other words of its line that the model orders before it. [`Bounds`] are the numbers that are
//! still possible.

use crate::machine::model::Model;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::panic::Location;

/// The number of stores of each word of a line.
pub(crate) type Counts = Box<[u32]>;

#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) value: u64,
    /// The event that made the store.
    pub(crate) event: u32,
    /// The number of stores to each other word of the line that are persistent if this one is. It grows with each store
    /// to a word. Empty if none is needed.
    pub(crate) needs: Counts,
    /// The stored bytes of the word; none, once a later store has overwritten some of them before they were sure to
    /// survive.
    pub(crate) bytes: u8,
}

/// The stores that are sure to survive from a cut on.
#[derive(Clone, Debug)]
struct Guarantee {
    cut: u32,
    counts: Counts,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    words: Box<[Vec<Write>]>,
    guarantees: Vec<Guarantee>,
    /// True if some store needs another one.
    is_ordered: bool,
}

impl Line {
    fn new(words: usize) -> Self {
        Self {
            words: (0..words).map(|_| Vec::new()).collect(),
            guarantees: Vec::new(),
            is_ordered: false,
        }
    }

    pub(crate) fn writes(&self, word: usize) -> &[Write] {
        &self.words[word]
    }

    /// Returns the number, from 0, of an event's store to a word.
    pub(crate) fn number(&self, word: usize, event: u32) -> Option<u32> {
        let found = self.words[word].binary_search_by_key(&event, |write| write.event);
        found.ok().map(|number| number as u32)
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    pub(crate) fn push(&mut self, word: usize, write: Write) {
        self.is_ordered |= !write.needs.is_empty();
        self.words[word].push(write);
    }

    /// Returns the number of all stores to each word.
    pub(crate) fn counts(&self) -> Counts {
        self.words.iter().map(|writes| u32::try_from(writes.len()).unwrap_or(u32::MAX)).collect()
    }

    /// Returns the number of stores to a word before a cut.
    pub(crate) fn made(&self, word: usize, cut: u32) -> u32 {
        let writes = &self.words[word];
        match writes.last() {
            None => 0,
            Some(last) if last.event < cut => writes.len() as u32,
            Some(_) => writes.partition_point(|write| write.event < cut) as u32,
        }
    }

    /// Returns the stores that are sure to survive at a cut; `None` if there is none.
    fn sure_counts(&self, cut: u32) -> Option<&Counts> {
        let after = self.guarantees.partition_point(|guarantee| guarantee.cut <= cut);
        Some(&self.guarantees[after.checked_sub(1)?].counts)
    }

    /// Returns the last cut, up to this one, at which more stores became sure to survive.
    pub(crate) fn last_sure(&self, cut: u32) -> Option<u32> {
        let sure = self.guarantees.iter().rev().find(|guarantee| guarantee.cut <= cut);
        sure.map(|guarantee| guarantee.cut)
    }

    /// Returns the number of stores of a word that are sure to survive at a cut.
    pub(crate) fn sure(&self, word: usize, cut: u32) -> u32 {
        self.sure_counts(cut).map_or(0, |counts| counts[word])
    }

    /// Returns the stores that are sure to survive at the end.
    pub(crate) fn sure_at_end(&self) -> Counts {
        (0..self.len()).map(|word| self.sure(word, u32::MAX)).collect()
    }

    /// Returns the event of the last store to a word, if that store is not sure to survive at the end.
    pub(crate) fn open_store(&self, word: usize) -> Option<u32> {
        let is_open = self.made(word, u32::MAX) > self.sure(word, u32::MAX);
        self.writes(word).last().filter(|_| is_open).map(|last| last.event)
    }

    /// Returns the events of the undecided stores that a store to these bytes of a word overwrites, each for the first
    /// time.
    pub(crate) fn overwrite(&mut self, word: usize, bytes: u8) -> Vec<u32> {
        let sure = self.sure(word, u32::MAX) as usize;
        let (mut overwritten, mut seen) = (Vec::new(), 0);
        for write in self.words[word][sure..].iter_mut().rev() {
            // Earlier stores have no byte that a later store has not already met.
            if seen == u8::MAX {
                break;
            }
            seen |= write.bytes;
            if write.bytes & bytes != 0 {
                write.bytes = 0;
                overwritten.push(write.event);
            }
        }
        overwritten
    }

    /// Records that at least these stores survive from a cut on. Returns true if that is new.
    pub(crate) fn guarantee(&mut self, cut: u32, counts: &[u32]) -> bool {
        let before = self.guarantees.last().map(|last| &last.counts);
        let is_new = (0..counts.len()).any(|word| counts[word] > before.map_or(0, |old| old[word]));
        if is_new {
            let merged =
                |(word, count): (usize, &u32)| before.map_or(0, |old| old[word]).max(*count);
            let counts = counts.iter().enumerate().map(merged).collect();
            self.guarantees.push(Guarantee { cut, counts });
        }
        is_new
    }
}

/// The number of stores to each word of a line that a crash may have left: from `low` to `high`.
///
/// Both ends are closed: the stores that they need are within them. Since needs grow with each store to a word, the
/// possible states are closed under minimum and maximum. Therefore each number between the two ends of a word occurs in
/// some state, and both the state of all lowest and that of all highest numbers are possible.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) low: Counts,
    pub(crate) high: Counts,
}

impl Bounds {
    /// Returns the states that are possible at a cut.
    pub(crate) fn at(line: &Line, cut: u32) -> Self {
        let words = 0..line.len();
        Self {
            low: words.clone().map(|word| line.sure(word, cut)).collect(),
            high: words.map(|word| line.made(word, cut)).collect(),
        }
    }

    /// Returns all states with at least these stores, and the stores that they need.
    pub(crate) fn of(low: Counts, line: &Line) -> Self {
        let mut bounds = Self { low, high: line.counts() };
        while bounds.raise(line) {}
        bounds
    }

    /// Keeps the states in which the number of a word is in a range. At least one is.
    pub(crate) fn restrict(&mut self, line: &Line, word: usize, range: &Range<u32>) {
        self.low[word] = self.low[word].max(range.start);
        self.high[word] = self.high[word].min(range.end - 1);
        if line.is_ordered {
            self.close(line);
        }
    }

    fn close(&mut self, line: &Line) {
        while self.raise(line) | self.lower(line) {}
    }

    /// Adds the stores that the lowest states need. Returns true if that changed a number.
    fn raise(&mut self, line: &Line) -> bool {
        let mut is_changed = false;
        for word in 0..line.len() {
            let Some(last) = self.low[word].checked_sub(1) else { continue };
            for (low, need) in self.low.iter_mut().zip(&line.writes(word)[last as usize].needs) {
                is_changed |= *low < *need;
                *low = (*low).max(*need);
            }
        }
        is_changed
    }

    /// Removes the stores that need a missing one. Returns true if that changed a number.
    fn lower(&mut self, line: &Line) -> bool {
        let mut is_changed = false;
        for word in 0..line.len() {
            while self.high[word] > self.low[word] && !self.has_needs(line, word) {
                self.high[word] -= 1;
                is_changed = true;
            }
        }
        is_changed
    }

    fn has_needs(&self, line: &Line, word: usize) -> bool {
        let needs = &line.writes(word)[self.high[word] as usize - 1].needs;
        needs.iter().zip(&self.high).all(|(need, high)| need <= high)
    }

    /// Returns the number of combinations of the words' stores: no fewer than the remaining states.
    pub(crate) fn combinations(&self) -> u128 {
        let of_word = |(low, high): (&u32, &u32)| u128::from(high - low + 1);
        self.low.iter().zip(&self.high).map(of_word).fold(1, u128::saturating_mul)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `streaming`: a store past the caches.
    Store { at: u64, len: u64, streaming: bool },
    /// `in_order`: a CLFLUSH.
    Writeback { start: u64, end: u64, in_order: bool },
    /// `completes`: completes all write-backs of the thread. A barrier only orders.
    Fence { completes: bool },
    /// Stores of the thread have reached the caches, which survive: the store of the event `since`, or the whole copy
    /// that began there.
    Visible { since: u32 },
    /// The outside world has learned something.
    Note,
    /// The process of the thread is killed.
    Kill,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Happened {
    pub(crate) thread: u32,
    pub(crate) what: What,
    pub(crate) place: &'static Location<'static>,
    /// True if the event made stores sure to survive.
    pub(crate) guarantees: bool,
    /// The number of events at which its store was known to have left the CPU's buffer: another thread had loaded it,
    /// or the process was killed.
    pub(crate) seen: Option<u32>,
    /// The first load of its store by another thread, or by a process after a kill.
    pub(crate) reader: Option<Reader>,
}

/// A load of another thread's or process's store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    /// The number of events before it.
    pub(crate) at: u32,
    pub(crate) thread: u32,
    pub(crate) place: &'static Location<'static>,
}

#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) model: Model,
    pub(crate) events: Vec<Happened>,
    lines: Vec<Option<Box<Line>>>,
    /// The lines that were stored to.
    stored: Vec<usize>,
}

impl History {
    pub(crate) const fn new(model: Model) -> Self {
        Self { model, events: Vec::new(), lines: Vec::new(), stored: Vec::new() }
    }

    /// Returns the number of events so far, which is the cut after the last one.
    pub(crate) fn now(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap_or(u32::MAX)
    }

    /// Records that the store of an event has left the CPU's buffer by now.
    pub(crate) fn see(&mut self, event: u32) {
        let now = self.now();
        self.events[event as usize].seen.get_or_insert(now);
    }

    #[inline]
    pub(crate) fn line(&self, line: usize) -> Option<&Line> {
        self.lines.get(line)?.as_deref()
    }

    pub(crate) fn line_mut(&mut self, line: usize) -> Option<&mut Line> {
        self.lines.get_mut(line)?.as_deref_mut()
    }

    /// Returns a line for a store to it.
    pub(crate) fn line_to_store(&mut self, line: usize) -> &mut Line {
        let words = self.model.words();
        let stored = &mut self.stored;
        if self.lines.len() <= line {
            self.lines.resize_with(line + 1, || None);
        }
        self.lines[line].get_or_insert_with(|| {
            stored.push(line);
            Box::new(Line::new(words))
        })
    }

    /// Returns the lines that were stored to, with their numbers.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.stored.iter().filter_map(|line| Some((*line, self.line(*line)?)))
    }
}
