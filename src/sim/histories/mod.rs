//! Generated histories: several lives of a structure, with crashes between them.
//!
//! Each uses only those before it in this order: life, runner, chance, search, few, shrink, found.

mod chance;
mod few;
mod found;
mod life;
mod runner;
mod search;
mod shrink;

pub use found::Searched;
pub use life::Life;

use crate::sim::explore::simulation::Simulation;
use crate::sim::failure::violation::Violation;
use alloc::vec::Vec;
use core::fmt;
use search::Search;

/// A structure under test: its operations, a model of its promises, and the code of one life.
///
/// ```
/// use cachemaint::medium::{Medium, Readable};
/// use cachemaint::sim::{Histories, Life, Model, Simulation, Structure, Violation};
/// use core::sync::atomic::Ordering::Relaxed;
///
/// /// A counter in one word.
/// struct Counter;
///
/// impl Structure for Counter {
///     type Operation = &'static str;
///     /// The number that was acknowledged, and the one that may be there.
///     type Model = (u64, u64);
///
///     fn operations(&self, _model: &(u64, u64)) -> Vec<&'static str> {
///         vec!["increment"]
///     }
///
///     fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
///         let medium = life.medium;
///         let mut number = medium.load(0, Relaxed);
///         let (acknowledged, begun) = life.model();
///         Violation::unless((acknowledged..=begun).contains(&number), || {
///             format!("{number}, not {acknowledged} to {begun}")
///         })?;
///         medium.persist(0..8)?; // a process that was killed may have left it in the caches
///         life.note(|model| *model = (number, number));
///         while life.next().is_some() {
///             number += 1;
///             life.note(|model| model.1 = number);
///             medium.store(0, number, Relaxed);
///             medium.persist(0..8)?;
///             life.note(|model| model.0 = number);
///         }
///         Ok(())
///     }
/// }
///
/// let found = Histories::new(Simulation::new(Model::NEUTRAL, 64).zeros()).search(&Counter);
/// found.assert_safe();
/// println!("{found}");
/// ```
pub trait Structure: Sized {
    /// An operation with its parameters. Operations that leave something under way (a transaction without a
    /// commit) are included.
    type Operation: Clone + PartialEq + fmt::Debug;

    /// The reference model: the operations of all lives so far, as the outside world knows them. For each, it says if
    /// that is acknowledged, under way, or given up. The default is that of a medium without the structure.
    type Model: Clone + Default;

    /// Returns the operations that are possible now; the same ones for the same model. All short histories of them
    /// are tried, so that few with few parameters say more than many.
    fn operations(&self, model: &Self::Model) -> Vec<Self::Operation>;

    /// Lives one life: opens the content of the medium, or creates it, judges it by the model, and carries out
    /// operations until [`Life::next`] has no more. Each change of the promises is [noted](Life::note) in the model:
    /// the content found at the opening, each operation when it begins, and its acknowledgement.
    ///
    /// The code must do the same each time it gets the same answers from `life` and its medium. It runs on one
    /// thread.
    ///
    /// # Errors
    /// The violation, if the model does not allow the content. Checks after the last operation count too. Only the result
    /// of a life that is killed within an operation is ignored.
    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation>;

    /// Returns simpler operations to try in place of one, when a history that fails is made shorter. A simpler
    /// operation never has the first one among its simpler ones again.
    fn simpler(&self, _operation: &Self::Operation) -> Vec<Self::Operation> {
        Vec::new()
    }
}

/// A search for histories that fail: sequences of operations in several lives of a [`Structure`], with a crash after
/// each life.
///
/// All short histories are tried first, in the order of their lengths, then longer ones by chance. A life ends by a loss
/// of power or by a kill, after its last operation or within it; a life without operations ends during or after its
/// opening. A history that fails is made as short as possible before it is reported.
#[derive(Clone, Debug)]
pub struct Histories {
    simulation: Simulation,
    all: u64,
    by_chance: u64,
    seed: u64,
    states: u32,
    longest: usize,
    lives: usize,
}

impl Histories {
    /// Returns a search under the model of a simulation, on media that begin as the simulation's. Its limit of
    /// operations holds for each life; its other settings are not used.
    #[must_use]
    pub const fn new(simulation: Simulation) -> Self {
        Self {
            simulation,
            all: 20_000,
            by_chance: 2_000,
            seed: 0,
            states: 8,
            longest: 12,
            lives: 3,
        }
    }

    /// Sets the number of lives that are spent on all short histories, at first 20000: some seconds. A quarter as many
    /// more are spent on short histories in [all states](Searched::in_all_states). The same number tries the same histories
    /// on each machine.
    #[must_use]
    pub fn all(self, lives: u64) -> Self {
        Self { all: lives, ..self }
    }

    /// Sets the number of histories that are tried by chance, at first 2000, and where the random numbers start, at
    /// first 0. The same seed gives the same histories.
    #[must_use]
    pub fn by_chance(self, histories: u64, seed: u64) -> Self {
        Self { by_chance: histories, seed, ..self }
    }

    /// Sets the number of states that are opened after the last crash, at first 8. If the opening can distinguish no
    /// more than this number, all are opened. Otherwise this number is opened in order, and the same number by chance.
    /// Of each crash before the last, three are opened: with all stores, with as few as can be, and one by chance. Short
    /// histories that leave few states are tried in all of them, whatever this number is. A [replay](Self::replay) begins with
    /// this number for each crash.
    #[must_use]
    pub fn states(self, states: u32) -> Self {
        Self { states, ..self }
    }

    /// Sets the longest history by chance: at first 3 lives of 12 operations each.
    #[must_use]
    pub fn longest(self, lives: usize, operations: usize) -> Self {
        Self { lives, longest: operations, ..self }
    }

    /// Searches for a history that fails, and makes it as short as possible.
    pub fn search<S: Structure>(&self, structure: &S) -> Searched<S::Operation> {
        let mut search = Search::new(self, structure);
        let failed = search.all_short();
        let failed = failed.or_else(|| search.few_states()).or_else(|| search.by_chance());
        search.into_searched(failed)
    }

    /// Tries one history again, with each end that its lives can have: the [lives](Searched::lives) of one that
    /// failed, say. Operations that are not possible are left out. If a crash leaves more than [`states`](Self::states), it
    /// tries more and more of them. It ends after as many lives as [`all`](Self::all) says. If that leaves something out,
    /// ends and states are tried by chance, too: as many times as [`by_chance`](Self::by_chance) says. The reason can be the number of lives or of states, or an operation that reads
    /// words of a crash which the opening has not read.
    pub fn replay<S: Structure>(
        &self,
        structure: &S,
        lives: &[Vec<S::Operation>],
    ) -> Searched<S::Operation> {
        let mut search = Search::new(self, structure);
        let failed = search.replay(lives, self.all, u64::MAX);
        search.into_searched(failed)
    }
}
