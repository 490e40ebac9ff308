//! Exploring: a workload, its crashes, recovery, and the judgement.

pub(crate) mod exploration;
mod explorer;
mod kept;
pub(crate) mod settings;
pub(crate) mod simulation;
