//! Times as they are written on the command line.

use core::time::Duration;
use jiff::SignedDuration;

/// A time such as `10ms` or `1s`, which is not zero.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let time: SignedDuration = text.parse().ok()?;
    Duration::try_from(time).ok().filter(|time| !time.is_zero())
}
