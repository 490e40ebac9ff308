//! The traits, for code that is generic over what it works on: `use cachemaint::prelude::*`.
//!
//! Programs that name their types need none of them: [`DaxFile`](crate::dax::DaxFile), [`Memory`](crate::medium::Memory)
//! and [`Cache`](crate::Cache) have the operations themselves.

pub use crate::coherence::Maintain;
#[cfg(target_has_atomic = "64")]
pub use crate::medium::{Medium, Readable};
