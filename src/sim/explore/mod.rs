//! Exploring: a workload, its crashes, recovery, and the judgement.

pub(crate) mod exploration;
mod explorer;
pub(crate) mod settings;
pub(crate) mod simulation;
