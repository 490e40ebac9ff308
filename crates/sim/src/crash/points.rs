//! The moments at which a crash can differ from one a moment later.
//!
//! A store only adds states that a crash may leave. Loads and write-backs change no state. States disappear where
//! stores become sure to survive, and the expectation changes where the outside world learns something. A crash just
//! before each of these, and one at the end, therefore cover all others: one of them leaves every state that an earlier
//! crash leaves with the same expectation.
//!
//! There is one more case if stores are sure to survive as soon as they are visible, or if CLFLUSH takes effect in
//! program order. Then the outside world may have learned something from the thread while its store was still in the
//! CPU's buffer. Until the thread's next fence, each such store may be missing although the thread made later notes.
//! Everything after the store is then missing too. These notes therefore end at the first note of another thread, where
//! another thread has loaded the store or a later one, and at a kill. A copy counts as one such store, at the moment of
//! its return.

use crate::machine::history::{History, What};
use crate::machine::model::Durable;
use alloc::vec::Vec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) cut: u32,
    /// The number of notes that the outside world had learned.
    pub(crate) notes: usize,
}

pub(crate) fn points(history: &History) -> Vec<Point> {
    let mut points = Vec::new();
    let mut notes = 0;
    // True if a state or an expectation was added since the last point. Initially true: nothing has happened.
    let mut is_new = true;
    for (cut, event) in (0..).zip(&history.events) {
        let is_note = event.what == What::Note;
        if is_new && (event.guarantees || is_note) {
            points.push(Point { cut, notes });
            is_new = false;
        }
        let late = notes_before_the_fence(history, cut as usize);
        points.extend((notes + 1..=notes + late).map(|notes| Point { cut, notes }));
        notes += usize::from(is_note);
        is_new |= is_note || matches!(event.what, What::Store { .. });
    }
    if is_new {
        points.push(Point { cut: history.now(), notes });
    }
    points
}

/// Returns the number of notes that a thread makes while an effect may still be in its CPU's buffer.
fn notes_before_the_fence(history: &History, event: usize) -> usize {
    let effect = &history.events[event];
    let first = match effect.what {
        What::Visible { since } if history.model.durable == Durable::Visible => since as usize,
        What::Writeback { in_order: true, .. } => event,
        _ => return 0,
    };
    let (mut notes, mut seen) = (0, u32::MAX);
    for (number, other) in (0..).zip(&history.events).skip(first) {
        let is_own = other.thread == effect.thread;
        let is_fence = is_own && matches!(other.what, What::Fence { completes: true });
        // Other threads may have made notes in the middle of a copy.
        let is_note = number as usize > event && other.what == What::Note;
        if is_fence || number >= seen || is_note && !is_own {
            break;
        }
        // A word that was found before its copy returned shows nothing of the copy's other words.
        let later = other.seen.filter(|seen| is_own && *seen > event as u32);
        seen = seen.min(later.unwrap_or(u32::MAX));
        notes += usize::from(is_note);
    }
    notes
}
