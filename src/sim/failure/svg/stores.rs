//! The state of each store after a crash.

use crate::sim::failure::crash::{Crash, is_kill_of};
use crate::sim::failure::fate::{Fate, fate};
use crate::sim::machine::history::{Happened, What};
use alloc::vec::Vec;

/// The remains of a store after a crash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Lost,
    Kept,
    /// Open, as recovery did not read it.
    Unread,
    Sure,
    /// All stores, as no crash happened.
    All,
}

impl Left {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Kept => "kept by chance",
            Self::Unread => "not read",
            Self::Sure => "persistent",
            Self::All => "made",
        }
    }
}

/// A word of a row.
#[derive(Clone, Copy)]
pub(super) struct Word {
    pub(super) line: usize,
    /// The place of the word in the line.
    pub(super) place: usize,
    pub(super) left: Left,
}

/// Returns the words that an event stored.
pub(super) fn words(crash: &Crash, event: u32) -> Vec<Word> {
    let What::Store { at, len, .. } = crash.event(event).what else { return Vec::new() };
    let words = (at..at + len).step_by(size_of::<u64>());
    words.filter_map(|at| word(crash, at, event)).collect()
}

/// Returns the remains of the store of a word by an event.
fn word(crash: &Crash, at: u64, event: u32) -> Option<Word> {
    let (line, place) = crash.layer.history.model.place(at);
    let stores = crash.layer.history.line(line)?;
    let before = stores.writes(place).iter().position(|write| write.event == event)?;
    let number = u32::try_from(before).ok()? + 1;
    Some(Word { line, place, left: left_of(crash, line, place, number)? })
}

/// Returns the remains of the last stores of a line's words after a crash.
pub(super) fn left(crash: &Crash, line: usize) -> Vec<Word> {
    let Some(stores) = crash.layer.history.line(line) else { return Vec::new() };
    let last = |place| match stores.made(place, crash.end) {
        0 => None,
        number => Some(Word { line, place, left: left_of(crash, line, place, number)? }),
    };
    (0..stores.len()).filter_map(last).collect()
}

/// Returns the remains of a word's store of that number, from 1.
fn left_of(crash: &Crash, line: usize, place: usize, number: u32) -> Option<Left> {
    let layer = &crash.layer;
    let stores = layer.history.line(line)?;
    let bounds = layer.bounds(line, stores);
    Some(match number {
        _ if stores.sure(place, layer.cut) >= number => Left::Sure,
        _ if bounds.low[place] >= number => Left::Kept,
        _ if bounds.high[place] >= number => Left::Unread,
        _ => Left::Lost,
    })
}

/// Returns true if a write-back was completed before the crash, by a fence of its thread or by itself.
pub(super) fn is_complete(crash: &Crash, event: u32) -> bool {
    let writeback = crash.event(event);
    let is_fence = |later: &Happened| {
        later.thread == writeback.thread && later.what == What::Fence { completes: true }
    };
    let later = (event + 1..crash.end).map(|event| crash.event(event));
    let mut of_process = later.take_while(|later| !is_kill_of(later, writeback.thread));
    writeback.guarantees || of_process.any(is_fence)
}

/// Returns the fate of the store of an event, in words.
pub(super) fn fate_in_words(crash: &Crash, event: u32) -> &'static str {
    match fate(&crash.layer, event) {
        Some(Fate::Sure) => Left::Sure.text(),
        Some(Fate::Kept) => Left::Kept.text(),
        Some(Fate::Unread) => Left::Unread.text(),
        Some(Fate::Torn { .. }) => "torn",
        Some(Fate::Lost) | None => Left::Lost.text(),
    }
}
