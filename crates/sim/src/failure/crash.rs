//! A crash in a failure: the relevant events, and their names.

use super::fate;
use crate::crash::image::Layer;
use crate::machine::Place;
use crate::machine::history::{Happened, History, What};
use crate::machine::model::WORD;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// One crash: the run that it cut, and the state that it left.
#[derive(Clone, Debug)]
pub(crate) struct Crash {
    pub(crate) layer: Layer,
    /// The end of the shown events: those that explain the state.
    pub(crate) end: u32,
    pub(super) name: String,
    /// The notes that the outside world got in the run.
    pub(super) notes: Vec<String>,
    /// The number of events shown of earlier runs: numbering continues, so that each number is unique.
    pub(super) before: usize,
}

impl Crash {
    pub(crate) fn new(layer: Layer, name: String) -> Self {
        let end = fate::end(&layer);
        Self { layer, end, name, notes: Vec::new(), before: 0 }
    }

    /// Returns the same crash with notes, of which recovery got the first `known`: their events must be shown too. The
    /// outside world may have learned of a store that was still in the CPU's buffer when the crash came.
    pub(crate) fn with_notes(self, notes: Vec<String>, known: usize) -> Self {
        let end = self.end.max(end_of_notes(&self.layer.history, known));
        Self { end, notes, ..self }
    }

    pub(crate) fn events(&self) -> &[Happened] {
        &self.layer.history.events[..self.end as usize]
    }

    /// Returns an event of the run, even after the crash.
    pub(crate) fn event(&self, event: u32) -> &Happened {
        &self.layer.history.events[event as usize]
    }

    /// Returns the number of an event in the output.
    pub(crate) fn number(&self, event: u32) -> usize {
        let events = &self.layer.history.events[..event as usize];
        self.before + events.iter().filter(|event| is_shown(event)).count() + 1
    }

    /// Returns the kind of an event's operation, its place, and its number if it has one.
    pub(crate) fn named(&self, event: u32) -> String {
        let name = format!("{} at {}", kind(self.event(event)), shown(self.event(event).place));
        if event < self.end { format!("{name} (event {})", self.number(event)) } else { name }
    }
}

/// Returns the end of the events up to the last of `count` notes.
fn end_of_notes(history: &History, count: usize) -> u32 {
    let is_note = |(_, event): &(u32, &Happened)| event.what == What::Note;
    let mut notes = (0..).zip(&history.events).filter(is_note);
    count.checked_sub(1).and_then(|last| notes.nth(last)).map_or(0, |(last, _)| last + 1)
}

/// Returns true for events of the program. A store leaving the CPU's buffer is not one.
pub(super) fn is_shown(event: &Happened) -> bool {
    !matches!(event.what, What::Visible { .. })
}

/// Returns the kind of an event in a word: for operations on a medium that of its method.
pub(super) const fn kind(event: &Happened) -> &'static str {
    match event.what {
        What::Store { streaming: true, .. } => "streaming store",
        What::Store { len: WORD, .. } => "store",
        What::Store { .. } => "write",
        What::Writeback { .. } => "write-back",
        What::Fence { completes: true } => "fence",
        What::Fence { completes: false } => "barrier",
        What::Note => "note",
        What::Kill => "kill",
        What::Visible { .. } => "visible",
    }
}

/// Returns the words of the line that a crash left in the most states, with the places of their stores.
pub(crate) fn widest(layer: &Layer) -> Option<String> {
    let model = layer.history.model;
    let lines =
        layer.history.stored().map(|(line, stores)| (line, stores, layer.bounds(line, stores)));
    let (line, stores, bounds) = lines.max_by_key(|(.., bounds)| bounds.combinations())?;
    let open: Vec<_> =
        (0..stores.len()).filter(|word| bounds.low[*word] < bounds.high[*word]).collect();
    let (first, last) = (model.offset(line, *open.first()?), model.offset(line, *open.last()?));
    let numbers = |word: usize| bounds.low[word] as usize..bounds.high[word] as usize;
    let writes = open.iter().flat_map(|word| &stores.writes(*word)[numbers(*word)]);
    let places: BTreeSet<_> =
        writes.map(|write| shown(layer.history.events[write.event as usize].place)).collect();
    let places: Vec<_> = places.into_iter().take(PLACES).collect();
    Some(format!(
        "The words {first:#x}..{:#x} had up to {} states: no fence is between their stores at {}",
        last + WORD,
        bounds.combinations(),
        places.join(", ")
    ))
}

/// The number of places named for the stores of a line.
const PLACES: usize = 4;

/// Returns a place in the source, as compilers print it, but without `..`: `tests/simulator/../../examples/ring.rs`,
/// from a `#[path]`, becomes `examples/ring.rs`.
pub(crate) fn shown(place: Place) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in place.file().split('/') {
        match (part, parts.last()) {
            ("..", Some(last)) if !matches!(*last, "" | "..") => parts.truncate(parts.len() - 1),
            _ => parts.push(part),
        }
    }
    format!("{}:{}:{}", parts.join("/"), place.line(), place.column())
}
