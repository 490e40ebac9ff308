//! The instructions of this architecture, by name, and the facts that describe a machine, for
//! [`Cache::from_facts`](crate::Cache::from_facts) and [`Builder`](crate::cache::Builder).
//!
//! The constants are those of the target that this page was built for. Discards, such as `cbo.inval`, are not among
//! them: `Cache::discard_range` (feature `privileged`) executes them, and its caller promises that the CPU may.

pub use crate::arch::instruction::*;
pub use crate::arch::{Discard, Effect, Facts, Instruction};
