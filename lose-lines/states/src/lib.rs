//! Every directory that a power cut may leave.
//!
//! A [`Log`] has the operations of a run: writes, names, syncs, and the lines with which the program promises that
//! something is durable. A [`Model`] has the rules of a file system. [`States`] returns states that a cut could have left
//! under these rules; each is built as a directory, or read file by file, and the code under test opens it.
//!
//! The log comes from the code under test itself, if its input and output go through a trait, or from the recorder of the
//! command `lose-lines files`.
//!
//! # Limits
//! Linux and other Unix systems: names are bytes. Extended attributes, owners and times are not part of a state.

mod choice;
mod explain;
#[doc(hidden)]
pub mod framed;
mod graph;
mod image;
mod membership;
mod model;
mod operation;
mod states;
mod stored;

pub use choice::{Choice, Keep, Kept, Random, at_promises, by_seed};
pub use explain::{Cut, LostOperation};
pub use image::Image;
#[doc(hidden)]
pub use image::hash;
pub use membership::{NoMember, differences_from_end, member};
pub use model::{Model, Posix};
pub use operation::{Entry, Kind, Log, Object, Operation, Record, Synced, Via};
pub use states::{Coverage, State, States};
