//! The survival table, as a pure function.
//!
//! Its rows are the backings, its columns the events. Each cell has an answer for bytes that were only stored, that
//! were persisted, and that were deep persisted. Persisted bytes were written back and fenced; with eADR fenced; or
//! `msync`ed where the granularity is a page. Deep persisted ones were flushed by the kernel through the medium's own
//! buffers too. A cell states the promise, not the usual outcome, with its reason and source ([`Backing::survives`]).

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
