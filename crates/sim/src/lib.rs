//! A crash simulator that runs recovery on every state that a crash may leave on a medium.
#![doc = include_str!("../crash-testing.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Under loom, a medium's words are loom's, which a simulation cannot share.
#![cfg(all(target_has_atomic = "64", not(cachemaint_loom)))]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "a medium is in memory, and its operations and their choices are counted in 32 bits"
)]

extern crate alloc;
extern crate std;

// Each module uses only those before it in this order: machine, crash, failure, medium, sync, explore, histories,
// mutation.
mod crash;
mod explore;
mod failure;
#[cfg(feature = "histories")]
mod histories;
mod machine;
mod medium;
pub mod mutation;
pub mod sync;

pub use crash::damage::{BadBlock, Damage, DamageKind};
pub use explore::exploration::Exploration;
pub use explore::settings::Effort;
pub use explore::simulation::{Notes, Simulation};
pub use failure::Failure;
pub use failure::cause::Cause;
pub use failure::violation::{Violation, ViolationKind};
#[cfg(feature = "histories")]
pub use histories::{Histories, Life, Searched, Structure};
pub use machine::Machine;
pub use machine::model::Model;
pub use machine::waste;
pub use medium::SimMedium;
pub use medium::mortal::{Killed, Mortal};
