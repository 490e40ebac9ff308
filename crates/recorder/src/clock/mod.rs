//! Timestamps and their conversion to wall time.

#[cfg(all(
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "linux")),
    feature = "std",
    not(any(miri, cachemaint_loom))
))]
use cachemaint::family::counter;
/// On other targets no clock has a counter: [`host::counted`] finds none.
#[cfg(all(
    not(all(
        any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "linux")),
        not(any(miri, cachemaint_loom))
    )),
    feature = "std"
))]
mod counter {
    pub(super) const fn now() -> u64 {
        0
    }
}
#[cfg(feature = "std")]
mod host;
mod pace;

pub(super) use pace::Pace;

/// The source of timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeSource {
    /// The caller: [`Clock::from_function`], [`Writer::record_at`](super::Writer::record_at).
    Caller,
    /// The system's monotonic clock, as nanoseconds since the [`Clock`] was created.
    Monotonic,
    /// The time stamp counter of x86 (RDTSC).
    TimeStampCounter,
    /// The virtual counter of arm64 (`CNTVCT_EL0`).
    VirtualCounter,
}

impl TimeSource {
    pub(super) const fn to_number(self) -> u32 {
        match self {
            Self::Caller => 0,
            Self::Monotonic => 1,
            Self::TimeStampCounter => 2,
            Self::VirtualCounter => 3,
        }
    }

    pub(super) const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Caller),
            1 => Some(Self::Monotonic),
            2 => Some(Self::TimeStampCounter),
            3 => Some(Self::VirtualCounter),
            _ => None,
        }
    }
}

/// The method of reading time.
// The tag is explicit: decoding a variant that is encoded in invalid `Instant` values takes longer.
#[repr(u8)]
#[derive(Clone, Copy, Debug)]
enum Read {
    // The first variant is compared first.
    #[cfg(feature = "std")]
    Counter,
    Function(fn() -> u64),
    #[cfg(feature = "std")]
    Monotonic(std::time::Instant),
}

/// A source of timestamps, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    read: Read,
    wall: fn() -> u64,
    source: TimeSource,
    ticks_per_second: u64,
    boot_id: [u8; 16],
}

impl Clock {
    /// Returns a clock that takes timestamps from a function of the caller. `wall` returns the wall clock in
    /// nanoseconds since 1970-01-01 UTC, or 0 while it is unknown. It is called at each opening and for each sub-buffer.
    ///
    /// # Panics
    /// If `ticks_per_second` is 0.
    #[must_use]
    #[track_caller]
    pub const fn from_function(now: fn() -> u64, ticks_per_second: u64, wall: fn() -> u64) -> Self {
        assert!(ticks_per_second > 0, "there must be at least one tick per second");
        let read = Read::Function(now);
        Self { read, wall, source: TimeSource::Caller, ticks_per_second, boot_id: [0; 16] }
    }

    /// Returns the same clock with the boot id of the system.
    #[must_use]
    pub const fn with_boot_id(self, boot_id: [u8; 16]) -> Self {
        Self { boot_id, ..self }
    }

    /// Returns a timestamp.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        match self.read {
            #[cfg(feature = "std")]
            Read::Counter => counter::now(),
            Read::Function(now) => now(),
            #[cfg(feature = "std")]
            Read::Monotonic(creation) => host::since(creation),
        }
    }

    /// Returns the source of the timestamps.
    #[must_use]
    pub const fn source(&self) -> TimeSource {
        self.source
    }

    /// Returns the ticks per second.
    #[must_use]
    pub const fn ticks_per_second(&self) -> u64 {
        self.ticks_per_second
    }

    /// Reads the wall clock.
    pub(super) fn pace(&self) -> Pace {
        let (timestamp, wall) = together(|| self.now(), self.wall);
        Pace { ticks_per_second: self.ticks_per_second, timestamp, wall }
    }

    pub(super) const fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }
}

/// The number of attempts to read two clocks at the same moment.
const ATTEMPTS: u32 = 8;

/// Returns the times of two clocks at one moment: the other clock's, and the middle of the readings of `now` around it.
///
/// A thread can be interrupted between two readings for seconds, which would make the pair wrong. The attempt that took
/// the shortest time is used.
fn together<T>(now: impl Fn() -> u64, other: impl Fn() -> T) -> (u64, T) {
    let attempt = || {
        let begin = now();
        let read = other();
        let took = now().wrapping_sub(begin);
        (took, begin.wrapping_add(took / 2), read)
    };
    let shorter =
        |best: (u64, u64, T), next: (u64, u64, T)| if next.0 < best.0 { next } else { best };
    let (_, at, read) = (1..ATTEMPTS).map(|_| attempt()).fold(attempt(), shorter);
    (at, read)
}

#[cfg(test)]
mod tests {
    use super::together;
    use core::cell::Cell;

    /// The first attempt is interrupted for 5000 ticks, and the third one is the shortest.
    #[test]
    fn a_pair_of_times_is_of_the_attempt_that_was_not_interrupted() {
        let took = [5000, 30, 20, 40, 40, 40, 40, 40];
        let (readings, reads) = (Cell::new(0), Cell::new(0));
        let now = || {
            let reading = readings.replace(readings.get() + 1);
            let attempt: usize = reading / 2;
            let end = if reading % 2 == 1 { took[attempt] } else { 0 };
            10_000 * (attempt as u64 + 1) + end
        };
        let other = || reads.replace(reads.get() + 1);
        assert_eq!(together(now, other), (30_010, 2));
    }
}
