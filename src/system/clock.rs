//! The clocks, where the system has them. Without one, the standard library would panic.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

const HAS_CLOCKS: bool = cfg!(not(all(target_family = "wasm", target_os = "unknown")));

/// Returns the time of the monotonic clock, or `None` without one.
#[must_use]
pub fn now() -> Option<Instant> {
    HAS_CLOCKS.then(Instant::now)
}

/// Returns the seconds since 1970-01-01 UTC. Returns 0 without a clock, and before 1970, as if it were not set.
#[must_use]
pub fn seconds() -> u64 {
    if !HAS_CLOCKS {
        return 0;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
