//! A crash: when it can make a difference, and what it leaves.

pub(crate) mod choices;
pub(crate) mod image;
mod outcomes;
pub(crate) mod points;
