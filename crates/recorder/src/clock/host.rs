//! This machine's clock.

#[cfg(all(target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
use super::together;
use super::{Clock, Read, TimeSource};
use cachemaint::family::{boot, clock};
#[cfg(all(target_arch = "x86_64", target_os = "linux", not(any(miri, cachemaint_loom))))]
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

impl Clock {
    /// Returns this machine's clock: the CPU's counter if its rate does not depend on the state of the CPU, otherwise
    /// the system's monotonic clock.
    ///
    /// | | the counter is used if | its frequency comes from |
    /// |---|---|---|
    /// | x86-64 | CPUID reports it as invariant and, on Linux, the kernel lists it among its clocks | CPUID leaf 15H, else the hypervisor's leaf 40000010H, else measured against the monotonic clock |
    /// | arm64, Linux | always | `CNTFRQ_EL0` |
    ///
    /// Linux lists it in `/sys/devices/system/clocksource/clocksource0/available_clocksource`, unless its values differ
    /// between CPUs. A clock goes on using its counter even if Linux drops it from the list later.
    ///
    /// # Limits
    /// A suspend can restart the time stamp counter. The times of later events are then wrong until the next sub-buffer
    /// begins, as is the order of events across shards. Use [`monotonic`](Self::monotonic) for a recording that stays
    /// open during a suspend. A frequency, especially a measured one, is not exact: times drift from the wall clock
    /// within a sub-buffer.
    ///
    /// # Cost
    /// A measurement takes 20 ms. A timestamp costs one instruction, or a call of the system's clock.
    #[must_use]
    pub fn host() -> Self {
        counted().map_or_else(Self::monotonic, |(source, ticks_per_second)| {
            Self::of(Read::Counter, source, ticks_per_second)
        })
    }

    /// Returns the system's monotonic clock, counting nanoseconds since this call.
    ///
    /// `wasm32-unknown-unknown` has no clock in the standard library: every time is 0, and the source is
    /// [`TimeSource::Caller`]. Use [`from_function`](Self::from_function) there.
    #[must_use]
    pub fn monotonic() -> Self {
        let of =
            |creation| Self::of(Read::Monotonic(creation), TimeSource::Monotonic, 1_000_000_000);
        clock::now().map_or_else(|| Self::from_function(|| 0, 1, || 0), of)
    }

    fn of(read: Read, source: TimeSource, ticks_per_second: u64) -> Self {
        Self { read, wall, source, ticks_per_second, boot_id: boot::id() }
    }
}

/// Returns the nanoseconds since the clock was created.
#[inline]
pub(super) fn since(creation: Instant) -> u64 {
    let passed = creation.elapsed();
    passed.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(passed.subsec_nanos()))
}

/// Returns the nanoseconds since 1970-01-01 UTC, or 0 before that and after 2554.
fn wall() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_nanos()).unwrap_or(0)
}

/// Returns the kind of the counter and its ticks per second, or `None` if it does not count time.
#[cfg(all(target_arch = "aarch64", target_os = "linux", not(any(miri, cachemaint_loom))))]
fn counted() -> Option<(TimeSource, u64)> {
    let frequency = cachemaint::family::counter::frequency();
    (frequency > 0).then_some((TimeSource::VirtualCounter, frequency))
}

/// Returns `None`: no counter is used.
#[cfg(not(all(
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "linux")),
    not(any(miri, cachemaint_loom))
)))]
const fn counted() -> Option<(TimeSource, u64)> {
    None
}

/// Returns the kind of the counter and its ticks per second, or `None` if it does not count time.
#[cfg(all(target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
fn counted() -> Option<(TimeSource, u64)> {
    let cpuid = raw_cpuid::CpuId::new();
    if !cpuid.get_advanced_power_mgmt_info()?.has_invariant_tsc() {
        return None;
    }
    #[cfg(target_os = "linux")]
    if !lists_counter(Path::new("/")) {
        return None;
    }
    let stated = cpuid.get_tsc_info().and_then(|info| info.tsc_frequency());
    let told = || {
        let kilohertz = cpuid.get_hypervisor_info().and_then(|info| info.tsc_frequency());
        kilohertz.map(|kilohertz| u64::from(kilohertz) * 1000)
    };
    let frequency = stated.or_else(told).filter(|frequency| *frequency > 0);
    frequency.or_else(measured).map(|frequency| (TimeSource::TimeStampCounter, frequency))
}

/// Measures the counter's ticks per second against the monotonic clock. Returns `None` if the counter stands still.
#[cfg(all(target_arch = "x86_64", not(any(miri, cachemaint_loom))))]
fn measured() -> Option<u64> {
    let origin = Instant::now();
    let pair = || together(cachemaint::family::counter::now, || origin.elapsed());
    let (first, begin) = pair();
    std::thread::sleep(core::time::Duration::from_millis(20));
    let (last, end) = pair();
    let ticks = u128::from(last.checked_sub(first)?) * 1_000_000_000;
    let passed = end.checked_sub(begin)?.as_nanos();
    u64::try_from(ticks.checked_div(passed)?).ok().filter(|frequency| *frequency > 0)
}

/// Returns true if Linux offers the time stamp counter as a clock. It hides a counter whose values differ between CPUs
/// (`arch/x86/kernel/tsc.c`, `mark_tsc_unstable`; `kernel/time/clocksource.c`, `available_clocksource_show`).
#[cfg(all(target_arch = "x86_64", target_os = "linux", not(any(miri, cachemaint_loom))))]
fn lists_counter(root: &Path) -> bool {
    let list = "sys/devices/system/clocksource/clocksource0/available_clocksource";
    let listed = std::fs::read_to_string(root.join(list)).unwrap_or_default();
    listed.split_ascii_whitespace().any(|name| name == "tsc")
}

#[cfg(test)]
mod tests {
    /// If the kernel does not answer, it is unknown whether the counters of the CPUs agree.
    #[cfg(all(target_arch = "x86_64", target_os = "linux", not(any(miri, cachemaint_loom))))]
    #[test]
    fn a_counter_that_the_kernel_does_not_list_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        assert!(!super::lists_counter(root.path()));
        let directory = root.path().join("sys/devices/system/clocksource/clocksource0");
        std::fs::create_dir_all(&directory).unwrap();
        let lists = |listed| {
            std::fs::write(directory.join("available_clocksource"), listed).unwrap();
            super::lists_counter(root.path())
        };
        assert!(lists("tsc kvm-clock \n"));
        assert!(lists("kvm-clock tsc hpet acpi_pm \n"));
        assert!(!lists("hpet acpi_pm \n"));
        assert!(!lists("tsc-early hyperv_clocksource_tsc_page \n"));
    }
}
