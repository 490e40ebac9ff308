//! The cause of a failure.
//!
//! A lost store is not a defect by itself: a crash a moment earlier loses it too. Recovery is therefore tried on
//! further states: with fewer notes, at other moments, and with one store more or less. The cause is the difference
//! between a state that recovery accepts and one that it rejects. If no difference is found, no cause is named.

use super::crash::Crash;
use super::fate::lost;
use crate::crash::choices::{Choices, Way};
use crate::crash::image::Image;
use crate::machine::history::{Happened, What, Write};
use crate::machine::model::WORD;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// The cause of a failure. Operations are named by their places in the source, and by their numbers in the failure's
/// history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The note told the outside world of a store that was not persistent yet, or not even made. Without the note,
    /// recovery accepts the state.
    Acknowledged {
        /// The store that is lost, or was made after the note.
        store: String,
        /// The note.
        note: String,
    },
    /// Recovery needs one store for another, but nothing made it persistent first.
    Unordered {
        /// The store that was kept.
        kept: String,
        /// The store that was lost, or was made after the one that was kept.
        missing: String,
    },
    /// Another thread, or the process after a killed one, read a store that was not persistent yet, and based a note or
    /// a store of its own on it.
    Read {
        /// The store that is lost.
        store: String,
        /// The load that found it.
        reader: String,
    },
    /// The operation that the crash cut was not acknowledged yet. No store is lost; recovery accepts the states before
    /// and after the operation, but not the one between these two stores.
    Unacknowledged {
        /// The last store before the crash.
        last: String,
        /// The store that would have come next.
        next: String,
    },
    /// Recovery accepts the same state without the damage.
    Damaged {
        /// The damage.
        damage: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, operations) = match self {
            Self::Acknowledged { store, note } => {
                ("acknowledged before it was persistent", vec![("store", store), ("note", note)])
            }
            Self::Unordered { kept, missing } => {
                ("two stores without an order", vec![("kept", kept), ("missing", missing)])
            }
            Self::Read { store, reader } => {
                ("read before it was persistent", vec![("store", store), ("reader", reader)])
            }
            Self::Unacknowledged { last, next } => (
                "cut within an operation, not acknowledged yet",
                vec![("last", last), ("next", next)],
            ),
            Self::Damaged { damage } => {
                ("damage that the recovery does not allow for", vec![("damage", damage)])
            }
        };
        f.write_str(text)?;
        operations.iter().try_for_each(|(role, name)| write!(f, "\n  {role:7}  {name}"))
    }
}

/// The number of notes that are left out, from the last one back.
const NOTES: usize = 64;
/// The number of stores after a lost one before which a crash is tried.
const STORES: usize = 64;
/// The number of states of a crash that are tried.
const STATES: usize = 64;

/// Runs recovery on an image with this number of notes. Returns the choices that it made, and true if it accepts the
/// state.
pub(crate) type Recovery<'a> = dyn Fn(&Image, usize, Choices) -> (Choices, bool) + 'a;

/// The recovery that failed, to be tried on other states.
pub(crate) struct Trial<'a> {
    pub(crate) recovery: &'a Recovery<'a>,
    /// The image that the last crash left, with nothing decided about that crash.
    pub(crate) image: Image,
    pub(crate) notes: usize,
    pub(crate) taken: Vec<u32>,
}

impl Trial<'_> {
    /// Returns the cause of a failure whose last crash is this one.
    pub(super) fn cause(self, crash: &Crash) -> Option<Cause> {
        let trial = self.undamaged();
        match &crash.layer.damage {
            Some(damage) if trial.accepts_taken(trial.notes) => {
                Some(Cause::Damaged { damage: damage.to_string() })
            }
            _ => trial.cause_of_state(crash),
        }
    }

    /// Returns the same trial without the damage of the last crash, which was the first choice.
    fn undamaged(self) -> Self {
        let Self { image, mut taken, .. } = self;
        if image.may_be_damaged() && !taken.is_empty() {
            taken.remove(0);
        }
        Self { image: image.exposed(Arc::default()), taken, ..self }
    }

    fn cause_of_state(&self, crash: &Crash) -> Option<Cause> {
        let note = self.deciding_note(crash);
        let acknowledged = note.and_then(|note| self.acknowledged(crash, note));
        acknowledged.or_else(|| match lost(&crash.layer, crash.end).as_slice() {
            [] => self.between(crash, crash.layer.cut),
            lost => self.unordered(crash, lost, note),
        })
    }

    /// Returns the last note without which recovery accepts the state.
    fn deciding_note(&self, crash: &Crash) -> Option<u32> {
        let is_note = |event: &u32| crash.event(*event).what == What::Note;
        let notes: Vec<_> = (0..crash.layer.history.now()).filter(is_note).collect();
        let mut fewer = (self.notes.saturating_sub(NOTES)..self.notes).rev();
        notes.get(fewer.find(|known| self.accepts_taken(*known))?).copied()
    }

    /// Returns true if recovery accepts the failed state with this number of notes.
    fn accepts_taken(&self, notes: usize) -> bool {
        (self.recovery)(&self.image, notes, Choices::beginning(&self.taken)).1
    }

    /// Returns the cause if the note was too early: an immediate crash fails too.
    fn acknowledged(&self, crash: &Crash, note: u32) -> Option<Cause> {
        let is_buffered = note >= crash.layer.cut;
        if !is_buffered && !self.fails(&self.image.cut(note + 1), self.notes_at(crash, note + 1)) {
            return None;
        }
        let lost = lost(&crash.layer, note);
        let needed =
            if is_buffered { lost.first().copied() } else { self.needed(crash, note + 1, &lost) };
        let Some(lost) = needed else {
            return self.told_before(crash, note);
        };
        let (store, note_named) = (crash.named(lost), crash.named(note));
        Some(match read_by(crash, lost, note) {
            Some(reader) => Cause::Read { store, reader },
            None => Cause::Acknowledged { store, note: note_named },
        })
    }

    /// Returns the cause if the note is right together with the stores up to the next note.
    fn told_before(&self, crash: &Crash, note: u32) -> Option<Cause> {
        let next = next_store(crash, note + 1)?;
        let known = self.notes_at(crash, note + 1);
        let is_right = || self.accepts(&self.image.cut(next_note(crash, next)), known);
        let is_next = next_note(crash, note + 1) > next;
        (is_next && is_right())
            .then(|| Cause::Acknowledged { store: crash.named(next), note: crash.named(note) })
    }

    /// Returns the lost store with which recovery accepts each state of a crash at a cut, or the first of several
    /// needed ones.
    fn needed(&self, crash: &Crash, cut: u32, lost: &[u32]) -> Option<u32> {
        let (image, notes) = (self.image.cut(cut), self.notes_at(crash, cut));
        let mends = |store: &&u32| !self.fails(&image.clone().with_store(**store, true), notes);
        let several = lost.iter().filter(|_| lost.len() > 1).take(STORES);
        several.clone().find(mends).or(lost.first()).copied()
    }

    /// Returns the cause if a lost store is needed for a later one: the first one with which recovery fails.
    fn unordered(&self, crash: &Crash, lost: &[u32], note: Option<u32>) -> Option<Cause> {
        let missing = *lost.first()?;
        // A write of several words can be torn; a single word is kept or lost.
        let is_word = matches!(crash.event(missing).what, What::Store { len: WORD, .. });
        let from = note.unwrap_or(0).max(missing + u32::from(is_word));
        let stores = (from..crash.layer.cut).filter(|event| is_store(crash.event(*event)));
        let fails = |event: &u32| {
            let image = self.image.cut(event + 1);
            let image = if is_word { image.with_store(missing, false) } else { image };
            self.fails(&image, self.notes_at(crash, event + 1))
        };
        let kept = stores.take(STORES).find(fails)?;
        if !self.accepts(&self.image.cut(kept + 1), self.notes_at(crash, kept + 1)) {
            return self.between(crash, kept + 1);
        }
        if kept == missing {
            return None; // a torn write, which the history shows
        }
        let before = &lost[..lost.partition_point(|store| *store < kept)];
        let missing = self.needed(crash, kept + 1, before)?;
        let named = crash.named(missing);
        Some(match read_by(crash, missing, kept) {
            Some(reader) => Cause::Read { store: named, reader },
            None => Cause::Unordered { kept: crash.named(kept), missing: named },
        })
    }

    /// Returns the cause if nothing is lost at a cut: the cut lies between two stores, and recovery accepts the states
    /// before the first and after the second. The order is the cause if it also accepts the later stores without the
    /// first.
    fn between(&self, crash: &Crash, cut: u32) -> Option<Cause> {
        let last = (0..cut).rfind(|event| is_store(crash.event(*event)))?;
        let next = next_store(crash, last + 1)?;
        let end = next_note(crash, next);
        let (before, after) = (self.image.cut(last), self.image.cut(end));
        let known = self.notes_at(crash, end);
        let is_one_operation = next_note(crash, last + 1) > next;
        if !is_one_operation
            || !self.accepts(&before, self.notes_at(crash, last))
            || !self.accepts(&after, known)
        {
            return None;
        }
        let named = |event| crash.named(event);
        let is_order = without(crash, last, end, &before, &after)
            .is_some_and(|image| self.accepts(&image, known));
        if !is_order {
            return Some(Cause::Unacknowledged { last: named(last), next: named(next) });
        }
        // With everything up to this store before it, the first one is accepted.
        let mends = |event: &u32| {
            let (image, notes) = (self.image.cut(event + 1), self.notes_at(crash, event + 1));
            let without = without(crash, last, event + 1, &before, &image);
            self.accepts(&image, notes) && without.is_some_and(|image| self.accepts(&image, notes))
        };
        let stores = (next..end).filter(|event| is_store(crash.event(*event)));
        let missing = stores.take(STORES).find(mends).unwrap_or(next);
        Some(Cause::Unordered { kept: named(last), missing: named(missing) })
    }

    /// Returns true if recovery accepts the latest state of an image.
    fn accepts(&self, image: &Image, notes: usize) -> bool {
        (self.recovery)(image, notes, Choices::new(Way::NearFirst(0))).1
    }

    /// Returns true if recovery rejects some state of an image.
    fn fails(&self, image: &Image, notes: usize) -> bool {
        let mut choices = Choices::new(Way::All);
        for _ in 0..STATES {
            let (made, is_accepted) = (self.recovery)(image, notes, choices);
            choices = made;
            if !is_accepted {
                return true;
            }
            if choices.advance().is_none() {
                return false;
            }
        }
        !(self.recovery)(image, notes, Choices::new(Way::NearLast(0))).1
    }

    /// Returns the number of notes that recovery gets after a crash at a cut. Those of earlier runs stay.
    fn notes_at(&self, crash: &Crash, cut: u32) -> usize {
        let is_note = |event: &&Happened| event.what == What::Note;
        let events = &crash.layer.history.events;
        let before = |cut: u32| events[..cut as usize].iter().filter(is_note).count();
        let of_run = before(crash.layer.history.now());
        if of_run == 0 { self.notes } else { before(cut) }
    }
}

/// Returns the load by which the thread of an event had read a store.
fn read_by(crash: &Crash, store: u32, event: u32) -> Option<String> {
    let reader = crash.event(store).reader.as_ref()?;
    let is_it = reader.at <= event && reader.thread == crash.event(event).thread;
    is_it.then(|| format!("load at {}", super::shown(reader.place)))
}

const fn is_store(event: &Happened) -> bool {
    matches!(event.what, What::Store { .. })
}

fn next_store(crash: &Crash, from: u32) -> Option<u32> {
    (from..crash.layer.history.now()).find(|event| is_store(crash.event(*event)))
}

fn next_note(crash: &Crash, from: u32) -> u32 {
    let end = crash.layer.history.now();
    (from..end).find(|event| crash.event(*event).what == What::Note).unwrap_or(end)
}

/// Returns the image after the run up to `end`, as if one of its stores was missing; `None` if that makes no
/// difference, since later stores have overwritten it.
fn without(crash: &Crash, store: u32, end: u32, before: &Image, after: &Image) -> Option<Image> {
    let is_of_store = |at: &u64| {
        let writes = written(crash, *at).unwrap_or_default();
        writes.iter().rfind(|write| write.event < end).is_some_and(|last| last.event == store)
    };
    let word = |at| if is_of_store(&at) { before.latest(at) } else { after.latest(at) };
    let words = (0..after.len()).step_by(WORD as usize);
    let matters = words.clone().any(|at| is_of_store(&at));
    matters.then(|| Image::new(words.map(word).collect()))
}

fn written(crash: &Crash, at: u64) -> Option<&[Write]> {
    let (line, word) = crash.layer.history.model.place(at);
    Some(crash.layer.history.line(line)?.writes(word))
}
