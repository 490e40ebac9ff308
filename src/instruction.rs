//! The instructions of this architecture, by name, and the facts that describe a machine, for
//! [`Cache::from_facts`](crate::Cache::from_facts) and [`Builder`](crate::cache::Builder).
//!
//! The constants are those of the target that this page was built for.

pub use crate::arch::instruction::*;
pub use crate::arch::{Effect, Facts, Instruction};
