//! The fate of each store.

use crate::crash::image::Layer;
use crate::machine::history::{Happened, What};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

/// The state in which a crash left a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The store was sure to survive.
    Sure,
    /// The store survived, but might not have.
    Kept,
    /// No part of the store was read, so its fate does not matter.
    Unread,
    Lost,
    /// Some of its words survived.
    Torn {
        kept: usize,
        of: usize,
    },
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sure => f.write_str("persistent"),
            Self::Kept => f.write_str("kept by chance"),
            Self::Unread => f.write_str("not read"),
            Self::Lost => f.write_str("LOST"),
            Self::Torn { kept, of } => write!(f, "TORN: {kept} of {of} words kept"),
        }
    }
}

/// A word that was stored by an event.
struct Stored {
    is_kept: bool,
    is_sure: bool,
    /// True if the words that recovery read show whether it is kept or lost.
    is_known: bool,
}

/// Returns the words of the stores of an event.
fn stored_by(layer: &Layer, event: u32) -> Vec<Stored> {
    let Layer { history, cut, .. } = layer;
    let mut words = Vec::new();
    let Some(Happened { what: What::Store { at, len, .. }, .. }) =
        history.events.get(event as usize)
    else {
        return words;
    };
    for at in (*at..at + len).step_by(size_of::<u64>()) {
        let (line, word) = history.model.place(at);
        let Some(stores) = history.line(line) else { continue };
        let Some(number) = stores.number(word, event) else { continue };
        let bounds = layer.bounds(line, stores);
        let (low, high) = (bounds.low[word], bounds.high[word]);
        words.push(Stored {
            is_kept: high > number,
            is_known: !(low..high).contains(&number),
            is_sure: stores.sure(word, *cut) > number,
        });
    }
    words
}

/// Returns the fate of a store; `None` if the event is not a store.
pub(crate) fn fate(layer: &Layer, event: u32) -> Option<Fate> {
    let words = stored_by(layer, event);
    let kept = words.iter().filter(|word| word.is_kept).count();
    Some(match (kept, words.len()) {
        (_, 0) => return None,
        (0, _) => Fate::Lost,
        (kept, of) if kept < of => Fate::Torn { kept, of },
        _ if words.iter().all(|word| word.is_sure) => Fate::Sure,
        _ if words.iter().all(|word| !word.is_known) => Fate::Unread,
        _ => Fate::Kept,
    })
}

/// Returns the end of the events that explain the state: later ones need not have happened.
pub(crate) fn end(layer: &Layer) -> u32 {
    let matters = |number: &u32| {
        let is_kept = stored_by(layer, *number).iter().any(|word| word.is_kept && word.is_known);
        is_kept || layer.history.events[*number as usize].guarantees
    };
    (0..layer.cut).rev().find(matters).map_or(0, |last| last + 1)
}

/// Returns, in order, the lost stores that were the last ones to their words before `end`.
pub(super) fn lost(layer: &Layer, end: u32) -> Vec<u32> {
    let lines = layer.history.stored().map(|(line, stores)| (stores, layer.bounds(line, stores)));
    let events = lines.flat_map(|(stores, bounds)| {
        let made = (0..stores.len()).map(|word| (word, stores.made(word, end)));
        let lost = made.filter(|(word, made)| *made > bounds.high[*word]);
        lost.map(|(word, made)| stores.writes(word)[made as usize - 1].event).collect::<Vec<_>>()
    });
    events.collect::<BTreeSet<_>>().into_iter().collect()
}
