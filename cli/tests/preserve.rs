//! `cachemaint preserve` as a user runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "preserve/damage.rs"]
mod damage;
#[path = "preserve/output.rs"]
mod output;
#[path = "preserve/place.rs"]
mod place;
mod printed;
#[cfg(target_os = "linux")]
#[path = "preserve/reboots.rs"]
mod reboots;
#[cfg(unix)]
mod redirected;
mod refused;
#[path = "preserve/saving.rs"]
mod saving;
#[path = "preserve/seals.rs"]
mod seals;
#[cfg(unix)]
#[path = "preserve/streams.rs"]
mod streams;
mod wrapped;
