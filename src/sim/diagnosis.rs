//! What became of each store, and what would have saved those that are lost.
//!
//! A store that is lost is no mistake by itself: a crash a moment earlier loses it too. It is one if
//! something relied on it: a store after it that is kept, or what the outside world was told. So each
//! sentence names the store, what relied on it, what it lacked until then, and what to do.

use super::failure::Crash;
use super::history::{Happened, What};
use super::image::Layer;
use super::machine::Place;
use super::model::{Durable, Order};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// What a crash left of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was sure to survive.
    Sure,
    /// It survived, and might not have.
    Kept,
    /// Nobody read what became of it: it does not matter.
    Unread,
    Lost,
    /// Some of its words survived.
    Torn {
        kept: usize,
        of: usize,
    },
}

/// A word whose last store is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostWord {
    pub(super) at: u64,
    /// What the run itself left there, if anything, and the event that stored it.
    pub(super) left: Option<(u64, u32)>,
    pub(super) last: (u64, u32),
}

/// A word that was stored by an event.
struct Stored {
    at: u64,
    is_kept: bool,
    is_sure: bool,
    /// Whether what recovery read tells that it is kept, or lost.
    is_known: bool,
}

/// The words of the stores of an event.
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

/// What became of a store; nothing if the event is none.
pub(super) fn fate(layer: &Layer, event: u32) -> Option<Fate> {
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

/// Whether an event is a store that is lost or torn.
pub(super) fn is_damaged(layer: &Layer, event: u32) -> bool {
    matches!(fate(layer, event), Some(Fate::Lost | Fate::Torn { .. }))
}

/// The end of the events that are needed for what is left: later ones need not have happened.
pub(super) fn end(layer: &Layer) -> u32 {
    let matters = |number: &u32| {
        let is_kept = stored_by(layer, *number).iter().any(|word| word.is_kept && word.is_known);
        is_kept || layer.history.events[*number as usize].guarantees
    };
    (0..layer.cut).rev().find(matters).map_or(0, |last| last + 1)
}

/// The words whose last store is lost.
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

/// Sentences that are said of one crash.
const SENTENCES: usize = 3;

/// What would have saved the stores that are lost or torn: a sentence for each place in the source and
/// line of memory, the first few.
pub(super) fn advice(crash: &Crash, is_acknowledged: bool) -> Vec<String> {
    let damages = (0..crash.end).filter_map(|event| Damage::of(crash, event, is_acknowledged));
    let (relied_on, torn): (Vec<_>, Vec<_>) =
        damages.partition(|damage: &Damage<'_>| damage.witness.is_some());
    // What is torn and nothing more was under way when the crash came, which is no mistake if there is another.
    let mut damages = if relied_on.is_empty() { torn } else { relied_on };
    // One write-back mends what else of a line is lost, and one place is mended once.
    let mut mended: Vec<(Place, usize)> = Vec::new();
    damages.retain(|damage| {
        let (place, line) = (damage.event().place, damage.line(damage.lost));
        let is_new = !mended.iter().any(|(other, of)| *other == place || *of == line);
        mended.push((place, line));
        is_new
    });
    damages.iter().take(SENTENCES).map(Damage::sentence).collect()
}

/// What is to be said where no store is lost that anything relied on.
pub(super) fn nothing_lost(crash: &Crash, is_acknowledged: bool) -> String {
    let last = (0..crash.end).rev().find(|event| is_store(crash.event(*event)));
    let next =
        (crash.end..crash.layer.history.now()).find(|event| is_damaged(&crash.layer, *event));
    let is_noted = |last| (last..crash.end).any(|event| crash.event(event).what == What::Note);
    // What was noted after the last store was complete, unless that is the mistake.
    let is_complete = !is_acknowledged && last.is_some_and(is_noted);
    let last = last.map(|last| crash.named(last));
    let next = next.filter(|_| !is_complete).map(|next| crash.named(next));
    if crash.is_recovery {
        nothing_lost_of_recovery(last, next)
    } else {
        nothing_lost_of_workload(last, next)
    }
}

/// The crash came between the last store and the next.
fn nothing_lost_of_workload(last: Option<String>, next: Option<String>) -> String {
    match (last, next) {
        (Some(last), Some(next)) => format!(
            "no store is lost: the crash came after the {last} and before the {next}; if \
            recovery cannot do without the second, persist it before the first, else mend recovery"
        ),
        (Some(last), None) => format!(
            "no store is lost: recovery fails although all is there, up to the {last}; mend \
            recovery, or what is stored"
        ),
        (None, _) => {
            "no store is needed: recovery fails on what was there before the workload; mend \
            recovery, or prepare the medium"
                .to_owned()
        }
    }
}

/// The same in recovery, which another one follows.
fn nothing_lost_of_recovery(last: Option<String>, next: Option<String>) -> String {
    match (last, next) {
        (Some(last), Some(next)) => format!(
            "no store of recovery is lost: it was cut after the {last} and before the \
            {next}; it must do right if it begins anew there"
        ),
        (Some(last), None) => format!(
            "no store of recovery is lost: the next one fails on what it left, up to the {last}; \
            it must do right if it is run twice"
        ),
        (None, _) => "no store of recovery matters: what is wrong is what the crash before it left"
            .to_owned(),
    }
}

/// What shows that a store should have been persistent.
#[derive(Clone, Copy)]
enum Witness {
    /// The last that the outside world was told.
    Note(u32),
    /// Stores after it that are there, or a part of them: the first and the last. Which of them relied on it
    /// only the reader knows.
    Stores(u32, u32),
}

impl Witness {
    /// Until when the store should have been persistent, at the latest.
    const fn last(self) -> u32 {
        match self {
            Self::Note(event) | Self::Stores(_, event) => event,
        }
    }
}

/// A store that is lost or torn, and should not be.
struct Damage<'a> {
    crash: &'a Crash,
    event: u32,
    is_torn: bool,
    /// Its first word that is lost: what that lacked, the others lacked too.
    lost: u64,
    witness: Option<Witness>,
}

impl<'a> Damage<'a> {
    /// The damage of an event, if it is a store that is torn, or lost though something relied on it.
    fn of(crash: &'a Crash, event: u32, is_acknowledged: bool) -> Option<Self> {
        let layer = &crash.layer;
        if !is_damaged(layer, event) || is_overwritten(crash, event, is_acknowledged) {
            return None;
        }
        let lost = stored_by(layer, event).iter().find(|word| !word.is_kept)?.at;
        let is_torn = fate(layer, event) != Some(Fate::Lost);
        let witness = witness(crash, event, is_acknowledged);
        let damage = Self { crash, event, is_torn, lost, witness };
        (is_torn || witness.is_some()).then_some(damage)
    }

    fn sentence(&self) -> String {
        let whose = if self.crash.is_recovery { "recovery's" } else { "the" };
        let named = self.crash.named(self.event);
        let what = if self.is_torn { "is torn" } else { "is lost" };
        format!("{whose} {named} {what}{}: {}", self.although(), self.lack())
    }

    /// What it is called once it was named: another store may have been named after it.
    const fn subject(&self) -> &'static str {
        if self.is_torn { "the torn write" } else { "the lost store" }
    }

    fn although(&self) -> String {
        let Some(witness) = self.witness else { return String::new() };
        let last = self.crash.shown(witness.last());
        match witness {
            Witness::Note(_) => format!(", although the outside world was told at {last}"),
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

    /// What the store lacked, and what to do.
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
            Durable::Visible | Durable::Executed => self.buffered(),
        }
    }

    /// It was in the CPU's store buffer, where no write-back is needed.
    fn buffered(&self) -> String {
        let (before, late) = (self.before(), self.late(self.event().thread));
        format!(
            "{} was still in the CPU's store buffer, and no fence followed; fence {before}{late}",
            self.subject()
        )
    }

    /// Whether the stores that are kept are of the same thread to the same line, which was not written back
    /// in between.
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

    /// Stores of a line, not in the order of the program.
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

    /// It lacked a fence, if not the write-back.
    fn not_completed(&self) -> String {
        let covers = |event: &u32| self.covers(self.crash.event(*event));
        let Some(writeback) = (self.event + 1..self.limit()).rev().find(covers) else {
            return self.not_written_back();
        };
        let not_fenced = || self.not_fenced(writeback);
        self.not_taken_over(writeback)
            .or_else(|| self.fenced_early(writeback))
            .unwrap_or_else(not_fenced)
    }

    /// The write-back of another thread was completed, but may not have had the store.
    fn not_taken_over(&self, writeback: u32) -> Option<String> {
        let thread = self.crash.event(writeback).thread;
        self.first(writeback + 1..self.limit(), |event| is_fence_of(event, thread))?;
        let at = self.crash.shown(writeback);
        Some(format!(
            "thread {thread} wrote {} back at {at}, perhaps before it was in memory, as nothing orders the \
            two; let thread {thread} fence between taking it over and writing it back",
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
        match self.first(writeback + 1..self.limit(), is_other) {
            Some(other) => format!(
                "thread {thread} wrote {subject} back at {at}, but the fence at {other} is of another thread \
                and does not complete that; fence on thread {thread} {before}{late}"
            ),
            None => format!(
                "{subject} was written back at {at}, but no fence followed; fence {before}{late}"
            ),
        }
    }

    /// The next fence of a thread, which is too late.
    fn late(&self, thread: u32) -> String {
        let late = self.first(self.limit()..u32::MAX, |event| is_fence_of(event, thread));
        late.map_or(String::new(), |late| format!(", not only at {late}"))
    }

    /// It lacked the write-back, or that came at another time.
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

    /// A write-back that has a part of the store, but not the word.
    fn missed(&self) -> Option<String> {
        let model = &self.crash.layer.history.model;
        let stored = stored_by(&self.crash.layer, self.event);
        let has_part = |event: &u32| {
            let lines = self.lines(self.crash.event(*event));
            stored.iter().any(|word| lines.contains(&self.line(word.at)))
        };
        let partial = (self.event + 1..self.limit()).find(has_part)?;
        let What::Writeback { start, end, .. } = self.crash.event(partial).what else {
            return None;
        };
        let (at, unit) = (self.crash.shown(partial), self.unit());
        let missed = model.offset(model.lines(self.lost, self.lost + 1).start, 0);
        Some(format!(
            "the write-back at {at} has {start:#x}..{end:#x} and misses the {unit} at {missed:#x}"
        ))
    }

    fn event(&self) -> &Happened {
        self.crash.event(self.event)
    }

    /// Until when it should have been persistent, at the latest.
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
        match self.crash.layer.history.model.durable {
            Durable::Returned => format!("write {what} back"),
            _ => format!("write {what} back and fence"),
        }
    }

    fn line(&self, at: u64) -> usize {
        self.crash.layer.history.model.place(at).0
    }

    /// The lines that an event writes back.
    fn lines(&self, event: &Happened) -> Range<usize> {
        match event.what {
            What::Writeback { start, end, .. } if start < end => {
                self.crash.layer.history.model.lines(start, end)
            }
            _ => 0..0,
        }
    }

    /// Whether an event writes the lost word back.
    fn covers(&self, event: &Happened) -> bool {
        self.lines(event).contains(&self.line(self.lost))
    }

    /// The first of some events of the whole run, as it is shown.
    fn first(&self, events: Range<u32>, is_one: impl Fn(&Happened) -> bool) -> Option<String> {
        let last = self.crash.layer.history.now();
        let found =
            (events.start..events.end.min(last)).find(|event| is_one(self.crash.event(*event)));
        found.map(|event| self.crash.shown(event))
    }
}

const fn is_store(event: &Happened) -> bool {
    matches!(event.what, What::Store { .. })
}

const fn is_fence(event: &Happened) -> bool {
    matches!(event.what, What::Fence { completes: true })
}

const fn is_fence_of(event: &Happened, thread: u32) -> bool {
    is_fence(event) && event.thread == thread
}

/// Whether every lost word of a store has a later store that is lost and relied on too: that says more.
fn is_overwritten(crash: &Crash, event: u32, is_acknowledged: bool) -> bool {
    let history = &crash.layer.history;
    let says_more = |last: u32| last > event && witness(crash, last, is_acknowledged).is_some();
    stored_by(&crash.layer, event).iter().filter(|word| !word.is_kept).all(|word| {
        let (line, place) = history.model.place(word.at);
        let Some(stores) = history.line(line) else { return false };
        let last = stores.writes(place).iter().rfind(|write| write.event < crash.end);
        last.is_some_and(|last| says_more(last.event))
    })
}

/// What relied on a store: if that was acknowledged, rather the acknowledgement.
fn witness(crash: &Crash, event: u32, is_acknowledged: bool) -> Option<Witness> {
    let later = event + 1..crash.end;
    let is_note = |event: &u32| crash.event(*event).what == What::Note;
    let note = later.clone().rfind(is_note).map(Witness::Note);
    let kept = || kept(crash, later.clone());
    let stores = kept().next().zip(kept().next_back());
    let stores = stores.map(|(first, last)| Witness::Stores(first, last));
    if is_acknowledged { note.or(stores) } else { stores.or(note) }
}

/// Those of some events that are stores and are there, or a part of them.
fn kept(crash: &Crash, events: Range<u32>) -> impl DoubleEndedIterator<Item = u32> {
    let is_kept = |fate| matches!(fate, Fate::Sure | Fate::Kept | Fate::Torn { .. });
    events.filter(move |event| fate(&crash.layer, *event).is_some_and(is_kept))
}

/// A place in the source, as compilers print it, but for detours: `tests/simulator/../../examples/ring.rs`, as a
/// module by `#[path]` is called, is `examples/ring.rs`.
pub(super) fn shown(place: Place) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in place.file().split('/') {
        match (part, parts.last()) {
            ("..", Some(last)) if !matches!(*last, "" | "..") => parts.truncate(parts.len() - 1),
            _ => parts.push(part),
        }
    }
    format!("{}:{}:{}", parts.join("/"), place.line(), place.column())
}
