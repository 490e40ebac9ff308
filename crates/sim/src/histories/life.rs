//! One life of a structure, as its code sees it.

use super::Structure;
use crate::medium::SimMedium;
use crate::medium::lives::Moment;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Chooses one of the possible operations by its index, or none to end the life.
pub(super) type Pick<'p, O> = dyn FnMut(&[O]) -> Option<usize> + Send + 'p;

/// One life of a [`Structure`]: from its opening to a crash.
///
/// The process is dead once [`next`](Self::next) returns `None`. Dropping a handle after that, such as a transaction,
/// changes nothing, so handles can be kept until the function returns.
#[non_exhaustive]
pub struct Life<'m, S: Structure> {
    /// The medium as the previous life left it.
    pub medium: &'m SimMedium,
    /// The number of the life in its history, from 0: for values that in production are random and differ at each
    /// opening.
    pub number: u64,
    /// True if the previous process was killed: the caches kept its stores, and other processes continued. False if the
    /// power was lost, or if there was no previous process.
    pub is_after_kill: bool,
    structure: &'m S,
    log: Mutex<Log<'m, S>>,
}

#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) number: u64,
    pub(super) is_after_kill: bool,
}

struct Log<'m, S: Structure> {
    pick: &'m mut Pick<'m, S::Operation>,
    record: Record<S>,
}

pub(super) struct Record<S: Structure> {
    /// The model at the beginning and after each note.
    pub(super) models: Vec<S::Model>,
    /// The number of operations that had begun at each note.
    pub(super) notes: Vec<usize>,
    pub(super) steps: Vec<Step<S::Operation>>,
}

pub(super) struct Step<O> {
    pub(super) operation: O,
    pub(super) begun: Moment,
}

impl<S: Structure> Record<S> {
    fn model(&self) -> S::Model {
        self.models.last().cloned().unwrap_or_default()
    }
}

impl<'m, S: Structure> Life<'m, S> {
    pub(super) fn new(
        medium: &'m SimMedium,
        structure: &'m S,
        origin: Origin,
        model: S::Model,
        pick: &'m mut Pick<'m, S::Operation>,
    ) -> Self {
        let record = Record { models: vec![model], notes: Vec::new(), steps: Vec::new() };
        let Origin { number, is_after_kill } = origin;
        Self { medium, number, is_after_kill, structure, log: Mutex::new(Log { pick, record }) }
    }

    pub(super) fn into_record(self) -> Record<S> {
        self.log.into_inner().unwrap_or_else(PoisonError::into_inner).record
    }

    fn log(&self) -> MutexGuard<'_, Log<'m, S>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a copy of the model: everything that was noted, in this life and before.
    #[must_use]
    pub fn model(&self) -> S::Model {
        self.log().record.model()
    }

    /// Records in the model that the outside world learns something now: that an operation begins, or that it is
    /// acknowledged. A crash comes before or after it. The note persists and orders nothing.
    ///
    /// The closure must not use the life.
    #[track_caller]
    pub fn note(&self, note: impl FnOnce(&mut S::Model)) {
        self.medium.note(|| {
            let record = &mut self.log().record;
            let mut model = record.model();
            note(&mut model);
            record.models.push(model);
            record.notes.push(record.steps.len());
        });
    }

    /// Returns the next operation to carry out, one of the [possible](Structure::operations) ones; `None` if the
    /// process is dead.
    #[must_use]
    pub fn next(&self) -> Option<S::Operation> {
        if self.medium.is_dead() {
            return None;
        }
        let Log { pick, record } = &mut *self.log();
        let possible = self.structure.operations(&record.model());
        let chosen = pick(&possible).and_then(|chosen| possible.into_iter().nth(chosen));
        match chosen.clone() {
            Some(operation) => {
                record.steps.push(Step { operation, begun: self.medium.moment() });
            }
            None => self.medium.die(),
        }
        chosen
    }
}

impl<S: Structure> fmt::Debug for Life<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("number", &self.number).finish_non_exhaustive()
    }
}
