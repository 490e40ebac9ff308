//! Generated histories: several lives of a structure, with crashes between them.
//!
//! Each uses only those before it in this order: life, runner, generated, search, found.

mod found;
mod generated;
mod life;
mod runner;
mod search;

pub use found::Searched;
pub use life::Life;

use crate::explore::simulation::Simulation;
use crate::failure::violation::Violation;
use alloc::vec::Vec;
use core::fmt;
use search::{Failed, Search};

/// A structure under test: its operations, a model of its promises, and the code of one life.
/// [The chapter](super#histories) has an example.
pub trait Structure: Sized + Sync {
    /// An operation with its parameters. Operations that leave something under way (a transaction without a
    /// commit) are included.
    type Operation: Clone + PartialEq + fmt::Debug + Send + Sync;

    /// The reference model: the operations of all lives so far, as the outside world knows them. For each, it says if
    /// that is acknowledged, under way, or given up. The default is that of a medium without the structure.
    type Model: Clone + Default + Send;

    /// Returns the operations that are possible now, the simplest first; the same ones for the same model. A history that
    /// fails is made shorter with earlier ones. Few with few parameters find more than many.
    fn operations(&self, model: &Self::Model) -> Vec<Self::Operation>;

    /// Lives one life: opens the content of the medium, or creates it, judges it by the model, and carries out
    /// operations until [`Life::next`] has no more. Each change of the promises is [noted](Life::note) in the model:
    /// the content found at the opening, each operation when it begins, and its acknowledgement.
    ///
    /// The code must do the same each time it gets the same answers from `life` and its medium. It runs on one thread, and an
    /// operation can be one of several: they are run by [`run_threads`](crate::SimMedium::run_threads), and may note.
    /// Histories are tried with some orders of these threads, by chance.
    ///
    /// # Errors
    /// The violation, if the model does not allow the content. Checks after the last operation count too. Only the result
    /// of a life that is killed within an operation is ignored.
    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation>;
}

/// A search for histories that fail: sequences of operations in several lives of a [`Structure`], with a crash after
/// each life.
///
/// Operations are generated, most histories with few. A life ends by a loss of power or by a kill, after its last operation
/// or within it; a life without operations ends during or after its opening. Short histories are also tried with each end
/// and in all states. A history that fails is made as short as possible before it is reported.
#[derive(Clone, Debug)]
pub struct Histories {
    simulation: Simulation,
    cases: u64,
    seed: u64,
}

impl Histories {
    /// Returns a search under the model of a simulation, on media that begin as the simulation's. Its limits of
    /// operations and preemptions hold for each life, and its damage for each history; its other settings are not used.
    #[must_use]
    pub const fn new(simulation: Simulation) -> Self {
        Self { simulation, cases: 2_000, seed: 0 }
    }

    /// Sets the number of histories that are generated, at first 2000: some seconds.
    #[must_use]
    pub fn cases(self, cases: u64) -> Self {
        Self { cases, ..self }
    }

    /// Sets the start of the random numbers, at first 0. The same seed gives the same histories.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Searches for a history that fails, and makes it as short as possible.
    pub fn search<S: Structure>(&self, structure: &S) -> Searched<S::Operation> {
        let mut search = Search::new(self, structure);
        let failed = search.search();
        search.into_searched(failed)
    }

    /// Tries one history again, with each end that its lives can have: the [lives](Searched::lives) of one that
    /// failed, say. Operations that are not possible are left out. It lives 20000 lives at most in order, and as many by
    /// chance.
    pub fn replay<S: Structure>(
        &self,
        structure: &S,
        lives: &[Vec<S::Operation>],
    ) -> Searched<S::Operation> {
        let mut search = Search::new(self, structure);
        let failed = search.replay(lives);
        let origin = "as it was given".into();
        search.into_searched(failed.map(|trail| Failed { trail, tree: None, origin }))
    }
}
