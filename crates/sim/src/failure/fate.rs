//! The fate of each store.

use super::crash::Crash;
use crate::crash::image::Layer;
use crate::machine::history::{Happened, What};
use alloc::vec::Vec;

/// The state in which a crash left a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The store was sure to survive.
    Sure,
    /// The store survived, and might not have.
    Kept,
    /// No part of it was read: its fate does not matter.
    Unread,
    Lost,
    /// Some of its words survived.
    Torn {
        kept: usize,
        of: usize,
    },
}

/// A word that was stored by an event.
pub(super) struct Stored {
    pub(super) at: u64,
    pub(super) is_kept: bool,
    is_sure: bool,
    /// True if the words that recovery read show that it is kept, or lost.
    pub(super) is_known: bool,
}

/// Returns the words of the stores of an event.
pub(super) fn stored_by(layer: &Layer, event: u32) -> Vec<Stored> {
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
        let Ok(number) = stores.writes(word).binary_search_by_key(&event, |write| write.event)
        else {
            continue;
        };
        let bounds = layer.bounds(line, stores);
        let (low, high) = (bounds.low[word] as usize, bounds.high[word] as usize);
        words.push(Stored {
            at,
            is_kept: high > number,
            is_known: !(low..high).contains(&number),
            is_sure: stores.sure(word, *cut) as usize > number,
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

/// Returns true if an event is a store that is lost or torn.
pub(crate) fn is_damaged(layer: &Layer, event: u32) -> bool {
    matches!(fate(layer, event), Some(Fate::Lost | Fate::Torn { .. }))
}

/// Returns the end of the events that explain the state: later ones need not have happened.
pub(crate) fn end(layer: &Layer) -> u32 {
    let matters = |number: &u32| {
        let is_kept = stored_by(layer, *number).iter().any(|word| word.is_kept && word.is_known);
        is_kept || layer.history.events[*number as usize].guarantees
    };
    (0..layer.cut).rev().find(matters).map_or(0, |last| last + 1)
}

/// A word whose last store is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostWord {
    pub(super) at: u64,
    /// The value that the run itself left there, if any, and the event that stored it.
    pub(super) left: Option<(u64, u32)>,
    pub(super) last: (u64, u32),
}

/// Returns the words whose last store is lost.
pub(super) fn lost_words(crash: &Crash) -> Vec<LostWord> {
    let layer = &crash.layer;
    let mut lost = Vec::new();
    for (line, stores) in layer.history.stored() {
        let bounds = layer.bounds(line, stores);
        for word in 0..stores.len() {
            let (left, made) = (bounds.high[word], stores.made(word, crash.end));
            if left < made {
                let write = |number: u32| {
                    let write = &stores.writes(word)[number as usize - 1];
                    (write.value, write.event)
                };
                let at = layer.history.model.offset(line, word);
                lost.push(LostWord {
                    at,
                    left: (left > 0).then(|| write(left)),
                    last: write(made),
                });
            }
        }
    }
    lost.sort_by_key(|word| word.at);
    lost
}
