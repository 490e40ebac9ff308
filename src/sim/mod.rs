#![doc = include_str!("../../docs/crash-testing.md")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "a medium is in memory, and its operations and their choices are counted in 32 bits"
)]

mod choices;

mod diagnosis;
mod exploration;
mod failure;
mod history;
mod image;
mod machine;
mod medium;
mod model;
mod mortal;
pub mod mutation;
mod ordered;
mod points;
mod replay;
mod schedule;
mod simulation;
mod svg;
mod violation;
pub mod waste;

pub use exploration::Exploration;
pub use failure::Failure;
pub use machine::Machine;
pub use medium::SimMedium;
pub use model::{Model, Streaming};
pub use mortal::{Killed, Mortal};
pub use replay::{NoReplay, Replay};
pub use simulation::{Effort, Notes, Simulation};
pub use violation::{Violation, ViolationKind};
