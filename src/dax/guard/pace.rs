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

/// The frequency of passes, and the share of time and bandwidth that they may take.
///
/// Each limit holds whatever the others ask for. If the share of the CPU is too small for the bound, the bound is not
/// held, and [`Statistics::longest_interval`](super::Statistics::longest_interval) shows that.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    within: Duration,
    /// Of one CPU, from 0 to 1.
    cpu: f64,
    /// Bytes a second.
    rate: f64,
}

impl Pace {
    /// Aims at a write-back of all stored bytes within this time: the next pass begins so early that it ends by then, if
    /// it takes as long as the last one. It may take a whole CPU and writes back 4 GiB a second at most.
    #[must_use]
    pub const fn within(time: Duration) -> Self {
        Self { within: time, cpu: 1.0, rate: 4096.0 * MIB }
    }

    /// Limits passes to this share of one CPU's time: 0.05 are 5 %. It is counted from one pass to the next, and
    /// includes the time to look through directories.
    #[must_use]
    pub const fn cpu_share(self, share: f64) -> Self {
        let least = 0.0001;
        Self { cpu: if share > least { share.min(1.0) } else { least }, ..self }
    }

    /// Limits the lines that are written back to this number of bytes a second, so that programs have some of the
    /// memory's bandwidth left if all lines are dirty. After 16 MiB a pass pauses if it is faster. Holes are not
    /// charged, nor are files that the operating system writes back by pages: it writes only dirty pages, as fast as
    /// the device takes them.
    #[must_use]
    pub const fn bytes_per_second(self, rate: f64) -> Self {
        Self { rate: rate.max(1.0), ..self }
    }

    /// Returns the time from the beginning of a pass to the beginning of the next one.
    pub(super) fn next(&self, took: Duration, cpu: Duration) -> Duration {
        // A quarter more, as none takes exactly as long as the one before.
        let in_time = self.within.saturating_sub(took + took / 4);
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
    pub(super) fn new(pace: Pace) -> Self {
        Self { rate: pace.rate, leave: BURST, since: Instant::now() }
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
pub(super) fn sleep(mut time: Duration, stop: &AtomicBool) {
    while !time.is_zero() && !stop.load(Ordering::Relaxed) {
        let nap = time.min(NAP);
        std::thread::sleep(nap);
        time -= nap;
    }
}

/// The time of a pass, and what this thread has of the CPU's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    cpu: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), cpu: of_this_thread() }
    }

    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn elapsed(&self) -> (Duration, Duration) {
        (self.began.elapsed(), of_this_thread().saturating_sub(self.cpu))
    }
}

fn of_this_thread() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{MIB, Pace, Pauses};
    use core::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_pass_ends_within_the_time_from_the_beginning_of_the_last() {
        let pace = Pace::within(10 * MS);
        // 2 ms, and a quarter as a reserve: 7.5 ms after the beginning of the last.
        assert_eq!(pace.next(2 * MS, 2 * MS), MS * 15 / 2);
        // A pass that takes longer than there is time follows at once.
        assert_eq!(pace.next(9 * MS, 9 * MS), 9 * MS);
        assert_eq!(pace.next(20 * MS, MS), 20 * MS);
    }

    #[test]
    fn the_share_of_the_cpu_goes_before_the_bound() {
        let pace = Pace::within(10 * MS).cpu_share(0.05);
        assert_eq!(pace.next(2 * MS, 2 * MS), 40 * MS);
        // 0.15 ms of 10 ms are 1.5 %.
        let little = MS * 15 / 100;
        assert_eq!(pace.next(little, little), Duration::from_nanos(10_000_000 - 187_500));
        // No share at all is a very small one.
        assert_eq!(Pace::within(MS).cpu_share(0.0).next(MS, MS), 10_000 * MS);
    }

    #[test]
    fn a_pass_pauses_where_it_is_faster_than_it_may_be() {
        let mib = 1 << 20;
        let mut pauses = Pauses::new(Pace::within(MS).bytes_per_second(1000.0 * MIB));
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
}
