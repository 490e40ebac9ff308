//! A crash: the moments at which it can make a difference, and the states that it leaves.

pub(crate) mod choices;
pub(crate) mod damage;
pub(crate) mod image;
mod outcomes;
pub(crate) mod points;
