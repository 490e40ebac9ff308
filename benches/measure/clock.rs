//! Short times in nanoseconds.
//!
//! On `x86_64` it is the time stamp counter, if [`cachemaint_recorder::Clock::host`] uses it. The counter is read
//! between two LFENCEs, so that everything before has been executed and nothing after has started (Intel SDM vol. 2B,
//! RDTSC; AMD APM vol. 3, LFENCE, which Linux makes dispatch-serializing). Its rate is that of this clock. Otherwise it
//! is the system's clock itself. Either can advance in steps of tens of nanoseconds, so a time is taken over many
//! repetitions.
//!
//! *Executed* is not *complete*. On an AMD Zen 4, `clwb` and its SFENCE have both passed the LFENCE after 86 ns, while
//! each pair takes 155 ns in a loop (measured, family 25 model 17). Write-backs are therefore timed by
//! [`Clock::time_completed`], which ends with its own full fence.
//!
//! The cost of reading the clock, with and without that fence, is measured when the clock is created, and subtracted
//! from each time.

#[cfg(target_arch = "x86_64")]
use cachemaint_recorder::{self, TimeSource};
use std::time::Instant;

/// A clock for short times. Use it on the thread that created it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: Source,
    ns_per_tick: f64,
    overhead_ns: f64,
    overhead_completed_ns: f64,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    #[cfg(target_arch = "x86_64")]
    TimeStampCounter,
    System(Instant),
}

impl Clock {
    /// Returns the best clock of this machine. Takes up to 20 ms.
    #[must_use]
    pub fn new() -> Self {
        let mut clock = best();
        let nothing = sorted(|| clock.time(|| {}));
        let nothing_completed = sorted(|| clock.time_completed(|| {}));
        clock.overhead_ns = trimmed_mean(&nothing);
        clock.overhead_completed_ns = trimmed_mean(&nothing_completed);
        clock
    }

    const fn without_overhead(source: Source, ns_per_tick: f64) -> Self {
        Self { source, ns_per_tick, overhead_ns: 0.0, overhead_completed_ns: 0.0 }
    }

    /// Returns the time until `work` has been executed, in nanoseconds, less the cost of the clock. For times near zero
    /// it can be negative.
    #[inline]
    pub fn time(&self, work: impl FnOnce()) -> f64 {
        let start = self.ticks();
        work();
        self.ns(self.ticks() - start) - self.overhead_ns
    }

    /// Returns the time until the stores and write-backs of `work` are also complete.
    #[inline]
    pub fn time_completed(&self, work: impl FnOnce()) -> f64 {
        let start = self.ticks();
        work();
        complete();
        self.ns(self.ticks() - start) - self.overhead_completed_ns
    }

    /// Returns the ticks. They are signed, so that a counter that runs backwards gives an obviously wrong time.
    #[inline]
    fn ticks(&self) -> i64 {
        match self.source {
            #[cfg(target_arch = "x86_64")]
            Source::TimeStampCounter => super::x86_64::time_stamp_counter().cast_signed(),
            Source::System(origin) => {
                i64::try_from(origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
            }
        }
    }

    #[inline]
    fn ns(&self, ticks: i64) -> f64 {
        ticks as f64 * self.ns_per_tick
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn sorted(mut time: impl FnMut() -> f64) -> Vec<f64> {
    let mut times: Vec<f64> = (0..10_000).map(|_| time()).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// Returns the mean, since the clock can advance in steps longer than the time, without the slowest tenth, which was
/// interrupted.
fn trimmed_mean(sorted: &[f64]) -> f64 {
    let kept = sorted.get(..sorted.len() * 9 / 10).unwrap_or(sorted);
    kept.iter().sum::<f64>() / kept.len() as f64
}

#[cfg(target_arch = "x86_64")]
use super::x86_64::mfence as complete;

/// Waits until earlier accesses are complete, after the fence of the write-backs themselves.
#[cfg(not(target_arch = "x86_64"))]
fn complete() {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

#[cfg(target_arch = "x86_64")]
fn best() -> Clock {
    let counter = cachemaint_recorder::Clock::host();
    match counter.source() {
        TimeSource::TimeStampCounter => {
            let ns_per_tick = 1e9 / counter.ticks_per_second() as f64;
            Clock::without_overhead(Source::TimeStampCounter, ns_per_tick)
        }
        _ => system(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Clock {
    system()
}

fn system() -> Clock {
    Clock::without_overhead(Source::System(Instant::now()), 1.0)
}

#[cfg(test)]
mod tests {
    use super::trimmed_mean;

    /// (9 × 20 + 10000) / 10 would be 1018.
    #[test]
    fn an_interrupt_does_not_change_the_mean() {
        let mut times = vec![20.0; 9];
        times.push(10_000.0);
        assert!((trimmed_mean(&times) - 20.0).abs() < 0.001);
    }
}
