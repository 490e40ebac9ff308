//! What lines cost and what the whole cache costs, measured here; and where one overtakes the other.

use super::{NotOnAllCpus, WholeCache};
use crate::Cache;
use core::num::NonZeroUsize;

/// What operations on lines cost, in ticks of the caller's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCost {
    /// The unit of one instruction, in bytes.
    pub line_size: usize,
    /// How many lines were timed.
    pub lines: u64,
    /// How long they took together.
    pub ticks: u64,
}

impl LineCost {
    /// Times the invalidation of `memory`, whose lines are in no cache then: as nearly all lines of a
    /// range that is much larger than the caches.
    ///
    /// The clock must not go backwards; any unit will do that [`WholeCost`] is measured in too. Take
    /// enough memory for many ticks. Lines that are cached or dirty take longer; there are at most as many
    /// as the caches hold.
    ///
    /// # Cost
    /// Two instructions a line.
    pub fn measure(cache: Cache, memory: &mut [u8], mut clock: impl FnMut() -> u64) -> Self {
        cache.writeback_invalidate(memory);
        let start = clock();
        cache.writeback_invalidate(memory);
        let ticks = clock().saturating_sub(start);
        let (line_size, first) = (cache.line_size(), memory.as_ptr().addr());
        let lines = match memory.len() {
            0 => 0,
            len => (first + (len - 1)) / line_size - first / line_size + 1,
        };
        Self { line_size, lines: lines as u64, ticks }
    }
}

/// What an operation on the caches of all CPUs costs, in ticks of the caller's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeCost {
    /// The operation, until it has returned.
    pub operation: u64,
    /// How much longer work takes after it, since what was dropped must be fetched again.
    pub refill: u64,
}

impl WholeCost {
    /// Times [`WholeCache::writeback_invalidate`], and `work` before and after it.
    ///
    /// `work` stands for what the machine does besides, by touching as much memory as that keeps in the
    /// caches; with other CPUs at work, by having them do so. It runs three times.
    ///
    /// # Errors
    /// As [`WholeCache::writeback_invalidate`].
    ///
    /// # Safety
    /// As for [`WholeCache::writeback_invalidate`].
    pub unsafe fn measure(
        caches: WholeCache,
        cpus: NonZeroUsize,
        on_all_cpus: impl FnOnce(&(dyn Fn() + Sync)),
        clock: impl FnMut() -> u64,
        work: impl FnMut(),
    ) -> Result<Self, NotOnAllCpus> {
        // SAFETY: (1) to (3) are the caller's duties.
        Self::of(|| unsafe { caches.writeback_invalidate(cpus, on_all_cpus) }, clock, work)
    }

    fn of<E>(
        operation: impl FnOnce() -> Result<(), E>,
        mut clock: impl FnMut() -> u64,
        mut work: impl FnMut(),
    ) -> Result<Self, E> {
        work();
        let mut last = clock();
        let mut lap = || {
            let now = clock();
            now.saturating_sub(core::mem::replace(&mut last, now))
        };
        work();
        let warm = lap();
        operation()?;
        let operation = lap();
        work();
        Ok(Self { operation, refill: lap().saturating_sub(warm) })
    }
}

/// How many bytes take as long line by line as everything at once: above, the whole cache is cheaper.
///
/// ```no_run
/// use cachemaint::whole_cache::{LineCost, WholeCache, WholeCost, break_even_bytes};
/// # fn ticks() -> u64 { 0 }
/// # fn usual_work() {}
/// # fn on_each_cpu(_: &(dyn Fn() + Sync)) {}
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// # let (cpus, mut scratch) = (core::num::NonZeroUsize::MIN, [0_u8; 1 << 16]);
/// # // SAFETY: this is never run.
/// let cache = unsafe { cachemaint::Cache::privileged() }?;
/// let lines = LineCost::measure(cache, &mut scratch, ticks);
/// // SAFETY: (1) nothing is concluded of memory; (2), (3) as for the operation itself.
/// let whole = unsafe {
///     WholeCost::measure(WholeCache::ask()?, cpus, on_each_cpu, ticks, usual_work)?
/// };
/// let by_lines_up_to = break_even_bytes(lines, whole);
/// # Ok(())
/// # }
/// ```
///
/// `None` if the lines took no tick, or none was timed: measure more memory, or with a finer clock.
/// `u64::MAX` stands for all that is more.
#[must_use]
pub fn break_even_bytes(lines: LineCost, whole: WholeCost) -> Option<u64> {
    if lines.ticks == 0 || lines.lines == 0 {
        return None;
    }
    let whole = u128::from(whole.operation) + u128::from(whole.refill);
    let even_lines =
        whole.saturating_mul(u128::from(lines.lines)).div_ceil(u128::from(lines.ticks));
    let bytes = even_lines.saturating_mul(lines.line_size as u128);
    Some(u64::try_from(bytes).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{LineCost, WholeCost, break_even_bytes};
    use crate::Cache;
    use crate::skip::skip;
    use core::cell::Cell;

    const fn lines(lines: u64, ticks: u64) -> LineCost {
        LineCost { line_size: 64, lines, ticks }
    }

    const fn whole(operation: u64, refill: u64) -> WholeCost {
        WholeCost { operation, refill }
    }

    #[test]
    fn the_whole_cache_is_worth_as_many_lines_as_fit_in_its_time() {
        // 1000 ticks for 1000 lines: 5000 ticks are 5000 lines.
        assert_eq!(break_even_bytes(lines(1000, 1000), whole(5000, 0)), Some(5000 * 64));
        // What must be fetched again counts.
        assert_eq!(break_even_bytes(lines(1000, 1000), whole(2000, 3000)), Some(5000 * 64));
        // Half a tick a line.
        assert_eq!(break_even_bytes(lines(2000, 1000), whole(5000, 0)), Some(10_000 * 64));
        // 3 ticks a line: 10 ticks are more than 3 lines, so it is the fourth.
        assert_eq!(break_even_bytes(lines(1, 3), whole(10, 0)), Some(4 * 64));
        assert_eq!(break_even_bytes(lines(1, 3), whole(0, 0)), Some(0));
    }

    #[test]
    fn a_clock_that_saw_nothing_decides_nothing() {
        assert_eq!(break_even_bytes(lines(1000, 0), whole(5000, 0)), None);
        assert_eq!(break_even_bytes(lines(0, 1000), whole(5000, 0)), None);
    }

    #[test]
    fn no_numbers_overflow() {
        let most = whole(u64::MAX, u64::MAX);
        assert_eq!(break_even_bytes(lines(u64::MAX, 1), most), Some(u64::MAX));
        assert_eq!(break_even_bytes(lines(1, u64::MAX), most), Some(2 * 64));
    }

    /// A clock by which each step of a known course takes its time.
    #[test]
    fn the_operation_and_what_it_costs_after_are_told_apart() {
        let (time, is_warm) = (Cell::new(100), Cell::new(false));
        let pass = |ticks| time.set(time.get() + ticks);
        let work = || pass(if is_warm.replace(true) { 10 } else { 40 });
        let operation = || {
            is_warm.set(false);
            pass(700);
            Ok::<(), ()>(())
        };
        let cost = WholeCost::of(operation, || time.get(), work).unwrap();
        // 40 - 10 more after it than before.
        assert_eq!(cost, whole(700, 30));
        assert_eq!(WholeCost::of(|| Err("left out"), || 0, || ()), Err("left out"));
    }

    #[test]
    fn the_second_of_two_passes_over_the_lines_is_timed() {
        let Ok(cache) = Cache::host() else {
            return skip("the_second_of_two_passes_over_the_lines_is_timed", "no cache operation");
        };
        let line = cache.line_size();
        let mut memory = std::vec![0_u8; 8 * line];
        let start = memory.as_ptr().align_offset(line);
        let ticks = Cell::new(0);
        let clock = || ticks.replace(ticks.get() + 25);
        // From the last byte of a line to the first byte of another.
        let cost = LineCost::measure(cache, &mut memory[start + line - 1..][..2 * line + 2], clock);
        assert_eq!(cost, LineCost { line_size: line, lines: 4, ticks: 25 });
        assert_eq!(LineCost::measure(cache, &mut [], || 0).lines, 0);
    }
}
