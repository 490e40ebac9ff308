//! A failure: the history, the state that the crash left, and the cause.

pub(crate) mod cause;
mod crash;
mod fate;
pub(crate) mod violation;

pub(crate) use crash::{Crash, shown, widest};

use crate::machine::history::{Happened, What};
use crate::machine::model::{Model, WORD};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use cause::{Cause, Trial};
use core::fmt;
use crash::{is_shown, kind};
use fate::Fate;
use violation::{Violation, ViolationKind};

/// The number of events shown of a history: the last ones, and before them only lost stores.
const SHOWN: usize = 40;

/// A failure. It prints the history up to the crash with the fate of each store, and the cause if it is known.
#[derive(Clone)]
pub struct Failure {
    /// The model under which it happened.
    pub model: Model,
    /// The violation that recovery reported.
    pub violation: Violation,
    /// The cause, if runs of recovery on other states have shown it.
    pub cause: Option<Cause>,
    pub(crate) crashes: Vec<Crash>,
    /// The history that led to the failure, in place of a workload.
    story: Option<Story>,
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
    pub(crate) fn new(model: Model, violation: Violation, mut crashes: Vec<Crash>) -> Self {
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
        Self { model, violation, cause: None, crashes, story: None }
    }

    /// Returns a failure after a history of lives.
    #[cfg(feature = "histories")]
    pub(crate) fn of_lives(
        model: Model,
        violation: Violation,
        crashes: Vec<Crash>,
        story: Story,
    ) -> Self {
        Self { story: Some(story), ..Self::new(model, violation, crashes) }
    }

    /// Searches for the cause by trying recovery on other states.
    pub(crate) fn explained(self, trial: Trial<'_>) -> Self {
        let is_of_state =
            !matches!(self.violation.kind, ViolationKind::Workload | ViolationKind::Differs);
        let last = self.crashes.last().filter(|_| is_of_state);
        Self { cause: last.and_then(|crash| trial.cause(crash)), ..self }
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
            writeln!(
                f,
                "in a history of {} lives under the model {}",
                story.lives.len(),
                self.model
            )?;
            let mut lives = (1..).zip(&story.lives);
            return lives.try_for_each(|(number, life)| writeln!(f, "  life {number}: {life}"));
        }
        let crashes = match self.crashes() {
            0 => "without a crash",
            1 => "after a crash",
            2 => "after a crash and one during recovery",
            _ => "after a crash and several during recovery",
        };
        writeln!(f, "{crashes}, under the model {}", self.model)
    }

    /// Writes the events before a crash, one a line.
    fn history(&self, f: &mut fmt::Formatter<'_>, crash: &Crash) -> fmt::Result {
        writeln!(f, "\n{}:", crash.name)?;
        let events = crash.events();
        let has_threads = events.iter().any(|event| event.thread > 0);
        let (mut notes, mut left_out) = (crash.notes.iter(), 0);
        for (number, event) in (0..).zip(events).filter(|(_, event)| is_shown(event)) {
            let note = if event.what == What::Note { notes.next() } else { None };
            let fate = fate::fate(&crash.layer, number).filter(|_| !self.is_in_workload());
            let is_late = events.len() - number as usize <= SHOWN;
            if !is_late && !matches!(fate, Some(Fate::Lost | Fate::Torn { .. })) {
                left_out += 1;
                continue;
            }
            if left_out > 0 {
                writeln!(f, "  ... {} more", core::mem::take(&mut left_out))?;
            }
            write!(f, "  {:>3}  ", crash.number(number))?;
            if has_threads {
                write!(f, "thread {}  ", event.thread)?;
            }
            let fate = fate.map(|fate| fate.to_string()).unwrap_or_default();
            writeln!(f, "{:26}  {fate:23}  {}", text(event, note), shown(event.place))?;
        }
        let mut damage = crash.layer.damage.iter();
        damage.try_for_each(|damage| writeln!(f, "  the crash left a {damage}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heading(f)?;
        self.crashes.iter().try_for_each(|crash| self.history(f, crash))?;
        if let Some(cause) = &self.cause {
            writeln!(f, "\ncause: {cause}")?;
        }
        match &self.story {
            Some(story) => write!(f, "\n{}", story.origin),
            None => Ok(()),
        }
    }
}

cachemaint::debug_is_display!(Failure);

impl core::error::Error for Failure {}

/// Returns the kind of an event, and its bytes.
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
