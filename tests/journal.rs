//! The journal, as its users rely on it.

#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]

#[path = "journal/crashes.rs"]
mod crashes;
#[path = "journal/damage.rs"]
mod damage;
#[path = "journal/files.rs"]
mod files;
#[path = "journal/format.rs"]
mod format;
#[path = "journal/life.rs"]
mod life;
#[path = "journal/uses.rs"]
mod uses;
