//! Generated histories: several lives of a structure, with crashes between them.
//!
//! Each module uses only those before it in this order: life, runner, generated, search, found.

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
///
/// A *life* is one process that uses the structure, from opening it to its end or crash. It opens the medium, checks its
/// content against the model, and performs operations until a crash ends it. It [notes](Life::note) in the model what the
/// outside world learns. The next life receives the model as it was at the crash. An operation interrupted by the crash may
/// or may not have taken effect. Once a life has found the effect, it must stay.
///
/// ```rust,test_harness
/// use cachemaint::medium::{Medium, Readable};
/// use cachemaint_sim::{Histories, Life, Model, Simulation, Structure, Violation};
/// use std::sync::atomic::Ordering::Relaxed;
///
/// /// Two words that change together. Two places hold such a pair, and a third word selects the current place.
/// struct Pair;
///
/// #[derive(Clone, Debug, PartialEq)]
/// enum Operation { Set(u64), Reopen }
///
/// /// The number in both words, and the number that an unfinished `Set` may have put there.
/// #[derive(Clone, Default)]
/// struct Numbers { now: Option<u64>, under_way: Option<u64> }
///
/// impl Structure for Pair {
///     type Operation = Operation;
///     type Model = Numbers;
///
///     fn operations(&self, _model: &Numbers) -> Vec<Operation> {
///         vec![Operation::Set(1), Operation::Set(2), Operation::Reopen]
///     }
///
///     fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
///         let medium = life.medium;
///         'opening: loop {
///             medium.persist(0..192)?; // a killed process may have left it in the caches
///             let mut place = medium.load(0, Relaxed) % 2;
///             let found = [64, 72].map(|at| medium.load(at + 64 * place, Relaxed));
///             let Numbers { now, under_way } = life.model();
///             let is_right = |number| found == [number; 2];
///             let is_found = [now, under_way].into_iter().flatten().any(is_right);
///             // A new medium has no number, only junk. Otherwise the number found is certain from now on, whether or not an
///             // unfinished `Set` took effect.
///             Violation::unless(is_found || now.is_none(), || format!("{found:?}"))?;
///             life.note(|model| *model = Numbers { now: model.now.and(Some(found[0])), under_way: None });
///             while let Some(operation) = life.next() {
///                 let Operation::Set(number) = operation else { continue 'opening };
///                 life.note(|model| model.under_way = Some(number));
///                 place = 1 - place;
///                 medium.write(64 + 64 * place, &[number.to_le_bytes(); 2].concat());
///                 medium.persist(64 + 64 * place..80 + 64 * place)?;
///                 medium.store(0, place, Relaxed);
///                 medium.persist(0..8)?;
///                 life.note(|model| *model = Numbers { now: Some(number), under_way: None });
///             }
///             return Ok(());
///         }
///     }
/// }
///
/// #[test]
/// fn no_history_breaks_a_pair() {
///     let found = Histories::new(Simulation::new(Model::NEUTRAL, 192)).search(&Pair);
///     found.assert_safe();
///     println!("{found}"); // neutral: ... histories, ... states, seed 0
/// }
/// ```
///
/// Operations that leave something unfinished find the most defects, such as a transaction without a commit. Keep their
/// handles alive until [`Life::next`] returns `None`: then the process is dead. Few operations with few parameters find
/// more: test several small structures rather than one with all operations.
pub trait Structure: Sized + Sync {
    /// An operation with its parameters. This includes operations that leave something unfinished (a transaction
    /// without a commit).
    type Operation: Clone + PartialEq + fmt::Debug + Send + Sync;

    /// The reference model: the operations of all lives so far, as the outside world knows them. Each is acknowledged,
    /// unfinished, or given up. The default model is that of a medium without the structure.
    type Model: Clone + Default + Send;

    /// Returns the operations that are possible now, the simplest first, and always the same for the same model. A
    /// failed history is shortened with earlier ones. Few operations with few parameters find more than many.
    fn operations(&self, model: &Self::Model) -> Vec<Self::Operation>;

    /// Lives one life: opens or creates the content of the medium, checks it against the model, and carries out
    /// operations until [`Life::next`] returns none. Each change of the promises is [noted](Life::note) in the model:
    /// the content found at the opening, each operation when it begins, and its acknowledgement.
    ///
    /// The code must do the same whenever `life` and its medium give the same answers. It runs on one thread, but an
    /// operation can run several by [`run_threads`](crate::SimMedium::run_threads), which may note. Histories are tried
    /// with some random orders of these threads.
    ///
    /// # Errors
    /// The violation, if the model does not allow the content. Checks after the last operation count too. Only the
    /// result of a life killed within an operation is ignored.
    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation>;
}

/// A search for failing histories: sequences of operations in several lives of a [`Structure`], with a crash after each
/// life.
///
/// The operations are generated; most histories have few. A life ends by a power loss or a kill, after or within its
/// last operation, or, without operations, during or after its opening. Short histories are also tried with each end
/// and in all states. A failing history is made as short as possible before it is reported.
#[derive(Clone, Debug)]
pub struct Histories {
    simulation: Simulation,
    cases: u64,
    seed: u64,
}

impl Histories {
    /// Returns a search under the model of a simulation, on media with the simulation's initial content. Its limits of
    /// operations and preemptions apply to each life, and its damage to each history; its other settings are not used.
    #[must_use]
    pub const fn new(simulation: Simulation) -> Self {
        Self { simulation, cases: 2_000, seed: 0 }
    }

    /// Sets the number of generated histories. The default is 2000, which takes some seconds.
    #[must_use]
    pub fn cases(self, cases: u64) -> Self {
        Self { cases, ..self }
    }

    /// Sets the seed of the random numbers. The default is 0. The same seed gives the same histories.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Searches for a failing history, and makes it as short as possible.
    pub fn search<S: Structure>(&self, structure: &S) -> Searched<S::Operation> {
        let mut search = Search::new(self, structure);
        let failed = search.search();
        search.into_searched(failed)
    }

    /// Tries one history again, such as the [lives](Searched::lives) of a failed one, with each end that its lives can
    /// have. Impossible operations are left out. At most 20000 lives are run systematically, and as many at random.
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
