//! Timestamps and their conversion to wall time.

#[cfg(all(
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "linux")),
    feature = "std",
    not(any(miri, cachemaint_loom))
))]
use cachemaint::family::counter;
/// No clock of another target has a counter: [`host::counted`] finds none.
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

/// The method of reading the time.
// The tag is explicit: a variant encoded in the values that an `Instant` cannot have takes longer to decode.
#[repr(u8)]
#[derive(Clone, Copy, Debug)]
enum Read {
    // The first is compared first.
    #[cfg(feature = "std")]
    Counter,
    Function(fn() -> u64),
    #[cfg(feature = "std")]
    Monotonic(std::time::Instant),
}

/// A source of timestamps, with the values that convert them to wall time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    read: Read,
    source: TimeSource,
    pace: Pace,
    boot_id: [u8; 16],
}

impl Clock {
    /// Returns a clock that reads timestamps from a function of the caller's. `wall` is the wall clock now, in
    /// nanoseconds since 1970-01-01 UTC, or 0 if it is not known.
    ///
    /// All openings with this clock keep this pair of times. The crate's own clocks take such a pair at each opening. So
    /// create a clock for each opening.
    ///
    /// # Panics
    /// If `ticks_per_second` is 0.
    #[must_use]
    #[track_caller]
    pub fn from_function(now: fn() -> u64, ticks_per_second: u64, wall: u64) -> Self {
        assert!(ticks_per_second > 0, "a second has no ticks");
        let pace = Pace { ticks_per_second, timestamp: now(), wall };
        Self { read: Read::Function(now), source: TimeSource::Caller, pace, boot_id: [0; 16] }
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

    /// Returns the source of its timestamps.
    #[must_use]
    pub const fn source(&self) -> TimeSource {
        self.source
    }

    /// Returns its ticks per second.
    #[must_use]
    pub const fn ticks_per_second(&self) -> u64 {
        self.pace.ticks_per_second
    }

    /// Returns the same clock: without the feature `std`, each clock is one of the caller's.
    #[cfg(not(feature = "std"))]
    pub(super) const fn at_opening(self) -> Self {
        self
    }

    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    pub(super) const fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }
}
