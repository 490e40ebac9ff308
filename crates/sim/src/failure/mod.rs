//! A failure: the history, the state that the crash left, and the cause.

pub(crate) mod cause;
mod crash;
mod fate;
pub(crate) mod replay;
pub(crate) mod violation;

pub(crate) use crash::{Crash, shown, widest};

use crate::machine::history::{Happened, What};
use crate::machine::model::{Model, WORD};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use cause::{Cause, Trial};
use core::fmt;
use crash::{is_shown, kind};
use fate::Fate;
use replay::Replay;
use violation::{Violation, ViolationKind};

/// Events shown of a history: the last ones, and before them only stores that are lost.
const SHOWN: usize = 40;

/// Words shown of those that are lost.
const WORDS: usize = 12;

/// A failure that an exploration found. It displays the history up to the crash with the fate of each
/// store, the cause if it is known, and the replay.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The model under which it happened.
    pub model: Model,
    /// The violation that recovery made of it.
    pub violation: Violation,
    /// The cause, if runs of recovery on other states have shown it.
    pub cause: Option<Cause>,
    pub(crate) crashes: Vec<Crash>,
    /// The history that led to it, instead of a workload.
    story: Option<Story>,
    /// The text that reproduces the failure, by [`Simulation::replay`](super::Simulation::replay).
    pub replay: Replay,
}

/// A history of several lives that led to a failure.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// The lives, a line for each.
    pub(crate) lives: Vec<String>,
    /// The search that found the history.
    pub(crate) origin: String,
}

impl Failure {
    /// Returns a failure after crashes, the first of which cut a workload.
    pub(crate) fn new(
        model: Model,
        violation: Violation,
        mut crashes: Vec<Crash>,
        replay: Replay,
    ) -> Self {
        if let Some(workload) = crashes.first_mut()
            && violation.kind == ViolationKind::Workload
        {
            workload.end = workload.layer.cut;
        }
        let mut before = 0;
        for crash in &mut crashes {
            crash.before = before;
            before = crash.number(crash.end) - 1;
        }
        Self { model, violation, cause: None, crashes, story: None, replay }
    }

    /// Returns a failure after a history of lives.
    pub(crate) fn of_lives(
        model: Model,
        violation: Violation,
        crashes: Vec<Crash>,
        story: Story,
    ) -> Self {
        let replay = Replay { schedule: Vec::new(), crashes: Vec::new() };
        let cause = cause::revived(&crashes);
        Self { story: Some(story), cause, ..Self::new(model, violation, crashes, replay) }
    }

    /// Looks for the cause by trying recovery on other states.
    pub(crate) fn explained(self, trial: &Trial<'_>) -> Self {
        let is_of_state =
            !matches!(self.violation.kind, ViolationKind::Workload | ViolationKind::Differs);
        let last = self.crashes.last().filter(|_| is_of_state && self.cause.is_none());
        let found = last.and_then(|crash| trial.cause(crash));
        Self { cause: self.cause.or(found), ..self }
    }

    /// Returns the number of crashes of the machine: more than one if recovery itself was cut.
    #[must_use]
    pub fn crashes(&self) -> usize {
        if self.is_in_workload() { 0 } else { self.crashes.len() }
    }

    fn is_in_workload(&self) -> bool {
        self.violation.kind == ViolationKind::Workload
    }

    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        if let Some(story) = &self.story {
            let lives = match story.lives.len() {
                1 => "one life".to_owned(),
                several => format!("{several} lives"),
            };
            writeln!(f, "in a history of {lives} under the model {}", self.model)?;
            let mut lives = (1..).zip(&story.lives);
            return lives.try_for_each(|(number, life)| writeln!(f, "  life {number}: {life}"));
        }
        match self.crashes() {
            0 => writeln!(f, "without a crash, under the model {}", self.model),
            1 => writeln!(f, "after a crash under the model {}", self.model),
            2 => writeln!(
                f,
                "after two crashes under the model {}, the second during recovery",
                self.model
            ),
            several => writeln!(
                f,
                "after {several} crashes under the model {}, all but the first during recovery",
                self.model
            ),
        }
    }

    /// Writes the events before a crash, one a line.
    fn history(&self, f: &mut fmt::Formatter<'_>, run: usize) -> fmt::Result {
        let crash = &self.crashes[run];
        writeln!(f, "\n{}:", self.title(run))?;
        let events = crash.events();
        if events.is_empty() {
            return writeln!(f, "  nothing that matters");
        }
        let columns = Columns::of(events);
        let (mut notes, mut left_out) = (crash.notes.iter(), 0);
        for (number, event) in (0..).zip(events).filter(|(_, event)| is_shown(event)) {
            let note = if event.what == What::Note { notes.next() } else { None };
            let is_late = events.len() - number as usize <= SHOWN;
            if !is_late && !fate::is_damaged(&crash.layer, number) {
                left_out += 1;
                continue;
            }
            write_left_out(f, core::mem::take(&mut left_out))?;
            let fate = fate::fate(&crash.layer, number).filter(|_| !self.is_in_workload());
            writeln!(f, "{}", columns.line(crash.number(number), event, &text(event, note), fate))?;
        }
        Ok(())
    }

    fn title(&self, run: usize) -> String {
        if self.story.is_some() {
            return format!("{} up to the loss of power", self.crashes[run].name);
        }
        let title = match (run, self.crashes()) {
            (0, 0) => "the workload up to the failure",
            (0, 1) => "the workload up to the crash",
            (0, _) => "the workload up to the first crash",
            (1, _) => "recovery up to the second crash",
            _ => "the recovery after it up to the next crash",
        };
        title.to_owned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heading(f)?;
        for (run, crash) in self.crashes.iter().enumerate() {
            self.history(f, run)?;
            words(f, crash)?;
        }
        if let Some(cause) = &self.cause {
            writeln!(f, "\ncause: {cause}")?;
        }
        match &self.story {
            Some(story) => write!(f, "\n{}", story.origin),
            None => write!(f, "\nreplay: {}", self.replay),
        }
    }
}

impl core::error::Error for Failure {}

/// The widths of a history's columns.
struct Columns {
    place: usize,
    text: usize,
    threads: bool,
}

impl Columns {
    fn of(events: &[Happened]) -> Self {
        let widest = |width: fn(&Happened) -> usize| events.iter().map(width).max().unwrap_or(0);
        Self {
            place: widest(|event| shown(event.place).len()),
            text: widest(|event| text(event, None).len()),
            threads: events.iter().any(|event| event.thread > 0),
        }
    }

    fn line(&self, number: usize, event: &Happened, text: &str, fate: Option<Fate>) -> String {
        let thread =
            if self.threads { format!("thread {}  ", event.thread) } else { String::new() };
        let (place, mark) = (shown(event.place), mark(fate));
        let (at, width) = (self.place, self.text);
        let line = format!("  {number:>3}  {thread}{place:at$}  {text:width$}  {mark}");
        line.trim_end().to_owned()
    }
}

/// Returns the kind of an event, and the bytes that it is about.
fn text(event: &Happened, note: Option<&String>) -> String {
    let kind = kind(event);
    match event.what {
        What::Store { at, len: WORD, .. } => format!("{kind} {at:#x}"),
        What::Store { at, len, .. } => format!("{kind} {at:#x}..{:#x}", at + len),
        What::Writeback { start, end, .. } => format!("{kind} {start:#x}..{end:#x}"),
        What::Note => format!("{kind} {}", note.map_or("", String::as_str)),
        What::Fence { .. } | What::Visible { .. } | What::Kill => kind.to_owned(),
    }
}

fn mark(fate: Option<Fate>) -> String {
    match fate {
        None => String::new(),
        Some(Fate::Sure) => "persistent".to_owned(),
        Some(Fate::Kept) => "kept by chance".to_owned(),
        Some(Fate::Unread) => "not read".to_owned(),
        Some(Fate::Lost) => "LOST".to_owned(),
        Some(Fate::Torn { kept, of }) => format!("TORN: {kept} of {of} words kept"),
    }
}

fn write_left_out(f: &mut fmt::Formatter<'_>, events: usize) -> fmt::Result {
    match events {
        0 => Ok(()),
        1 => writeln!(f, "  ... one event"),
        several => writeln!(f, "  ... {several} events"),
    }
}

/// Writes the words with a lost store: the lost value and the value they have, by the number of the event.
fn words(f: &mut fmt::Formatter<'_>, crash: &Crash) -> fmt::Result {
    let lost = fate::lost_words(crash);
    if lost.is_empty() {
        return Ok(());
    }
    let value = |(word, event)| format!("{word:#x} of event {}", crash.number(event));
    writeln!(f, "\nwords whose last store is lost:")?;
    for word in lost.iter().take(WORDS) {
        let left = word.left.map_or_else(|| "its value from before this run".to_owned(), value);
        writeln!(f, "  {:#06x}  lost {}, and has {left}", word.at, value(word.last))?;
    }
    match lost.len().saturating_sub(WORDS) {
        0 => Ok(()),
        more => writeln!(f, "  ... and {more} more"),
    }
}
