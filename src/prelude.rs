//! The traits, for generic code: `use cachemaint::prelude::*`.
//!
//! Code that names its types needs none of them: [`DaxFile`](crate::dax::DaxFile), [`Memory`](crate::medium::Memory)
//! and [`Cache`](crate::Cache) have the operations as methods.

pub use crate::coherence::Maintain;
#[cfg(target_has_atomic = "64")]
pub use crate::medium::{Medium, Readable};
