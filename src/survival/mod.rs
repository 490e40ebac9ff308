//! The survival table, as a pure function.
//!
//! Its rows are the backings, its columns the events; each cell is answered for bytes that
//! were only stored, that were persisted (written back and fenced; with eADR fenced; or `msync`ed
//! where the granularity is a page), and that were deep persisted (flushed by the kernel through the
//! medium's own buffers too). A cell says what is promised, not what usually happens, and comes with
//! its reason and who says so ([`Backing::statement`]).

mod backing;
mod domain;
mod event;
mod stage;
mod statement;
mod table;

pub use backing::Backing;
pub use domain::Domain;
pub use event::Event;
pub use stage::{Stage, Survival};
pub use statement::{Certainty, Statement};
