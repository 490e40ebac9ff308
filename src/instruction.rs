//! The instructions of this architecture, by name, and the facts that describe a machine: for
//! [`Cache::from_facts`](crate::Cache::from_facts) and [`Builder`](crate::cache::Builder).

#[cfg(feature = "privileged")]
pub use crate::arch::Discard;
pub use crate::arch::instruction::*;
pub use crate::arch::{Effect, Facts, Instruction};
