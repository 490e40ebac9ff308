//! The monotonic clock, where the system has one.

use std::time::Instant;

/// Returns the present time, or `None` where the standard library has no clock and panics.
pub(crate) fn now() -> Option<Instant> {
    cfg!(not(all(target_family = "wasm", target_os = "unknown"))).then(Instant::now)
}

/// Returns the rest of a wait since `begin`, or `None` if it is over. Without a clock it is over at once, since the
/// standard library cannot wait there either.
#[cfg(feature = "journal")]
pub(crate) fn left(
    timeout: core::time::Duration,
    begin: Option<Instant>,
) -> Option<core::time::Duration> {
    timeout.checked_sub(begin?.elapsed()).filter(|left| !left.is_zero())
}

#[cfg(all(test, feature = "journal"))]
mod tests {
    use super::{left, now};
    use core::time::Duration;

    #[test]
    fn a_wait_without_a_clock_is_over() {
        assert_eq!(left(Duration::MAX, None), None);
        assert_eq!(left(Duration::ZERO, now()), None);
        assert!(left(Duration::MAX, now()).is_some());
    }
}
