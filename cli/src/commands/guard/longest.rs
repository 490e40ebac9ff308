//! The longest interval of a guard, reported while the guard runs: after a reset no other report is there.

use core::time::Duration;
use jiff::Timestamp;
use std::time::UNIX_EPOCH;

/// The longest interval so far, and the last reported one.
#[derive(Debug)]
pub(super) struct Longest {
    interval: Duration,
    /// The time at which it ended.
    ended: Option<Duration>,
    /// The next interval to report is longer than this, and at least twice the last one reported in the hour before. So the
    /// reports of an hour are as few as the binary digits of the longest interval, and a single long interval, such as one
    /// with a suspend, does not hide all later ones.
    asked_for: Duration,
    reported: Duration,
    reported_at: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

impl Longest {
    pub(super) const fn new(asked_for: Duration) -> Self {
        let zero = Duration::ZERO;
        Self { interval: zero, ended: None, asked_for, reported: zero, reported_at: zero }
    }

    /// Notes an interval that has ended now. Returns it if it is to be reported.
    pub(super) fn add(&mut self, interval: Duration, now: Duration) -> Option<Duration> {
        if interval > self.interval {
            (self.interval, self.ended) = (interval, Some(now));
        }
        let last = if now < self.reported_at + HOUR { self.reported } else { Duration::ZERO };
        let is_due = interval > self.asked_for && interval >= last.saturating_mul(2);
        is_due.then(|| {
            (self.reported, self.reported_at) = (interval, now);
            interval
        })
    }

    /// Returns the time at which the longest interval ended, if one has ended.
    pub(super) fn time(&self) -> Option<String> {
        let nanoseconds = i128::try_from(self.ended?.as_nanos()).ok()?;
        Some(format!("{:.3}", Timestamp::from_nanosecond(nanoseconds).ok()?))
    }
}

/// Returns the time now.
pub(super) fn since_1970() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Longest;
    use core::time::Duration;

    /// The times are in seconds after the 10^9th one (`date -u -d @1000000000`).
    #[test]
    fn an_interval_is_reported_if_it_is_longer_than_asked_for_and_twice_the_last_one_of_the_hour() {
        let mut longest = Longest::new(Duration::from_millis(10));
        assert_eq!(longest.time(), None);
        let expected = [
            (0, false),
            (10, false),
            (11, true),
            (21, false),
            (22, true),
            (11, false),
            (43, false),
            (700, true),
            (699, false),
        ];
        let mut add = |milliseconds, is_reported: bool, second| {
            let interval = Duration::from_millis(milliseconds);
            let reported = longest.add(interval, Duration::from_secs(second));
            assert_eq!(reported, is_reported.then_some(interval), "{milliseconds}");
        };
        for ((milliseconds, is_reported), second) in expected.into_iter().zip(1_000_000_000..) {
            add(milliseconds, is_reported, second);
        }
        // 700 was reported at 7.
        add(11, false, 1_000_003_606);
        add(10, false, 1_000_003_607);
        add(11, true, 1_000_003_607);
        assert_eq!(longest.time().unwrap(), "2001-09-09T01:46:47.000Z");
    }
}
