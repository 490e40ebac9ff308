//! Engines of the platform that maintain all caches by physical address.

use core::fmt;
use core::ops::Range;

/// An engine that writes back and drops lines in the caches of all CPUs by physical address: a device of the platform, or
/// a call of its firmware.
///
/// Linux has the same two steps in `struct cache_coherency_ops` (`wbinv` and `done`, `include/linux/cache_coherency.h`).
/// All engines that have a part of a range are started before the first is waited for.
///
/// # Safety
/// An implementation guarantees:
/// 1. *Coverage.* [`covers`](Self::covers) returns the same range as long as the value lives. The provider needs neither
///    another provider nor an instruction on a CPU for any line that has a byte of it. Engines that share a range line by
///    line are **one** provider, which starts and waits for all of them.
/// 2. *Effect.* Once [`start`](Self::start) and then [`wait`](Self::wait) have returned `Ok` on one thread, every line with
///    a byte of the part has been written back if it was dirty, and dropped. No cache above memory still has a line from
///    before `start`: no CPU's, and none that CPUs share.
/// 3. *Whole lines.* The part may begin and end within a line. The engine works on each unit that has a byte of it. It
///    computes with the last byte: the end rounded up may be 2^64, which is 0 in a `u64`.
/// 4. *Order.* Stores of the thread before `start` are complete when the engine begins, and no access of the thread after
///    `wait` is made before the engine has ended. Both hold for the compiler too.
/// 5. *Failure.* An engine that has not done all of the part is an error of `start` or of `wait` on that thread. Both return
///    after a limited time.
/// 6. *A busy engine.* If an earlier operation is still running, `start` waits for it or returns an error. The operation
///    can be another thread's, or one that failed or was not waited for because of a panic.
///
/// # Implementing it
/// **`HiSilicon` HHA** (Linux `drivers/cache/hisi_soc_hha.c`). Each instance has registers for the start, the length less 1
/// and a control word, and works in units of 128 bytes. A machine has several, between which addresses are interleaved,
/// so that all of them together are one provider. An instance without the line reports success. `start` waits for an
/// earlier operation and `wait` for this one, each for 50 ms at most.
///
/// **Firmware of arm64** (Arm DEN0028; Linux patch "arm64: mm: add SMCCC-backed cache invalidate provider", May 2026). A call
/// may answer that it is busy or called too often. The patch repeats it a limited number of times.
///
/// **A controller behind the CPUs' own caches** covers nothing by itself, since those can have dirty lines. It is a provider
/// of the memory that it has mapped with four steps: an instruction for each line, a fence, the controller, and the
/// instruction for each line and a fence again. Before the controller reaches a line, a CPU may fetch the older bytes from
/// the outer cache by speculation (Linux `arch/arm/mm/dma-mapping.c`, `__dma_page_dev_to_cpu`: the outer cache first).
pub unsafe trait Provider {
    /// Returns the range of physical addresses that the provider can maintain. It may be empty.
    fn covers(&self) -> Range<u64>;

    /// Starts to write back and drop the lines of a part of the covered range, which has at least one byte.
    ///
    /// # Errors
    /// The reason why the engine was not started.
    fn start(&self, part: Range<u64>) -> Result<(), ProviderFailed>;

    /// Waits until the operation that this thread has started last is complete.
    ///
    /// # Errors
    /// The reason why it is not complete. The engine may be still running.
    fn wait(&self) -> Result<(), ProviderFailed>;
}

/// An error of a provider's engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderFailed {
    /// Another operation is running, or the engine takes no more for now.
    Busy,
    /// The operation was not complete within the time that the provider gives it.
    TimedOut,
    /// Any other failure, by the code that the engine, its driver or its firmware has for it.
    Other(i32),
}

impl fmt::Display for ProviderFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("it is busy; try again"),
            Self::TimedOut => f.write_str("it was not complete in time; reset the engine"),
            Self::Other(code) => write!(f, "its code is {code}; see its documentation"),
        }
    }
}

impl core::error::Error for ProviderFailed {}

/// The reason why providers have not invalidated a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotByProviders {
    /// No provider covers a byte of the range. No provider was started.
    NotCovered {
        /// The first such address.
        address: u64,
    },
    /// A provider has failed. The others that were started have been waited for.
    Failed {
        /// The index of the provider in the slice.
        provider: usize,
        /// The error of the provider.
        error: ProviderFailed,
    },
}

impl fmt::Display for NotByProviders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCovered { address } => write!(f, "no provider covers address {address:#x}"),
            Self::Failed { provider, error } => write!(f, "provider {provider} failed: {error}"),
        }
    }
}

impl core::error::Error for NotByProviders {}

/// Has each provider invalidate the part of the range that it covers, all of them at once.
pub(super) fn run(range: &Range<u64>, providers: &[&dyn Provider]) -> Result<(), NotByProviders> {
    if let Some(address) = first_not_covered(range, providers) {
        return Err(NotByProviders::NotCovered { address });
    }
    let with_part = || {
        let parts = providers.iter().map(|provider| part(range, &provider.covers()));
        parts.zip(providers).enumerate().filter(|(_, (part, _))| !part.is_empty())
    };
    let failed = |provider| move |error| NotByProviders::Failed { provider, error };
    let mut outcome = Ok(());
    let mut started = 0;
    for (index, (part, provider)) in with_part() {
        outcome = provider.start(part).map_err(failed(index));
        if outcome.is_err() {
            break;
        }
        started += 1;
    }
    // An engine that runs is waited for even if another one has failed, so that the caller finds it idle.
    for (index, (_, provider)) in with_part().take(started) {
        outcome = outcome.and(provider.wait().map_err(failed(index)));
    }
    outcome
}

/// Returns the addresses that are in both ranges.
fn part(range: &Range<u64>, covered: &Range<u64>) -> Range<u64> {
    range.start.max(covered.start)..range.end.min(covered.end)
}

/// Returns the first address of the range that no provider covers.
fn first_not_covered(range: &Range<u64>, providers: &[&dyn Provider]) -> Option<u64> {
    let mut address = range.start;
    while address < range.end {
        let covered = providers.iter().map(|provider| provider.covers());
        // Each turn goes on behind the address, since a range that contains it ends behind it.
        let Some(end) =
            covered.filter(|range| range.contains(&address)).map(|range| range.end).max()
        else {
            return Some(address);
        };
        address = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{NotByProviders, Provider, ProviderFailed, run};
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::cell::{Cell, RefCell};
    use core::ops::Range;
    use core::panic::AssertUnwindSafe;
    use std::panic::catch_unwind;

    use Step::{Start, Wait};

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Step {
        Start(char, Range<u64>),
        Wait(char),
    }

    type Steps = RefCell<Vec<Step>>;

    /// An engine that writes down what it is asked for.
    struct Engine<'a> {
        name: char,
        covers: Range<u64>,
        steps: &'a Steps,
        start: Cell<Result<(), ProviderFailed>>,
        wait: Cell<Result<(), ProviderFailed>>,
    }

    impl<'a> Engine<'a> {
        fn of(name: char, covers: Range<u64>, steps: &'a Steps) -> Self {
            Self { name, covers, steps, start: Cell::new(Ok(())), wait: Cell::new(Ok(())) }
        }
    }

    // SAFETY: nothing relies on caches here.
    unsafe impl Provider for Engine<'_> {
        fn covers(&self) -> Range<u64> {
            self.covers.clone()
        }

        fn start(&self, part: Range<u64>) -> Result<(), ProviderFailed> {
            self.steps.borrow_mut().push(Start(self.name, part));
            self.start.get()
        }

        fn wait(&self) -> Result<(), ProviderFailed> {
            self.steps.borrow_mut().push(Wait(self.name));
            self.wait.get()
        }
    }

    /// Runs engines `a`, `b` and so on that cover these ranges. Returns the result and the steps.
    fn on(range: Range<u64>, covered: &[(u64, u64)]) -> (Result<(), NotByProviders>, Vec<Step>) {
        let steps = Steps::default();
        let named = ('a'..).zip(covered);
        let engines: Vec<Engine<'_>> =
            named.map(|(name, (start, end))| Engine::of(name, *start..*end, &steps)).collect();
        let mut providers: Vec<&dyn Provider> = Vec::new();
        for engine in &engines {
            providers.push(engine);
        }
        let result = run(&range, &providers);
        (result, steps.into_inner())
    }

    fn not_covered(address: u64) -> (Result<(), NotByProviders>, Vec<Step>) {
        (Err(NotByProviders::NotCovered { address }), Vec::new())
    }

    /// Linux: `cache_invalidate_memregion` starts all before it waits for the first.
    #[test]
    fn all_engines_run_at_once_on_their_parts() {
        let parts = [Start('a', 10..64), Start('b', 64..90), Wait('a'), Wait('b')];
        assert_eq!(on(10..90, &[(0, 64), (64, 128)]), (Ok(()), parts.to_vec()));
        // The order of the slice does not matter for coverage.
        let parts = [Start('a', 64..90), Start('b', 10..64), Wait('a'), Wait('b')];
        assert_eq!(on(10..90, &[(64, 128), (0, 64)]), (Ok(()), parts.to_vec()));
    }

    #[test]
    fn an_engine_without_a_byte_of_the_range_is_left_alone() {
        let parts = [Start('b', 10..20), Wait('b')];
        let covered = [(20, 30), (0, 20), (0, 10), (15, 15), (20, 10)];
        assert_eq!(on(10..20, &covered), (Ok(()), parts.to_vec()));
    }

    #[test]
    fn overlapping_engines_all_work() {
        let parts = [
            Start('a', 10..60),
            Start('b', 40..90),
            Start('c', 10..90),
            Wait('a'),
            Wait('b'),
            Wait('c'),
        ];
        assert_eq!(on(10..90, &[(0, 60), (40, 100), (0, 100)]), (Ok(()), parts.to_vec()));
    }

    #[test]
    fn nothing_is_started_if_one_byte_is_not_covered() {
        assert_eq!(on(10..90, &[]), not_covered(10));
        assert_eq!(on(10..90, &[(11, 90)]), not_covered(10));
        assert_eq!(on(10..90, &[(0, 89)]), not_covered(89));
        assert_eq!(on(10..90, &[(0, 50), (51, 90)]), not_covered(50));
        assert_eq!(on(10..90, &[(51, 90), (0, 50), (20, 30)]), not_covered(50));
    }

    #[test]
    fn the_end_of_the_address_space_is_reached_exactly() {
        let end = u64::MAX - 63..u64::MAX;
        let part = [Start('a', end.clone()), Wait('a')].to_vec();
        assert_eq!(on(end.clone(), &[(0, u64::MAX)]), (Ok(()), part));
        assert_eq!(on(end, &[(0, u64::MAX - 1)]), not_covered(u64::MAX - 1));
    }

    /// All ranges and all pairs of coverages of a few bytes, by counting bytes one by one.
    #[test]
    fn the_started_parts_are_all_of_the_range_or_nothing() {
        let ranges = || (0..4).flat_map(|start| (0..4).map(move |end| (start, end)));
        let pairs = || ranges().flat_map(|first| ranges().map(move |second| [first, second]));
        for range in ranges().map(|(start, end)| start..end).filter(|range| !range.is_empty()) {
            for covered in pairs() {
                let is_covered =
                    |byte: &u64| covered.iter().any(|(start, end)| (*start..*end).contains(byte));
                let (result, steps) = on(range.clone(), &covered);
                let is_started = |byte: u64| {
                    steps.iter().any(|step| matches!(step, Start(_, part) if part.contains(&byte)))
                };
                let first_missing = range.clone().find(|byte| !is_covered(byte));
                let expected = first_missing
                    .map_or(Ok(()), |address| Err(NotByProviders::NotCovered { address }));
                assert_eq!(result, expected, "{range:?} by {covered:?}");
                for byte in 0..4 {
                    let is_wanted = range.contains(&byte) && first_missing.is_none();
                    assert_eq!(is_started(byte), is_wanted, "{byte} of {range:?} by {covered:?}");
                }
            }
        }
    }

    #[test]
    fn engines_that_were_started_are_waited_for_if_another_is_not_started() {
        let steps = Steps::default();
        let [a, b, c] = [('a', 0..10), ('b', 10..20), ('c', 20..30)]
            .map(|(name, covers)| Engine::of(name, covers, &steps));
        b.start.set(Err(ProviderFailed::Busy));
        let failed = run(&(0..30), &[&a, &b, &c]);
        assert_eq!(
            failed,
            Err(NotByProviders::Failed { provider: 1, error: ProviderFailed::Busy })
        );
        assert_eq!(*steps.borrow(), [Start('a', 0..10), Start('b', 10..20), Wait('a')]);
    }

    #[test]
    fn every_engine_is_waited_for_and_the_first_failure_is_named() {
        let steps = Steps::default();
        let [outside, a, b] = [('-', 30..40), ('a', 0..10), ('b', 10..20)]
            .map(|(name, covers)| Engine::of(name, covers, &steps));
        a.wait.set(Err(ProviderFailed::TimedOut));
        b.wait.set(Err(ProviderFailed::Other(-7)));
        let failed = run(&(0..20), &[&outside, &a, &b]).unwrap_err();
        // The index is that of the slice, not that among those that took part.
        let error = ProviderFailed::TimedOut;
        assert_eq!(failed, NotByProviders::Failed { provider: 1, error });
        assert_eq!(steps.borrow()[2..], [Wait('a'), Wait('b')]);
        assert!(failed.to_string().contains("provider 1 failed: it was not complete"), "{failed}");
    }

    /// An engine that could not be waited for must not be waited for in its place: the failure of another counts for all.
    #[test]
    fn the_failure_of_a_start_is_not_hidden_by_a_wait() {
        let steps = Steps::default();
        let [a, b] =
            [('a', 0..10), ('b', 10..20)].map(|(name, covers)| Engine::of(name, covers, &steps));
        a.wait.set(Err(ProviderFailed::TimedOut));
        b.start.set(Err(ProviderFailed::Other(5)));
        let error = ProviderFailed::Other(5);
        assert_eq!(run(&(0..20), &[&a, &b]), Err(NotByProviders::Failed { provider: 1, error }));
    }

    /// A provider that panics must not be taken for one that has done its part.
    #[test]
    fn a_panic_goes_through() {
        struct Panics;

        // SAFETY: it never returns.
        unsafe impl Provider for Panics {
            fn covers(&self) -> Range<u64> {
                10..20
            }
            fn start(&self, _: Range<u64>) -> Result<(), ProviderFailed> {
                panic!("the engine is gone");
            }
            fn wait(&self) -> Result<(), ProviderFailed> {
                unreachable!("it was not started");
            }
        }

        let steps = Steps::default();
        let a = Engine::of('a', 0..10, &steps);
        let run = || run(&(0..20), &[&a, &Panics]);
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        assert_eq!(*steps.borrow(), [Start('a', 0..10)]);
    }
}
