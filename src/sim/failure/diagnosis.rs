//! The fate of each store, and the steps that would have saved the lost ones.
//!
//! A lost store is not a defect by itself: a crash a moment earlier loses it too. It is one if something relied on it:
//! a store after it that is kept, or a note. So each sentence names the store, the event that relied on it, the step
//! that it lacked until then, and the remedy.

use super::crash::Crash;
use super::damage::{Damage, Evidence};
use super::fate::is_damaged;
use crate::sim::machine::history::{Happened, What};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A word whose last store is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostWord {
    pub(crate) at: u64,
    /// The value that the run itself left there, if any, and the event that stored it.
    pub(crate) left: Option<(u64, u32)>,
    pub(crate) last: (u64, u32),
}

/// Returns the words whose last store is lost.
pub(crate) fn lost_words(crash: &Crash) -> Vec<LostWord> {
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

/// Sentences that are said of one crash.
const SENTENCES: usize = 3;

/// Returns the steps that would have saved the lost or torn stores: a sentence for each place in the source and line of
/// memory, the first few.
pub(crate) fn advice(crash: &Crash, is_acknowledged: bool) -> Vec<String> {
    let evidence = Evidence::new(crash, is_acknowledged);
    let relied_on = sentences(&evidence, Damage::is_relied_on);
    // A write that is torn and nothing more was under way when the crash came. It is not a defect if there is another.
    if relied_on.is_empty() { sentences(&evidence, |_| true) } else { relied_on }
}

/// Returns the same for the stores that something relied on alone.
pub(crate) fn relied_on(crash: &Crash, is_acknowledged: bool) -> Vec<String> {
    sentences(&Evidence::new(crash, is_acknowledged), Damage::is_relied_on)
}

/// Returns the first sentences. One write-back mends the other lost words of a line too, and one place is mended once.
fn sentences<'a>(evidence: &Evidence<'a>, is_one: fn(&Damage<'a>) -> bool) -> Vec<String> {
    let (mut places, mut lines) = (BTreeSet::new(), BTreeSet::new());
    let is_new = |damage: &Damage<'_>| {
        let (place, line) = damage.subject_of();
        places.insert(place) & lines.insert(line)
    };
    let damages = evidence.damages().filter(is_one).filter(is_new);
    damages.take(SENTENCES).map(|damage| damage.sentence()).collect()
}

/// Returns the sentence for a failure without a lost store that something relied on.
pub(crate) fn nothing_lost(crash: &Crash, is_acknowledged: bool) -> String {
    let last = (0..crash.end).rev().find(|event| is_store(crash.event(*event)));
    let next =
        (crash.end..crash.layer.history.now()).find(|event| is_damaged(&crash.layer, *event));
    let is_noted = |last| (last..crash.end).any(|event| crash.event(event).what == What::Note);
    // True if a note was made after the last store was complete, unless that is the defect.
    let is_complete = !is_acknowledged && last.is_some_and(is_noted);
    let last = last.map(|last| crash.named(last));
    let next = next.filter(|_| !is_complete).map(|next| crash.named(next));
    let told = (0..crash.end).rev().find(|event| crash.event(*event).what == What::Note);
    if let (true, Some(told), Some(next)) = (is_acknowledged, told, &next) {
        return told_too_early(&crash.shown(told), next);
    }
    if crash.is_recovery {
        nothing_lost_of_recovery(last, next)
    } else {
        nothing_lost_of_workload(last, next)
    }
}

/// Returns the sentence for a note of something that is not stored yet.
fn told_too_early(note: &str, next: &str) -> String {
    format!(
        "no store is lost: the note at {note} was added before the {next}; add it after that is \
        persistent"
    )
}

/// Describes a crash between the last store and the next.
fn nothing_lost_of_workload(last: Option<String>, next: Option<String>) -> String {
    match (last, next) {
        (Some(last), Some(next)) => format!(
            "no store is lost: the crash came after the {last} and before the {next}; if \
            recovery cannot do without the second, persist it before the first, else mend recovery"
        ),
        (Some(last), None) => format!(
            "no store is lost: recovery fails although all is there, up to the {last}; mend \
            recovery, or the stores"
        ),
        (None, _) => {
            "no store is needed: recovery fails on the medium as it was before the workload; mend \
            recovery, or prepare the medium"
                .to_owned()
        }
    }
}

/// Describes the same in recovery, which another one follows.
fn nothing_lost_of_recovery(last: Option<String>, next: Option<String>) -> String {
    match (last, next) {
        (Some(last), Some(next)) => format!(
            "no store of recovery is lost: it was cut after the {last} and before the \
            {next}; it must do right if it begins anew there"
        ),
        (Some(last), None) => format!(
            "no store of recovery is lost: the next one fails on the state it left, up to the {last}; \
            it must do right if it is run twice"
        ),
        (None, _) => {
            "no store of recovery matters: it fails on the state that the crash before it left"
                .to_owned()
        }
    }
}

const fn is_store(event: &Happened) -> bool {
    matches!(event.what, What::Store { .. })
}
