//! The journal, as its users rely on it.

#[path = "journal/crashes.rs"]
mod crashes;
#[path = "journal/life.rs"]
mod life;
