//! The extent of an exploration.

use crate::crash::choices::Choices;
use crate::crash::damage::Exposure;
use crate::crash::image::Image;
use crate::machine::model::Model;
use crate::medium::SimMedium;
use crate::medium::watch::Watch;
use alloc::sync::Arc;

/// The extent of the search after each crash. All moments of a crash and orders of threads are always tried, within the
/// bounds of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effort {
    /// Every state that recovery can distinguish, at every crash that can differ.
    Exhaustive,
    /// States near the latest one (all words that recovery reads are the latest, except for at most this number) and
    /// near the oldest one (likewise). They find a single store that is lost, or that arrived first. Not exhaustive.
    Deviations(u32),
    /// A number of random states after each crash. Not exhaustive; the same seed gives the same states.
    Random {
        /// The number of states for each crash.
        states: u32,
        /// The seed of the random numbers.
        seed: u64,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) model: Model,
    pub(super) effort: Effort,
    /// The number of times that recovery itself is cut.
    pub(super) in_recovery: u32,
    pub(super) preemptions: u32,
    /// The largest number of recoveries, and of operations of a run.
    pub(super) recoveries: u64,
    pub(super) operations: u64,
    pub(super) watch: Watch,
    pub(super) exposure: Arc<Exposure>,
}

impl Settings {
    pub(super) fn new(model: Model) -> Self {
        Self {
            model,
            effort: Effort::Exhaustive,
            in_recovery: 1,
            preemptions: 2,
            recoveries: 10_000_000,
            operations: 1_000_000,
            watch: Watch::default(),
            exposure: Arc::default(),
        }
    }

    pub(super) fn medium(&self, image: Image, choices: Choices) -> SimMedium {
        SimMedium::new(self.model, image, choices, self.operations).watched(self.watch.clone())
    }
}
