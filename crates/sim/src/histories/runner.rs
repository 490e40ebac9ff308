//! Runs lives, and the states after their crashes.

use super::Structure;
use super::life::{Life, Origin, Pick, Record, Step};
use crate::Violation;
use crate::crash::choices::{Choices, Way};
use crate::crash::image::{Image, Layer};
use crate::crash::points::{Point, points};
use crate::explore::simulation::Simulation;
use crate::machine::Machine;
use crate::machine::history::{Happened, History, What};
use crate::medium::SimMedium;
use crate::medium::lives::Moment;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::panic::Location;

pub(super) struct Node<S: Structure> {
    image: Image,
    /// The machine, if a process was killed and the machine continues.
    machine: Option<Machine>,
    model: S::Model,
    number: u64,
}

impl<S: Structure> Node<S> {
    /// Returns the states that the previous crash left.
    pub(super) fn image(&self) -> Image {
        self.image.clone()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Power(Point),
    /// The process is killed after this number of stores, write-backs, fences and notes.
    Kill(u64),
}

/// An ended life, and the choices that repeat it.
#[derive(Clone, Debug)]
pub(super) struct Past<O> {
    pub(super) operations: Vec<O>,
    /// The choices among the states that the previous crash left.
    pub(super) taken: Vec<u32>,
    /// The order of its threads.
    pub(super) schedule: Vec<u32>,
    pub(super) end: End,
}

pub(super) struct Lived<S: Structure> {
    machine: Machine,
    image: Image,
    pub(super) choices: Choices,
    pub(super) schedule: Vec<u32>,
    pub(super) record: Record<S>,
    pub(super) verdict: Result<(), Violation>,
    birth: Moment,
    pub(super) death: Moment,
    number: u64,
}

pub(super) struct Runner<'a, S> {
    pub(super) simulation: &'a Simulation,
    pub(super) structure: &'a S,
}

impl<S: Structure> Runner<'_, S> {
    pub(super) fn root(&self) -> Node<S> {
        let (image, model) = (self.simulation.image(), S::Model::default());
        Node { image, machine: None, model, number: 0 }
    }

    /// Runs a life that ends when `pick` says so, or after `dies_after` changes of the medium. The choices are among
    /// the states of the medium, and among the orders of threads.
    pub(super) fn live(
        &self,
        node: &Node<S>,
        (choices, schedule): (Choices, Choices),
        dies_after: u64,
        pick: &mut Pick<'_, S::Operation>,
    ) -> Lived<S> {
        let medium = self.medium(node, choices, schedule).dying_after(dies_after);
        let birth = medium.moment();
        let (record, verdict) = self.record(node, &medium, pick);
        let death = medium.moment();
        let (machine, image, choices, schedule) = medium.into_parts();
        let number = node.number;
        Lived { machine, image, choices, schedule, record, verdict, birth, death, number }
    }

    /// Opens the state after a crash, and does nothing else: no further crash comes.
    pub(super) fn open(
        &self,
        node: &Node<S>,
        choices: Choices,
    ) -> (Choices, Result<(), Violation>) {
        let medium = self.medium(node, choices, Choices::new(Way::All)).uncut();
        let (_, verdict) = self.record(node, &medium, &mut |_| None);
        let (_, _, choices, _) = medium.into_parts();
        (choices, verdict)
    }

    fn medium(&self, node: &Node<S>, choices: Choices, schedule: Choices) -> SimMedium {
        let medium = self.simulation.holding(node.image.clone(), choices);
        let turns = self.simulation.turns(schedule);
        match &node.machine {
            Some(machine) => {
                let turns = turns.beginning_with(machine.threads());
                medium.continuing(machine.clone()).with_turns(turns)
            }
            None => medium.with_turns(turns),
        }
    }

    fn record(
        &self,
        node: &Node<S>,
        medium: &SimMedium,
        pick: &mut Pick<'_, S::Operation>,
    ) -> (Record<S>, Result<(), Violation>) {
        let mut pick = |possible: &[S::Operation]| pick(possible);
        let origin = Origin { number: node.number, is_after_kill: node.machine.is_some() };
        let life = Life::new(medium, self.structure, origin, node.model.clone(), &mut pick);
        let verdict = medium.run(|| self.structure.live(&life)).unwrap_or_else(Err);
        // A process killed within an operation has added no notes since.
        let verdict = if medium.is_killed() { Ok(()) } else { verdict };
        (life.into_record(), verdict)
    }

    /// Runs a life with these operations, except impossible ones.
    pub(super) fn relive(
        &self,
        node: &Node<S>,
        (taken, schedule): (&[u32], &[u32]),
        dies_after: u64,
        operations: &[S::Operation],
    ) -> Lived<S> {
        let choices = (Choices::beginning(taken), Choices::beginning(schedule));
        self.live(node, choices, dies_after, &mut script(operations))
    }

    /// Runs a life again, and ends it as before.
    pub(super) fn again(&self, node: &Node<S>, past: &Past<S::Operation>) -> Lived<S> {
        let dies_after = if let End::Kill(changes) = past.end { changes } else { u64::MAX };
        self.relive(node, (&past.taken, &past.schedule), dies_after, &past.operations)
    }
}

/// Chooses the given operations in turn, except impossible ones.
pub(super) fn script<O: PartialEq + Sync>(
    operations: &[O],
) -> impl FnMut(&[O]) -> Option<usize> + Send {
    let mut left = operations.iter();
    move |possible| left.find_map(|next| possible.iter().position(|one| one == next))
}

impl<S: Structure> Lived<S> {
    pub(super) fn operations(&self) -> Vec<S::Operation> {
        self.record.steps.iter().map(|step| step.operation.clone()).collect()
    }

    /// Returns the life as it was, with this end.
    pub(super) fn past(&self, end: End) -> Past<S::Operation> {
        let (taken, schedule) = (self.choices.taken(), self.schedule.clone());
        Past { operations: self.operations(), taken, schedule, end }
    }

    /// Returns the moment when the last operation began, or of the birth if none has begun.
    pub(super) fn last_begun(&self) -> Moment {
        let begun = |step: &Step<S::Operation>| step.begun;
        self.record.steps.last().map_or(self.birth, begun)
    }

    /// Returns true if the last operation has left no trace, as if the life had ended before it.
    pub(super) fn is_idle(&self) -> bool {
        self.death.events == self.last_begun().events
    }

    /// Returns the moments of a crash in the last operation that can differ. Earlier ones belong to a life that ended
    /// earlier, unless the outside world has learned something in the last operation: a store of an earlier operation
    /// may still be in the CPU's buffer.
    pub(super) fn points(&self) -> Vec<Point> {
        let (born, from) = (self.birth.events, self.last_begun().events);
        let known = self.notes_before(from);
        let is_late =
            |point: &Point| point.cut > from || (point.cut >= born && point.notes > known);
        points(self.machine.history()).into_iter().filter(is_late).collect()
    }

    /// Returns the numbers of changes after which a kill within the last operation is tried: those of its stores, which
    /// the next process sees, and of its notes, by which that process is judged. A kill after a write-back leaves the
    /// same state, since no thread completes that write-back. A kill after a fence leaves fewer stores that can still
    /// be lost.
    pub(super) fn kills(&self) -> Vec<u64> {
        let events = &self.machine.history().events;
        let from = self.last_begun();
        let changes = events[from.events as usize..].iter();
        let is_change =
            |event: &&Happened| !matches!(event.what, What::Visible { .. } | What::Kill);
        let changes = changes.filter(is_change);
        let is_seen = |event: &Happened| matches!(event.what, What::Store { .. } | What::Note);
        let numbered = (from.changes + 1..self.death.changes).zip(changes);
        numbered.filter(|(_, event)| is_seen(event)).map(|(change, _)| change).collect()
    }

    /// Returns the states after the power losses, as far as they were read.
    pub(super) fn into_layers(self) -> Vec<Layer> {
        self.image.layers
    }

    /// Returns the moment of a crash at the end.
    pub(super) fn end(&self) -> Point {
        Point {
            cut: self.death.events,
            notes: self.notes_before(self.birth.events) + self.record.notes.len(),
        }
    }

    /// Returns the number of notes among the first `events` events of the machine.
    fn notes_before(&self, events: u32) -> usize {
        let events = &self.machine.history().events[..events as usize];
        events.iter().filter(|event| event.what == What::Note).count()
    }

    /// Returns the node after a crash at the life's end.
    pub(super) fn ended(self, end: End) -> Node<S> {
        match end {
            End::Power(_) => Ended::new(self, false).node(end),
            End::Kill(_) => Ended::new(self, true).node(end),
        }
    }

    /// Returns the state with which the next life begins, for any end.
    pub(super) fn into_ended(self) -> Ended<S> {
        Ended::new(self, true)
    }
}

/// A finished life, which can have ended in several ways.
pub(super) struct Ended<S: Structure> {
    history: Arc<History>,
    killed: Option<Machine>,
    image: Image,
    models: Vec<S::Model>,
    notes_before: usize,
    number: u64,
}

impl<S: Structure> Ended<S> {
    fn new(lived: Lived<S>, is_killed: bool) -> Self {
        let notes_before = lived.notes_before(lived.birth.events);
        let Lived { machine, image, record, number, .. } = lived;
        // The kill's only place in the source is that of the last event.
        let last = machine.history().events.last().map(|last| last.place);
        let killed = is_killed.then(|| machine.clone()).map(|mut machine| {
            machine.killed(last.unwrap_or(Location::caller()));
            machine
        });
        let history = Arc::new(machine.into_history());
        Self { history, killed, image, models: record.models, notes_before, number: number + 1 }
    }

    /// Returns the beginning of the next life in another state after a loss of power. `None` if it would know fewer
    /// notes than the previous life had at its birth.
    pub(super) fn node_in(&self, image: &Image, notes: usize) -> Option<Node<S>> {
        let model = self.models.get(notes.checked_sub(self.notes_before)?)?.clone();
        Some(Node { image: image.clone(), machine: None, model, number: self.number })
    }

    /// Returns the beginning of the next life. A kill happens at the end.
    pub(super) fn node(&self, end: End) -> Node<S> {
        let last = self.models.len() - 1;
        let (image, machine, notes) = match end {
            End::Power(Point { cut, notes }) => {
                // A life that is not deterministic may have ended earlier this time.
                let cut = cut.min(self.history.now());
                let layer = Layer::new(Arc::clone(&self.history), cut);
                let notes = notes.saturating_sub(self.notes_before).min(last);
                (self.image.clone().under(layer), None, notes)
            }
            End::Kill(_) => (self.image.clone(), self.killed.clone(), last),
        };
        Node { image, machine, model: self.models[notes].clone(), number: self.number }
    }
}
