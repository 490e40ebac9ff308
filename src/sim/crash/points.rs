//! The moments at which a crash can differ from one a moment later.
//!
//! A store only adds states that a crash may leave. Loads and write-backs change no state. States are taken away where
//! stores become sure to survive, and the expectation changes where the outside world learns something. So a crash just
//! before each of these, and one at the end, stand for all others: a state that an earlier crash leaves, with the same
//! expectation, is also left by one of them.
//!
//! One more case exists where stores are sure to survive as soon as they are visible, and where CLFLUSH takes effect in
//! program order. There the outside world may have learned something while the store was still in the CPU's buffer.
//! Until the thread's next fence, each such store may be missing although later notes were made.

use crate::sim::machine::history::{Happened, History, What};
use crate::sim::machine::model::Durable;
use alloc::vec::Vec;

/// A moment of a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// The events that took effect.
    pub(crate) cut: u32,
    /// The number of notes that the outside world had learned.
    pub(crate) notes: usize,
}

/// Returns all moments, in order.
pub(crate) fn points(history: &History) -> Vec<Point> {
    let mut points = Vec::new();
    let mut notes = 0;
    // True if a state or an expectation was added since the last point. At first: nothing has happened.
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

/// Returns the number of notes that follow an effect of a CPU's buffer before its thread fences.
fn notes_before_the_fence(history: &History, event: usize) -> usize {
    let effect = &history.events[event];
    let is_buffered = match effect.what {
        What::Visible => history.model.durable == Durable::Visible,
        What::Writeback { in_order, .. } => in_order,
        _ => false,
    };
    if !is_buffered {
        return 0;
    }
    let is_fence = |other: &&Happened| {
        other.thread == effect.thread && matches!(other.what, What::Fence { completes: true })
    };
    let later = &history.events[event + 1..];
    later
        .iter()
        .take_while(|other| !is_fence(other))
        .filter(|other| other.what == What::Note)
        .count()
}
