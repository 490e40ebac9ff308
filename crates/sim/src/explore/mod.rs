//! Exploration: a workload, its crashes, recovery, and the verdict.

pub(crate) mod exploration;
mod explorer;
mod kept;
pub(crate) mod settings;
pub(crate) mod simulation;
