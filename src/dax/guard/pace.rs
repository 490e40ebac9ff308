//! The beginnings of passes, and their pauses.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

const MIB: f64 = 1_048_576.0;
/// Bytes that are written back without a pause.
const BURST: f64 = 16.0 * MIB;

/// The longest time that a thread sleeps before it checks if it must stop.
const NAP: Duration = Duration::from_millis(20);

/// The share of time and bandwidth that passes may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of one CPU, from 0 to 1.
    cpu: f64,
    /// Bytes a second.
    rate: f64,
}

impl Limits {
    /// A whole CPU, and 4 GiB a second.
    pub(super) const NONE: Self = Self { cpu: 1.0, rate: 4096.0 * MIB };

    pub(super) const fn cpu_share(self, share: f64) -> Self {
        let least = 0.0001;
        Self { cpu: if share > least { share.min(1.0) } else { least }, ..self }
    }

    pub(super) const fn bytes_per_second(self, rate: f64) -> Self {
        Self { rate: rate.max(1.0), ..self }
    }

    /// Returns the time from the beginning of a pass to the beginning of the next one, which shall end `within` this time.
    pub(super) fn next(&self, within: Duration, took: Duration, cpu: Duration) -> Duration {
        // A quarter more, as none takes exactly as long as the one before.
        let in_time = within.saturating_sub(took + took / 4);
        in_time.max(cpu.div_f64(self.cpu)).max(took)
    }
}

/// The pauses in passes: how many bytes there is leave for, now.
#[derive(Debug)]
pub(super) struct Pauses {
    rate: f64,
    leave: f64,
    since: Instant,
}

impl Pauses {
    pub(super) fn new(limits: Limits) -> Self {
        Self { rate: limits.rate, leave: BURST, since: Instant::now() }
    }

    /// Pauses for bytes that were written back.
    pub(super) fn after(&mut self, bytes: u64, stop: &AtomicBool) {
        let now = Instant::now();
        let pause = self.take(bytes, now - self.since);
        self.since = now;
        sleep(pause, stop);
    }

    /// Charges `bytes` that were written back, `elapsed` after the charge before. Returns the pause.
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 bytes")]
    fn take(&mut self, bytes: u64, elapsed: Duration) -> Duration {
        let earned = elapsed.as_secs_f64() * self.rate;
        self.leave = (self.leave + earned).min(BURST) - bytes as f64;
        Duration::try_from_secs_f64(-self.leave / self.rate).unwrap_or_default()
    }
}

/// Sleeps, but returns soon after `stop` is set.
pub(super) fn sleep(time: Duration, stop: &AtomicBool) {
    let began = Instant::now();
    sleep_in_naps(time, stop, || began.elapsed(), std::thread::sleep);
}

/// Takes naps until `time` has elapsed. Each nap may end late, so the rest is computed anew.
fn sleep_in_naps(
    time: Duration,
    stop: &AtomicBool,
    elapsed: impl Fn() -> Duration,
    nap: impl Fn(Duration),
) {
    while !stop.load(Ordering::Relaxed) {
        let rest = time.saturating_sub(elapsed());
        if rest.is_zero() {
            return;
        }
        nap(rest.min(NAP));
    }
}

/// A moment of a clock that also goes on while the machine is suspended (`CLOCK_BOOTTIME`): a stored byte can be lost for
/// as long. Durations of work and pauses are those of [`Instant`], which stands still meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BootTime(Duration);

impl BootTime {
    pub(super) fn now() -> Self {
        Self(Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default())
    }

    /// Returns the time that has passed since an earlier moment.
    pub(super) const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(super) fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    #[cfg(all(
        test,
        any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64",
            all(target_arch = "powerpc64", target_endian = "little"),
        ),
        not(miri)
    ))]
    pub(super) fn before(time: Duration) -> Self {
        Self(Self::now().0.checked_sub(time).unwrap_or_default())
    }
}

/// The time of a pass, and what this thread has of the CPU's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: BootTime,
    started: Instant,
    cpu: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { began: BootTime::now(), started: Instant::now(), cpu: of_this_thread() }
    }

    pub(super) const fn began(&self) -> BootTime {
        self.began
    }

    pub(super) fn elapsed(&self) -> (Duration, Duration) {
        (self.started.elapsed(), of_this_thread().saturating_sub(self.cpu))
    }
}

fn of_this_thread() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{AtomicBool, Limits, MIB, NAP, Ordering, Pauses, sleep_in_naps};
    use core::cell::Cell;
    use core::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_pass_ends_within_the_time_from_the_beginning_of_the_last() {
        let next = |took, cpu| Limits::NONE.next(10 * MS, took, cpu);
        // 2 ms, and a quarter as a reserve: 7.5 ms after the beginning of the last.
        assert_eq!(next(2 * MS, 2 * MS), MS * 15 / 2);
        // A pass that takes longer than there is time follows at once.
        assert_eq!(next(9 * MS, 9 * MS), 9 * MS);
        assert_eq!(next(20 * MS, MS), 20 * MS);
    }

    #[test]
    fn the_share_of_the_cpu_goes_before_the_bound() {
        let limits = Limits::NONE.cpu_share(0.05);
        assert_eq!(limits.next(10 * MS, 2 * MS, 2 * MS), 40 * MS);
        // 0.15 ms of 10 ms are 1.5 %.
        let little = MS * 15 / 100;
        assert_eq!(
            limits.next(10 * MS, little, little),
            Duration::from_nanos(10_000_000 - 187_500)
        );
        // No share at all is a very small one.
        assert_eq!(Limits::NONE.cpu_share(0.0).next(MS, MS, MS), 10_000 * MS);
    }

    #[test]
    fn a_pass_pauses_where_it_is_faster_than_it_may_be() {
        let mib = 1 << 20;
        let mut pauses = Pauses::new(Limits::NONE.bytes_per_second(1000.0 * MIB));
        // The burst is free.
        assert_eq!(pauses.take(16 * mib, Duration::ZERO), Duration::ZERO);
        // Then each MiB takes a millisecond, less what has passed.
        assert_eq!(pauses.take(mib, Duration::ZERO), MS);
        assert_eq!(pauses.take(mib, MS), MS);
        assert_eq!(pauses.take(mib, 2 * MS), Duration::ZERO);
        // Unused leave is not kept, except for a burst.
        assert_eq!(pauses.take(16 * mib, Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(pauses.take(mib, Duration::ZERO), MS);
    }

    /// The system ends each nap late.
    #[test]
    fn a_sleep_is_as_late_as_its_last_nap() {
        let (clock, stop) = (Cell::new(Duration::ZERO), AtomicBool::new(false));
        let nap = |time| {
            assert!((MS..=NAP).contains(&time), "{time:?}");
            clock.set(clock.get() + time + MS / 2);
        };
        sleep_in_naps(1000 * MS, &stop, || clock.get(), nap);
        assert_eq!(clock.get(), 1000 * MS + MS / 2);
    }

    #[test]
    fn a_sleep_ends_with_the_nap_in_which_it_is_stopped() {
        let (naps, stop) = (Cell::new(0), AtomicBool::new(false));
        let nap = |_| {
            naps.set(naps.get() + 1);
            stop.store(naps.get() == 3, Ordering::Relaxed);
        };
        sleep_in_naps(Duration::MAX, &stop, || NAP * naps.get(), nap);
        assert_eq!(naps.get(), 3);
    }
}
