//! A store that is lost and should not be: the event that relied on it, the step that it lacked, and the remedy.

use super::crash::{Crash, is_kill_of};
use super::fate::{Fate, fate, is_damaged, stored_by};
use crate::sim::machine::Place;
use crate::sim::machine::history::{Happened, What};
use crate::sim::machine::model::{Durable, Order, WORD};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// The evidence that a store should have been persistent.
#[derive(Clone, Copy)]
enum Witness {
    /// The last note that the outside world learned.
    Note(u32),
    /// Stores after it that are kept, or a part of them: the first and the last. Only the reader knows which of them
    /// relied on it.
    Stores(u32, u32),
}

impl Witness {
    /// Returns the latest event before which the store should have been persistent.
    const fn last(self) -> u32 {
        match self {
            Self::Note(event) | Self::Stores(_, event) => event,
        }
    }
}

/// The events of a crash that may have relied on a store, found once for all stores.
pub(super) struct Evidence<'a> {
    crash: &'a Crash,
    /// True if the violation is that a noted fact is missing.
    is_acknowledged: bool,
    last_note: Option<u32>,
    /// The stores that are kept, wholly or in part.
    kept: Vec<u32>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(crash: &'a Crash, is_acknowledged: bool) -> Self {
        let is_note = |event: &u32| crash.event(*event).what == What::Note;
        let (last_note, kept) = ((0..crash.end).rfind(is_note), kept(crash, 0..crash.end));
        Self { crash, is_acknowledged, last_note, kept: kept.collect() }
    }

    /// Returns the stores that are torn, or lost though something relied on them.
    pub(super) fn damages(&self) -> impl Iterator<Item = Damage<'a>> {
        (0..self.crash.end).filter_map(|event| Damage::of(self, event))
    }

    /// Returns the evidence that something relied on a store: if the store was acknowledged, rather the acknowledgement.
    fn witness(&self, event: u32) -> Option<Witness> {
        let note = self.last_note.filter(|note| *note > event).map(Witness::Note);
        let later = &self.kept[self.kept.partition_point(|kept| *kept <= event)..];
        let stores = later.first().zip(later.last());
        let stores = stores.map(|(first, last)| Witness::Stores(*first, *last));
        if self.is_acknowledged { note.or(stores) } else { stores.or(note) }
    }

    /// Returns true if every lost word of a store has a later store that is lost and relied on too: that says more.
    fn is_overwritten(&self, event: u32) -> bool {
        let Crash { layer, end, .. } = self.crash;
        let says_more = |last: u32| last > event && self.witness(last).is_some();
        stored_by(layer, event).iter().filter(|word| !word.is_kept).all(|word| {
            let (line, place) = layer.history.model.place(word.at);
            let Some(stores) = layer.history.line(line) else { return false };
            let last = stores.writes(place).iter().rfind(|write| write.event < *end);
            last.is_some_and(|last| says_more(last.event))
        })
    }
}

/// The lack of a store that is lost before a kept one where the caches survive: only the words of a copy are in no order
/// there.
const UNRETURNED: &str = "its copy had not returned, and until then its words are in no order with other stores; make \
                          the later store after the copy has returned";

/// A store that is lost or torn, and should not be.
pub(super) struct Damage<'a> {
    crash: &'a Crash,
    event: u32,
    is_torn: bool,
    /// The event's first lost word: all others lacked the same step.
    lost: u64,
    witness: Option<Witness>,
}

impl<'a> Damage<'a> {
    /// Returns the damage of an event, if it is a store that is torn, or lost though something relied on it.
    fn of(evidence: &Evidence<'a>, event: u32) -> Option<Self> {
        let crash = evidence.crash;
        let layer = &crash.layer;
        if !is_damaged(layer, event) || evidence.is_overwritten(event) {
            return None;
        }
        let lost = stored_by(layer, event).iter().find(|word| !word.is_kept)?.at;
        let is_torn = fate(layer, event) != Some(Fate::Lost);
        let witness = evidence.witness(event);
        let damage = Self { crash, event, is_torn, lost, witness };
        (is_torn || witness.is_some()).then_some(damage)
    }

    /// Returns true if something relied on the store.
    pub(super) const fn is_relied_on(&self) -> bool {
        self.witness.is_some()
    }

    /// Returns the store's place in the source, and its line of memory: both are reported only once.
    pub(super) fn subject_of(&self) -> (Place, usize) {
        (self.event().place, self.line(self.lost))
    }

    pub(super) fn sentence(&self) -> String {
        let whose = if self.crash.is_recovery { "recovery's" } else { "the" };
        let named = self.crash.named(self.event);
        let what = if self.is_torn { "is torn" } else { "is lost" };
        format!("{whose} {named} {what}{}: {}", self.although(), self.lack())
    }

    /// Returns the store's short name, for use after its full name: another store may have been named in between.
    const fn subject(&self) -> &'static str {
        if self.is_torn { "the torn write" } else { "the lost store" }
    }

    fn although(&self) -> String {
        let Some(witness) = self.witness else { return String::new() };
        let last = self.crash.shown(witness.last());
        match witness {
            Witness::Note(_) => format!(", although the note at {last} was added"),
            Witness::Stores(first, event) if first == event => {
                let part = if is_damaged(&self.crash.layer, event) { " in part" } else { "" };
                format!(", although the later {} is kept{part}", self.crash.named(event))
            }
            Witness::Stores(first, _) => {
                let first = self.crash.shown(first);
                format!(", although later stores are kept, from {first} to {last}")
            }
        }
    }

    /// Returns the step that the store lacked, and the remedy.
    fn lack(&self) -> String {
        if self.witness.is_none() {
            return "a crash may leave any of its words without the others; let a checksum cover all of \
                them, or persist all of them before the store that makes them valid"
                .to_owned();
        }
        let model = &self.crash.layer.history.model;
        match model.durable {
            Durable::Completed | Durable::Returned if self.shares_line() => self.not_ordered(),
            Durable::Completed => self.not_completed(),
            Durable::Returned => self.not_written_back(),
            Durable::Visible if matches!(self.witness, Some(Witness::Note(_))) => self.buffered(),
            Durable::Visible | Durable::Executed => UNRETURNED.to_owned(),
        }
    }

    /// Describes a store in the CPU's store buffer, where no write-back is needed.
    fn buffered(&self) -> String {
        let (before, late) = (self.before(), self.late(self.event().thread));
        format!(
            "{} was still in the CPU's store buffer, and no fence followed; fence {before}{late}",
            self.subject()
        )
    }

    /// Returns true if the kept stores are of the same thread to the same line, which was not written back in between.
    fn shares_line(&self) -> bool {
        let Some(Witness::Stores(_, last)) = self.witness else { return false };
        let is_own = |event: &u32| self.crash.event(*event).thread == self.event().thread;
        let is_of_line = |event: u32| {
            let stored = stored_by(&self.crash.layer, event);
            stored.iter().any(|word| self.line(word.at) == self.line(self.lost))
        };
        let mut kept = kept(self.crash, self.event + 1..last + 1);
        kept.all(|event| is_own(&event) && is_of_line(event))
            && self.first(self.event + 1..last, |event| self.covers(event)).is_none()
    }

    /// Describes stores of a line, not in the order of the program.
    fn not_ordered(&self) -> String {
        let model = &self.crash.layer.history.model;
        let remedy = match model.order {
            Order::Partial => {
                "let the later store be a release, or persist the earlier one before it"
            }
            Order::Total | Order::None => {
                "persist the earlier store before the later one, or let a checksum cover both"
            }
        };
        let unit = self.unit();
        format!("they are in one {unit}, and the model {model} does not order them; {remedy}")
    }

    /// Describes a store without a fence, and perhaps with a write-back.
    fn not_completed(&self) -> String {
        let covers = |event: &u32| self.covers(self.crash.event(*event));
        let is_own = |event: &u32| self.crash.event(*event).thread == self.event().thread;
        let writebacks = || (self.event + 1..self.limit()).rev().filter(covers);
        // The write-back of another thread may be of something else in the line.
        let Some(writeback) = writebacks().find(is_own).or_else(|| writebacks().next()) else {
            return self.not_written_back();
        };
        let not_fenced = || self.not_fenced(writeback);
        self.killed_early(writeback)
            .or_else(|| self.not_taken_over(writeback))
            .or_else(|| self.fenced_early(writeback))
            .unwrap_or_else(not_fenced)
    }

    /// Describes a write-back of a process that was killed before its fence.
    fn killed_early(&self, writeback: u32) -> Option<String> {
        let thread = self.crash.event(writeback).thread;
        let mut later = writeback + 1..self.limit();
        let ends = |event: &Happened| is_kill_of(event, thread) || is_fence_of(event, thread);
        let end = later.find(|event| ends(self.crash.event(*event)))?;
        let is_killed = matches!(self.crash.event(end).what, What::Kill { .. });
        let (at, killed) = (self.crash.shown(writeback), self.crash.shown(end));
        let subject = self.subject();
        is_killed.then(|| {
            format!(
                "{subject} was written back at {at}, and the process was killed at {killed} before a fence \
                completed that; let the next process persist what it finds"
            )
        })
    }

    /// Describes the completed write-back of another thread that may not have had the store.
    fn not_taken_over(&self, writeback: u32) -> Option<String> {
        let thread = self.crash.event(writeback).thread;
        self.first(writeback + 1..self.limit(), |event| is_fence_of(event, thread))?;
        let at = self.crash.shown(writeback);
        Some(format!(
            "thread {thread} wrote {} back at {at}, perhaps before it was in memory, as nothing orders the \
            two; let thread {thread} call `order_observed` before it writes it back",
            self.subject()
        ))
    }

    fn fenced_early(&self, writeback: u32) -> Option<String> {
        let thread = self.crash.event(writeback).thread;
        let early = self.first(self.event + 1..writeback, |event| is_fence_of(event, thread))?;
        let (at, before) = (self.crash.shown(writeback), self.before());
        Some(format!(
            "the fence at {early} comes before the write-back at {at}, which it does not complete; fence \
            after the write-back and {before}"
        ))
    }

    fn not_fenced(&self, writeback: u32) -> String {
        let thread = self.crash.event(writeback).thread;
        let is_other = |event: &Happened| is_fence(event) && event.thread != thread;
        let (at, before, late) = (self.crash.shown(writeback), self.before(), self.late(thread));
        let subject = self.subject();
        if let Some(other) = self.first(writeback + 1..self.limit(), is_other) {
            return format!(
                "thread {thread} wrote {subject} back at {at}, but the fence at {other} is of another thread \
                and does not complete that; fence on thread {thread} {before}{late}"
            );
        }
        let on = if self.is_relied_on_by(thread) {
            String::new()
        } else {
            format!("on thread {thread} ")
        };
        format!(
            "{subject} was written back at {at}, but no fence followed; fence {on}{before}{late}"
        )
    }

    /// Returns false if another thread than this one has relied on the store.
    fn is_relied_on_by(&self, thread: u32) -> bool {
        let last = self.witness.map(Witness::last);
        last.is_none_or(|last| self.crash.event(last).thread == thread)
    }

    /// Returns the next fence of a thread, which is too late.
    fn late(&self, thread: u32) -> String {
        let late = self.first(self.limit()..u32::MAX, |event| is_fence_of(event, thread));
        late.map_or(String::new(), |late| format!(", not only at {late}"))
    }

    /// Describes a store without a write-back, or with one at another time.
    fn not_written_back(&self) -> String {
        let (unit, before) = (self.unit(), self.before());
        if let Some(text) = self.missed() {
            return format!("{text}; {} {before}", self.remedy("all of it"));
        }
        let covers = |event: &Happened| self.covers(event);
        let early = (0..self.event).rev().find(|event| covers(self.crash.event(*event)));
        let early = early.map(|early| self.crash.shown(early));
        let late = self.first(self.limit()..u32::MAX, covers);
        let when = match (early, late) {
            (None, None) => "was never written back".to_owned(),
            (None, Some(late)) => format!("is not written back until {late}"),
            (Some(early), None) => {
                format!("was written back at {early}, but not after the store")
            }
            (Some(early), Some(late)) => {
                format!("was written back at {early}, before that, and then not until {late}")
            }
        };
        let (subject, remedy) = (self.subject(), self.remedy("it"));
        format!("the {unit} of {subject} {when}; {remedy} {before}")
    }

    /// Describes a write-back that has a part of the store, but not the word.
    fn missed(&self) -> Option<String> {
        let model = &self.crash.layer.history.model;
        let stored = stored_by(&self.crash.layer, self.event);
        let has_part = |event: &u32| {
            let bytes = self.written_back(self.crash.event(*event));
            stored.iter().any(|word| bytes.contains(&word.at))
        };
        let partial = (self.event + 1..self.limit()).find(has_part)?;
        let What::Writeback { start, end, .. } = self.crash.event(partial).what else {
            return None;
        };
        let at = self.crash.shown(partial);
        let unit = if model.is_exact() { "word" } else { self.unit() };
        let missed = model.written_back(self.lost, self.lost + WORD).start;
        Some(format!(
            "the write-back at {at} has {start:#x}..{end:#x} and misses the {unit} at {missed:#x}"
        ))
    }

    fn event(&self) -> &Happened {
        self.crash.event(self.event)
    }

    /// Returns the latest event before which the store should have been persistent.
    fn limit(&self) -> u32 {
        self.witness.map_or(self.crash.end, Witness::last)
    }

    fn before(&self) -> String {
        match self.witness {
            Some(Witness::Stores(first, last)) if first < last => {
                "before the first of them that relies on it".to_owned()
            }
            _ => format!("before event {}", self.crash.number(self.limit())),
        }
    }

    fn unit(&self) -> &'static str {
        match self.crash.layer.history.model.durable {
            Durable::Returned => "page",
            _ => "line",
        }
    }

    fn remedy(&self, what: &str) -> String {
        let model = &self.crash.layer.history.model;
        match model.durable {
            Durable::Returned => format!("write {what} back"),
            _ if model.writes_back() => format!("write {what} back and fence"),
            _ => format!(
                "`persist` only fences on a medium by bytes: write {what} back by `deep_persist`"
            ),
        }
    }

    fn line(&self, at: u64) -> usize {
        self.crash.layer.history.model.place(at).0
    }

    /// Returns the bytes that an event writes back.
    fn written_back(&self, event: &Happened) -> Range<u64> {
        match event.what {
            What::Writeback { start, end, .. } if start < end => {
                self.crash.layer.history.model.written_back(start, end)
            }
            _ => 0..0,
        }
    }

    /// Returns true if an event writes the lost word back.
    fn covers(&self, event: &Happened) -> bool {
        self.written_back(event).contains(&self.lost)
    }

    /// Returns the first of some events of the whole run, as it is shown.
    fn first(&self, events: Range<u32>, is_one: impl Fn(&Happened) -> bool) -> Option<String> {
        let last = self.crash.layer.history.now();
        let found =
            (events.start..events.end.min(last)).find(|event| is_one(self.crash.event(*event)));
        found.map(|event| self.crash.shown(event))
    }
}

/// Returns those of some events that are stores and are kept, wholly or in part.
fn kept(crash: &Crash, events: Range<u32>) -> impl DoubleEndedIterator<Item = u32> {
    let is_kept = |fate| matches!(fate, Fate::Sure | Fate::Kept | Fate::Torn { .. });
    events.filter(move |event| fate(&crash.layer, *event).is_some_and(is_kept))
}

const fn is_fence(event: &Happened) -> bool {
    matches!(event.what, What::Fence { completes: true })
}

const fn is_fence_of(event: &Happened, thread: u32) -> bool {
    is_fence(event) && event.thread == thread
}
