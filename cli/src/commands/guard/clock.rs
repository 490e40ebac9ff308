//! The times of passes: when they began, what they took, and when the next one begins.

use core::time::Duration;
use rustix::time::{ClockId, clock_gettime};

/// A moment of a clock that also goes on while the machine is suspended: a stored byte can be lost for as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BootTime(Duration);

impl BootTime {
    pub(super) fn now() -> Self {
        Self(Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default())
    }

    pub(super) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// Returns the time of the CPU that this thread has had.
pub(super) fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The bound to aim at, and the share of a CPU that takes precedence over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) within: Duration,
    /// Of one CPU, from 0 to 1.
    pub(super) cpu_share: f64,
}

impl Pace {
    /// Returns the time from the beginning of a pass to the beginning of the next one, which shall end in time.
    pub(super) fn next(&self, took: Duration, cpu: Duration) -> Duration {
        // A quarter more, as none takes exactly as long as the one before.
        let in_time = self.within.saturating_sub(took + took / 4);
        in_time.max(cpu.div_f64(self.cpu_share)).max(took)
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use core::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_pass_ends_in_time_unless_its_share_is_too_small() {
        let pace = Pace { within: 10 * MS, cpu_share: 1.0 };
        // 2 ms, and a quarter as a reserve: 7.5 ms after the beginning of the last.
        assert_eq!(pace.next(2 * MS, 2 * MS), MS * 15 / 2);
        // A pass that takes longer than there is time follows at once.
        assert_eq!(pace.next(20 * MS, MS), 20 * MS);
        let pace = Pace { cpu_share: 0.05, ..pace };
        assert_eq!(pace.next(2 * MS, 2 * MS), 40 * MS);
    }
}
