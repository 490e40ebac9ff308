//! The result of a search, and the report of a failed history.

use super::Structure;
use super::runner::{End, Lived, Past, Runner, script};
use super::search::{Failed, Search, Trail};
use crate::crash::choices::Choices;
use crate::crash::image::{Image, Layer};
use crate::crash::points::Point;
use crate::failure::cause::Trial;
use crate::failure::violation::Violation;
use crate::failure::{Crash, Failure, Story};
use crate::machine::model::Model;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The result of a search for a failing history.
#[derive(Clone, Debug)]
#[must_use = "a search reports failures only through its result: check it"]
pub struct Searched<O> {
    model: Model,
    seed: u64,
    /// The number of histories. Each is a choice of operations, of the ends of all lives, and of the states of all
    /// crashes except the last.
    pub histories: u64,
    /// The number of states that were opened after a crash.
    pub states: u64,
    /// The operations of each life of the failed history, for [`Histories::replay`](super::Histories::replay), as few
    /// as the search could make them. A last life that failed at its opening has no operations and is omitted. The list
    /// is also empty if no history failed. With the settings of the search a replay fails again, unless the failure
    /// says that it may not.
    pub lives: Vec<Vec<O>>,
    /// The failure, if a history failed. It prints the operations and the end of each life, the stores that each power
    /// loss left, and the missing steps with their places in the source.
    pub failure: Option<Box<Failure>>,
}

impl<O> Searched<O> {
    /// Panics with the failure, if there is one.
    ///
    /// # Panics
    /// If a history failed.
    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion")]
    pub fn assert_safe(&self) {
        if let Some(failure) = &self.failure {
            panic!("{failure}\n{self}");
        }
    }
}

impl<O> fmt::Display for Searched<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, seed, histories, states, failure, .. } = self;
        write!(f, "{model}: {histories} histories, {states} states, seed {seed}")?;
        f.write_str(if failure.is_some() { "; ended at a failure" } else { "" })
    }
}

impl<S: Structure> Search<'_, S> {
    /// Returns the result, with the failed history as short as possible.
    pub(super) fn into_searched(mut self, failed: Option<Failed<S>>) -> Searched<S::Operation> {
        let (histories, states) = (self.histories, self.states);
        let failure = failed.map(|Failed { trail, tree, origin }| {
            let (lives, operations) = trail.size();
            let mut trail = match tree {
                Some(tree) => self.shrunk(tree, trail),
                None => trail,
            };
            // The history that a replay finds has the simplest crashes.
            let again = self.replay(&trail.lives());
            let again = again.filter(|again| again.violation.kind == trail.violation.kind);
            let note = if again.is_some() { "" } else { "; a replay may not find it" };
            trail = again.unwrap_or(trail);
            let origin = format!("found {origin}; lives: {lives}, operations: {operations}{note}");
            (trail.lives(), Box::new(self.runner.described(&trail, origin)))
        });
        let (lives, failure) = failure.unzip();
        Searched {
            model: self.runner.simulation.model(),
            seed: self.settings.seed,
            histories,
            states,
            lives: lives.unwrap_or_default(),
            failure,
        }
    }
}

/// The runs up to a power loss: several, if processes were killed before.
#[derive(Default)]
struct Session {
    first: usize,
    notes: Vec<String>,
}

impl<S: Structure> Runner<'_, S> {
    /// Runs a failed history once more, and describes it.
    pub(super) fn described(&self, trail: &Trail<S::Operation>, origin: String) -> Failure {
        let (mut node, mut story, mut sessions) = (self.root(), Vec::new(), Vec::new());
        let mut session = Session::default();
        let mut before = None;
        for (number, past) in trail.past.iter().enumerate() {
            let lived = self.again(&node, past);
            story.push(format!("{:?}, {}", past.operations, ending(&lived, past)));
            session.notes.extend(notes(&lived));
            if let End::Power(point) = past.end {
                let name = name(session.first + 1, number + 1);
                sessions.push((name, core::mem::take(&mut session.notes), point.notes));
                session.first = number + 1;
            }
            let ended = lived.into_ended();
            node = ended.node(past.end);
            before = Some((ended, past.end));
        }
        let last = self.relive(&node, (&trail.taken, &trail.schedule), u64::MAX, &trail.operations);
        story.push(match trail.operations.as_slice() {
            [] => "fails at its opening".into(),
            operations => format!("{operations:?}, and fails"),
        });
        let violation = match last.verdict.clone() {
            Err(violation) => violation,
            Ok(()) => Violation::differs(),
        };
        let crash = |(layer, (name, notes, known)): (Layer, (String, _, _))| {
            Crash::new(layer, name).with_notes(notes, known)
        };
        let crashes = last.into_layers().into_iter().zip(sessions).map(crash).collect();
        let story = Story { lives: story, origin };
        let failure = Failure::of_lives(self.simulation.model(), violation, crashes, story);
        let Some((ended, End::Power(Point { notes, .. }))) = before else { return failure };
        let recovery = |image: &Image, notes, choices: Choices| {
            let Some(node) = ended.node_in(image, notes) else { return (choices, false) };
            let choices = (choices, Choices::beginning(&trail.schedule));
            let lived = self.live(&node, choices, u64::MAX, &mut script(&trail.operations));
            (lived.choices, lived.verdict.is_ok())
        };
        let taken = trail.taken.clone();
        failure.explained(Trial { recovery: &recovery, image: node.image(), notes, taken })
    }
}

/// Returns the name of the lives from one to another.
fn name(first: usize, last: usize) -> String {
    if first == last { format!("life {first}") } else { format!("lives {first} to {last}") }
}

/// Returns the end of a life, in words.
fn ending<S: Structure>(lived: &Lived<S>, past: &Past<S::Operation>) -> String {
    match past.end {
        End::Kill(changes) => {
            format!("the process is killed after {changes} stores, write-backs, fences and notes")
        }
        End::Power(point) if point == lived.end() => "then the power is lost".into(),
        End::Power(_) if past.operations.is_empty() => "the power is lost at the opening".into(),
        End::Power(_) => "the power is lost during the last of them".into(),
    }
}

/// Returns the notes of a life: the operation to which each belongs.
fn notes<S: Structure>(lived: &Lived<S>) -> impl Iterator<Item = String> {
    lived.record.notes.iter().map(|begun| match begun.checked_sub(1) {
        None => "opening".into(),
        Some(last) => format!("{:?}", lived.record.steps[last].operation),
    })
}
