//! Words of a torn write that came back: a later run stored the missing ones again.
//!
//! The run between found the write torn and rejected it, by a checksum for example, and left its remains. So no
//! checksum helps.

use super::crash::Crash;
use super::fate::{Fate, fate, stored_by};
use crate::sim::machine::history::Write;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Returns the sentence for the first torn write of which a later run stored a missing word with the same value, while
/// others are still there.
pub(super) fn sentence(crashes: &[Crash]) -> Option<String> {
    (0..crashes.len()).find_map(|number| {
        let (crash, later) = (&crashes[number], &crashes[number + 1..]);
        (0..crash.end).find_map(|event| {
            if !matches!(fate(&crash.layer, event), Some(Fate::Torn { .. })) {
                return None;
            }
            let words = stored_by(&crash.layer, event);
            let again = |at| later.iter().find_map(|later| Some((later, kept(later, at)?)));
            let remain: Vec<_> = words.iter().filter(|word| word.is_kept).collect();
            if !remain.iter().any(|word| word.is_known && again(word.at).is_none()) {
                return None;
            }
            let mut lost = words.iter().filter(|word| !word.is_kept);
            let (run, stored) = lost.find_map(|word| {
                let (run, stored) = again(word.at)?;
                let value = |crash, event| written(crash, word.at)?.iter().find(|one| one.event == event);
                let same = value(crash, event)?.value == value(run, stored)?.value;
                same.then_some((run, stored))
            })?;
            Some(format!(
                "the {} is torn, and {} stored a missing word of it again by the {}. Words that an opening \
                between had rejected or had not read became valid. Persist their erasure before that, or bind all of \
                them to a number of the life by the checksum",
                crash.named(event),
                run.name,
                run.named(stored)
            ))
        })
    })
}

/// Returns the stores of a word in a run.
fn written(crash: &Crash, at: u64) -> Option<&[Write]> {
    let (line, word) = crash.layer.history.model.place(at);
    Some(crash.layer.history.line(line)?.writes(word))
}

/// Returns the last store of a word that a run's crash kept, if there is one.
fn kept(crash: &Crash, at: u64) -> Option<u32> {
    let (line, word) = crash.layer.history.model.place(at);
    let stores = crash.layer.history.line(line)?;
    let high = crash.layer.bounds(line, stores).high[word] as usize;
    Some(stores.writes(word)[high.checked_sub(1)?].event)
}
