//! The choice between providers, lines and the whole cache for a range of physical memory.

use core::fmt;
use core::ops::Range;

use super::{NotByProviders, NotOnAllCpus, Participant, Provider, WholeCache, provider};
use crate::Cache;
use crate::virtualization::Refused;

/// A range of physical memory to invalidate, with the ways to do it that the caller offers.
///
/// [`writeback_invalidate`](Self::writeback_invalidate) takes the first way that reaches the **whole** range, in this order:
///
/// | way | offered by | reaches | works in a guest |
/// |---|---|---|---|
/// | [`Way::Providers`] | [`providers`](Self::providers) | all caches | as the provider promises |
/// | [`Way::Lines`] | [`mapped`](Self::mapped) | the caches of all CPUs, by instructions of one | yes |
/// | [`Way::WholeCache`] | [`on_all_cpus`](Self::on_all_cpus) | the caches of all CPUs | no |
///
/// ```
/// use cachemaint::whole_cache::{NotByProviders, NotInvalidated, PhysicalRange, Provider, ProviderFailed, Way};
/// use core::ops::Range;
///
/// /// The platform's engine for one module of memory.
/// struct Engine {
///     memory: Range<u64>,
/// }
///
/// // SAFETY: (1) the board's manual names the memory; (2) to (6) as the functions below say.
/// unsafe impl Provider for Engine {
///     fn covers(&self) -> Range<u64> {
///         self.memory.clone()
///     }
///     fn start(&self, part: Range<u64>) -> Result<(), ProviderFailed> {
///         // Refuse if the engine is busy; a fence; write first and last unit of the part, and the command.
///         # drop(part);
///         Ok(())
///     }
///     fn wait(&self) -> Result<(), ProviderFailed> {
///         // Poll the engine, with a limit.
///         Ok(())
///     }
/// }
///
/// let (low, high) = (Engine { memory: 0..2 << 30 }, Engine { memory: 2 << 30..4 << 30 });
/// let way = PhysicalRange::new(1 << 30..3 << 30).providers(&[&low, &high]).writeback_invalidate();
/// assert_eq!(way, Ok(Way::Providers));
///
/// let refused = PhysicalRange::new(1 << 30..5 << 30).providers(&[&low, &high]).writeback_invalidate();
/// assert!(matches!(
///     refused,
///     Err(NotInvalidated::NoWay { providers: NotByProviders::NotCovered { address: 0x1_0000_0000 }, .. })
/// ));
/// ```
#[must_use = "nothing is invalidated before `writeback_invalidate`"]
pub struct PhysicalRange<'a> {
    range: Range<u64>,
    providers: &'a [&'a dyn Provider],
    mapping: Option<(Cache, *const u8)>,
    cpus: Option<Cpus<'a>>,
}

/// The CPUs of the machine, and the caller's means to run a function on each.
struct Cpus<'a> {
    participants: &'a mut [Participant],
    call: &'a mut dyn FnMut(&(dyn Fn() + Sync)),
}

/// The way in which a range was invalidated, and the reason why it was not the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// Each provider that covers a part of the range.
    Providers,
    /// An instruction for each line of the mapping.
    Lines {
        /// The reason why no providers did it.
        not_by_providers: NotByProviders,
    },
    /// WBINVD on every CPU, as each participant has proved. The range was not mapped.
    WholeCache {
        /// The reason why no providers did it.
        not_by_providers: NotByProviders,
    },
}

/// The reason why a range was not invalidated. Nothing is promised of any byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotInvalidated {
    /// The range has no byte. Nothing was done.
    Empty,
    /// No way reached the whole range, and it was not mapped.
    NoWay {
        /// The reason why no providers did it.
        providers: NotByProviders,
        /// The reason why the whole cache was not invalidated.
        whole_cache: NotByWholeCache,
    },
}

/// The reason why the whole cache was not invalidated in the place of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotByWholeCache {
    /// The caller has not offered its CPUs.
    NotOffered,
    /// The machine does not permit it: its architecture, user mode, a hypervisor, or a confidential guest.
    Refused(Refused),
    /// Not every CPU has taken part.
    NotOnAllCpus(NotOnAllCpus),
}

impl<'a> PhysicalRange<'a> {
    /// Returns the range of physical addresses, without a way. It may begin and end within a line, whose other bytes are
    /// written back and dropped too. The byte before 2^64 cannot be named.
    pub const fn new(range: Range<u64>) -> Self {
        Self { range, providers: &[], mapping: None, cpus: None }
    }

    /// Offers the engines of the platform. Each byte of the range must be covered by at least one of them. Where several
    /// cover it, all of them work on it. They replace those that were offered before.
    pub const fn providers(mut self, providers: &'a [&'a dyn Provider]) -> Self {
        self.providers = providers;
        self
    }

    /// Offers an instruction for each line, by a mapping of the range at `start` and the caches of `cache`. A range that is
    /// longer than the address space is not mapped.
    ///
    /// # Safety
    /// 1. The byte at `start` + n is the byte at the range's start + n, for each byte of the range.
    /// 2. As for [`Cache::writeback_range`] (1), until `writeback_invalidate` has returned.
    /// 3. These instructions reach every cache that may have a line of the range. The
    ///    [limits of the handle](Cache#limits) name those that they do not reach.
    pub const unsafe fn mapped(mut self, cache: Cache, start: *const u8) -> Self {
        self.mapping = Some((cache, start));
        self
    }

    /// Offers [`WholeCache::writeback_invalidate`] as the last way. It is asked for only if the others fail.
    ///
    /// ```no_run
    /// use cachemaint::whole_cache::{Participant, PhysicalRange};
    /// # fn online_cpus() -> [Participant; 2] { [0, 1].map(Participant::new) }
    /// # fn on_each_cpu_and_wait(function: &(dyn Fn() + Sync)) {}
    ///
    /// # fn main() -> Result<(), cachemaint::whole_cache::NotInvalidated> {
    /// let erased = PhysicalRange::new(0x1_0000_0000..0x2_0000_0000);
    /// let (mut cpus, mut call) = (online_cpus(), on_each_cpu_and_wait);
    /// // SAFETY: (1) the region was unmapped; (2), (3) the call runs the function on each CPU and waits.
    /// let way = unsafe { erased.on_all_cpus(&mut cpus, &mut call) }.writeback_invalidate()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Safety
    /// 1. to 3. As for [`WholeCache::writeback_invalidate`].
    pub const unsafe fn on_all_cpus(
        mut self,
        participants: &'a mut [Participant],
        call: &'a mut dyn FnMut(&(dyn Fn() + Sync)),
    ) -> Self {
        self.cpus = Some(Cpus { participants, call });
        self
    }

    /// Writes back and drops the lines of the whole range, and returns the way that was taken.
    ///
    /// If a provider fails, the next way is taken for the whole range. The engine may be still running afterwards. This is
    /// harmless: it writes back and drops lines as the CPU itself may at any time.
    ///
    /// # Ordering
    /// See [guarantees](super#guarantees), of the lines that have a byte of the range.
    ///
    /// # Cost
    /// That of the way, and of the providers that were started before one failed. See
    /// [lines or everything](super#lines-or-everything).
    ///
    /// # Errors
    /// If the range is empty, or no offered way reached all of it, with the reasons. Calling again is right.
    ///
    /// # Panics
    /// If a provider or the function of the caller does. Then nothing is promised, and engines may be still running.
    #[doc(alias("cpu_cache_invalidate_memregion", "wbinv", "flush"))]
    pub fn writeback_invalidate(self) -> Result<Way, NotInvalidated> {
        self.by(by_line, by_whole_cache)
    }

    fn by(
        self,
        by_line: impl FnOnce(Cache, *const u8, usize),
        by_whole_cache: impl FnOnce(Cpus<'_>) -> Result<(), NotByWholeCache>,
    ) -> Result<Way, NotInvalidated> {
        if self.range.is_empty() {
            return Err(NotInvalidated::Empty);
        }
        let Err(not_by_providers) = provider::run(&self.range, self.providers) else {
            return Ok(Way::Providers);
        };
        let len = usize::try_from(self.range.end - self.range.start);
        if let (Some((cache, start)), Ok(len)) = (self.mapping, len) {
            by_line(cache, start, len);
            return Ok(Way::Lines { not_by_providers });
        }
        match self.cpus.ok_or(NotByWholeCache::NotOffered).and_then(by_whole_cache) {
            Ok(()) => Ok(Way::WholeCache { not_by_providers }),
            Err(whole_cache) => {
                Err(NotInvalidated::NoWay { providers: not_by_providers, whole_cache })
            }
        }
    }
}

fn by_line(cache: Cache, start: *const u8, len: usize) {
    // SAFETY: (1) is the duty (2) of `mapped`.
    unsafe { cache.writeback_invalidate_range(start, len) };
}

fn by_whole_cache(cpus: Cpus<'_>) -> Result<(), NotByWholeCache> {
    let caches = WholeCache::ask().map_err(NotByWholeCache::Refused)?;
    // SAFETY: (1) to (3) are the duties of `on_all_cpus`.
    let done = unsafe { caches.writeback_invalidate(cpus.participants, cpus.call) };
    done.map_err(NotByWholeCache::NotOnAllCpus)
}

impl fmt::Debug for PhysicalRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PhysicalRange").field(&self.range).finish_non_exhaustive()
    }
}

impl fmt::Display for NotByWholeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("its CPUs were not offered"),
            Self::Refused(refused) => refused.fmt(f),
            Self::NotOnAllCpus(not_on_all) => not_on_all.fmt(f),
        }
    }
}

impl core::error::Error for NotByWholeCache {}

impl fmt::Display for NotInvalidated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => {
                f.write_str("the physical range has no byte; name its start and its end")
            }
            Self::NoWay { providers, whole_cache } => write!(
                f,
                "the physical range was not invalidated: {providers}; it is not mapped; no use of the whole cache: \
                 {whole_cache}"
            ),
        }
    }
}

impl core::error::Error for NotInvalidated {}

#[cfg(test)]
mod tests {
    use super::{Cpus, NotByWholeCache, NotInvalidated, PhysicalRange, Way};
    use crate::Cache;
    use crate::virtualization::RefusedBy;
    use crate::whole_cache::{
        NotByProviders, NotOnAllCpus, Participant, Provider, ProviderFailed, WholeCache,
    };
    use alloc::string::ToString;
    use core::ops::Range;

    /// An engine for a range, which works, or is too slow.
    struct Engine(Range<u64>, Result<(), ProviderFailed>);

    // SAFETY: nothing relies on caches here.
    unsafe impl Provider for Engine {
        fn covers(&self) -> Range<u64> {
            self.0.clone()
        }

        fn start(&self, _: Range<u64>) -> Result<(), ProviderFailed> {
            Ok(())
        }

        fn wait(&self) -> Result<(), ProviderFailed> {
            self.1
        }
    }

    const WORKS: Engine = Engine(0..1000, Ok(()));
    const TOO_SLOW: Engine = Engine(0..1000, Err(ProviderFailed::TimedOut));
    const TIMED_OUT: NotByProviders =
        NotByProviders::Failed { provider: 0, error: ProviderFailed::TimedOut };

    const fn not_covered(address: u64) -> NotByProviders {
        NotByProviders::NotCovered { address }
    }

    /// Stands for the whole cache where it must not be taken.
    fn not_taken(_: Cpus<'_>) -> Result<(), NotByWholeCache> {
        unreachable!("another way has done it")
    }

    /// Stands for lines where these must not be taken.
    fn no_lines(_: Cache, _: *const u8, _: usize) {
        unreachable!("another way has done it, or it is not mapped")
    }

    #[expect(clippy::reversed_empty_ranges, reason = "the caller has mixed up start and end")]
    #[test]
    fn a_range_without_a_byte_is_refused() {
        for range in [0..0, 7..7, 8..7, u64::MAX..u64::MAX] {
            let range = PhysicalRange::new(range);
            let result = range.providers(&[&WORKS]).by(no_lines, not_taken);
            assert_eq!(result, Err(NotInvalidated::Empty));
        }
    }

    #[test]
    fn providers_come_first() {
        let Ok(cache) = Cache::host() else { return };
        let bytes = [7_u8; 100];
        let mut call = |_: &(dyn Fn() + Sync)| unreachable!("no CPU is needed");
        let range = PhysicalRange::new(20..120).providers(&[&WORKS]);
        // SAFETY: nothing is executed on them.
        let range = unsafe { range.mapped(cache, bytes.as_ptr()) };
        // SAFETY: no CPU is called.
        let range = unsafe { range.on_all_cpus(&mut [], &mut call) };
        assert_eq!(range.by(no_lines, not_taken), Ok(Way::Providers));
    }

    #[test]
    fn lines_take_the_whole_range_if_a_provider_fails_or_leaves_a_part() {
        let Ok(cache) = Cache::host() else { return };
        let bytes = [7_u8; 100];
        let lines = |provider: &dyn Provider, range: Range<u64>| {
            let mut call = |_: &(dyn Fn() + Sync)| unreachable!("no CPU is needed");
            let providers = &[provider];
            let range = PhysicalRange::new(range).providers(providers);
            // SAFETY: nothing is executed on them.
            let range = unsafe { range.mapped(cache, bytes.as_ptr()) };
            // SAFETY: no CPU is called.
            let range = unsafe { range.on_all_cpus(&mut [], &mut call) };
            let mut taken = None;
            let way = range.by(|_, start, len| taken = Some((start, len)), not_taken);
            (way, taken)
        };
        let whole = Some((bytes.as_ptr(), 100));
        let way = Way::Lines { not_by_providers: TIMED_OUT };
        assert_eq!(lines(&TOO_SLOW, 20..120), (Ok(way), whole));
        let way = Way::Lines { not_by_providers: not_covered(1000) };
        assert_eq!(lines(&WORKS, 990..1090), (Ok(way), whole));
    }

    /// 5 GiB are not mapped at once with addresses of 32 bits, whatever the caller says.
    #[test]
    fn a_range_that_is_longer_than_the_address_space_is_not_mapped() {
        let Ok(cache) = Cache::host() else { return };
        let range = PhysicalRange::new(0..5 << 30);
        // SAFETY: nothing is executed on it.
        let range = unsafe { range.mapped(cache, core::ptr::null()) };
        let mut is_taken = false;
        let way = range.by(|_, _, len| is_taken = len as u64 == 5 << 30, not_taken);
        let is_possible = size_of::<usize>() == 8;
        assert_eq!((way.is_ok(), is_taken), (is_possible, is_possible));
    }

    #[test]
    fn the_whole_cache_is_the_last_way() {
        let mut participants = [Participant::new(3), Participant::new(5)];
        let mut call = |_: &(dyn Fn() + Sync)| unreachable!("nothing calls it");
        let range = PhysicalRange::new(20..120).providers(&[&TOO_SLOW]);
        // SAFETY: no CPU is called.
        let range = unsafe { range.on_all_cpus(&mut participants, &mut call) };
        let way = range.by(no_lines, |cpus| {
            assert_eq!([3, 5], [0, 1].map(|index: usize| cpus.participants[index].number));
            Ok(())
        });
        assert_eq!(way, Ok(Way::WholeCache { not_by_providers: TIMED_OUT }));
    }

    #[test]
    fn a_refusal_has_the_reason_of_every_way() {
        let refused = PhysicalRange::new(0x20..0x120).by(no_lines, not_taken);
        let whole_cache = NotByWholeCache::NotOffered;
        let expected = NotInvalidated::NoWay { providers: not_covered(0x20), whole_cache };
        assert_eq!(refused, Err(expected));
        let text = expected.to_string();
        assert!(text.contains("no provider covers address 0x20; it is not mapped;"), "{text}");
        assert!(text.ends_with("its CPUs were not offered"), "{text}");

        let whole_cache = NotByWholeCache::NotOnAllCpus(NotOnAllCpus::Missing { number: 3 });
        let mut call = |_: &(dyn Fn() + Sync)| unreachable!("nothing calls it");
        let range = PhysicalRange::new(20..120).providers(&[&TOO_SLOW]);
        // SAFETY: no CPU is called.
        let range = unsafe { range.on_all_cpus(&mut [], &mut call) };
        let refused = range.by(no_lines, |_| Err(whole_cache));
        let expected = NotInvalidated::NoWay { providers: TIMED_OUT, whole_cache };
        assert_eq!(refused, Err(expected));
        let text = expected.to_string();
        assert!(text.contains("provider 0 failed") && text.contains("CPU 3 has not"), "{text}");
    }

    /// User mode: the caller's function must not run, or it would execute WBINVD.
    #[test]
    fn the_whole_cache_is_refused_here_with_the_reason() {
        let mut participants = [Participant::here()];
        let mut call = |_: &(dyn Fn() + Sync)| unreachable!("it is refused before");
        let range = PhysicalRange::new(20..120);
        // SAFETY: no CPU is called.
        let range = unsafe { range.on_all_cpus(&mut participants, &mut call) };
        let reason = WholeCache::ask().unwrap_err();
        assert!(matches!(reason.by, RefusedBy::UserMode | RefusedBy::Architecture));
        let whole_cache = NotByWholeCache::Refused(reason);
        let expected = NotInvalidated::NoWay { providers: not_covered(20), whole_cache };
        assert_eq!(range.writeback_invalidate(), Err(expected));
        assert!(expected.to_string().ends_with(&reason.to_string()), "{expected}");
    }

    #[test]
    fn lines_keep_the_bytes_of_the_range() {
        let Ok(cache) = Cache::host() else { return };
        let bytes: [u8; 250] = core::array::from_fn(|place| place.to_le_bytes()[0]);
        for range in [0..250, 1..2, 63..65, 7..249] {
            let start = &raw const bytes[range.start];
            let physical = 0x1000 + range.start as u64..0x1000 + range.end as u64;
            // SAFETY: (1) no one relies on the place in memory; (2) the bytes are borrowed; (3) as for (1).
            let range = unsafe { PhysicalRange::new(physical.clone()).mapped(cache, start) };
            let way = Way::Lines { not_by_providers: not_covered(physical.start) };
            assert_eq!(range.writeback_invalidate(), Ok(way));
        }
        assert!((0..250_u8).eq(bytes));
    }
}
