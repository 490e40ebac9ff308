//! The steps for ranges of physical memory, and an engine as platforms have them.
//!
//! The boards map memory one to one, so an address is the physical one. On a hosted system it stands for one.

use core::cell::Cell;
use core::ops::Range;
use core::ptr;

use cachemaint::Cache;
use cachemaint::report::CpuReport;
use cachemaint::whole_cache::{
    NotByProviders, NotByWholeCache, NotInvalidated, Participant, PhysicalRange, Provider,
    ProviderFailed, Way,
};

use crate::{Buffer, Outcome};

/// An engine that has a range of memory. It notes the part that it is given, and works on it by line when it is waited
/// for: a part that is not waited for is not done.
#[derive(Debug)]
pub struct Engine {
    cache: Cache,
    covers: (u64, u64),
    is_broken: bool,
    started: Cell<Option<(u64, u64)>>,
    ended: Cell<Option<(u64, u64)>>,
}

impl Engine {
    /// Returns an idle engine for a range of memory.
    #[must_use]
    pub const fn of(covers: &Range<u64>, cache: Cache) -> Self {
        let (started, ended) = (Cell::new(None), Cell::new(None));
        Self { cache, covers: (covers.start, covers.end), is_broken: false, started, ended }
    }

    /// Asserts that it has been given exactly this part, or nothing, and has done it.
    fn assert_has_done(&self, part: Option<Range<u64>>) {
        let part = part.map(|part| (part.start, part.end));
        assert_eq!(self.started.get(), part, "the engine of {:x?} was started", self.covers);
        assert_eq!(self.ended.get(), part, "the engine of {:x?} was waited for", self.covers);
    }
}

// SAFETY: (1) the range is the creator's and does not change; (2), (3) the instructions work on whole lines, and the
// boards have no cache behind them. (4) They come with their fences; (5) `wait` fails if it has done nothing; (6) it
// does nothing later.
unsafe impl Provider for Engine {
    fn covers(&self) -> Range<u64> {
        self.covers.0..self.covers.1
    }

    fn start(&self, part: Range<u64>) -> Result<(), ProviderFailed> {
        self.started.set(Some((part.start, part.end)));
        Ok(())
    }

    fn wait(&self) -> Result<(), ProviderFailed> {
        let started = self.started.get().filter(|_| !self.is_broken);
        let (start, end) = started.ok_or(ProviderFailed::TimedOut)?;
        let [start, end] = [start, end].map(pointer);
        let len = end.addr() - start.addr();
        // SAFETY: (1) the range is part of a buffer of the caller, whose addresses it has exposed.
        unsafe { self.cache.writeback_invalidate_range(start, len) };
        self.ended.set(self.started.get());
        Ok(())
    }
}

fn pointer(address: u64) -> *const u8 {
    let address = usize::try_from(address);
    ptr::with_exposed_provenance(address.unwrap_or(usize::MAX))
}

/// Returns the physical addresses of a slice.
#[must_use]
pub fn physical<T>(slice: &[T]) -> Range<u64> {
    let Range { start, end } = slice.as_ptr_range();
    start.expose_provenance() as u64..end.addr() as u64
}

/// A range whose ends and middle are within lines.
struct Test {
    buffer: Buffer,
    cache: Cache,
}

impl Test {
    fn of(cache: Cache) -> Self {
        Self { buffer: Buffer::filled(1), cache }
    }

    fn bytes(&mut self) -> &[u8] {
        let bytes = self.buffer.bytes();
        &bytes[7..bytes.len() - 9]
    }

    /// Returns the range and its middle.
    fn range(&mut self) -> (Range<u64>, u64) {
        let range = physical(self.bytes());
        let middle = range.start + 1500;
        (range, middle)
    }

    /// Invalidates the range by these providers or by line.
    fn mapped(&mut self, providers: &[&dyn Provider]) -> Result<Way, NotInvalidated> {
        let (range, _) = self.range();
        let (cache, start) = (self.cache, self.bytes().as_ptr());
        let range = PhysicalRange::new(range).providers(providers);
        // SAFETY: (1) memory is mapped one to one; (2) the bytes are the buffer's; (3) there is no cache behind them.
        let range = unsafe { range.mapped(cache, start) };
        range.writeback_invalidate()
    }
}

/// Engines that overlap get their parts, and one that has no byte of the range is left alone.
pub(crate) fn by_providers(cache: Cache) -> Outcome {
    let mut test = Test::of(cache);
    let (range, middle) = test.range();
    let low = Engine::of(&(0..middle + 100), cache);
    let high = Engine::of(&(middle..u64::MAX), cache);
    let outside = Engine::of(&(range.end..u64::MAX), cache);
    assert_eq!(test.mapped(&[&outside, &high, &low]), Ok(Way::Providers));
    low.assert_has_done(Some(range.start..middle + 100));
    high.assert_has_done(Some(middle..range.end));
    outside.assert_has_done(None);
    test.buffer.assert_intact("engines");
    Outcome::Passed
}

/// Lines do what the engines do not reach, and what an engine has failed to do.
pub(crate) fn by_line(cache: Cache) -> Outcome {
    let mut test = Test::of(cache);
    let (range, middle) = test.range();
    let low = Engine::of(&(0..middle), cache);
    let not_by_providers = NotByProviders::NotCovered { address: middle };
    assert_eq!(test.mapped(&[&low]), Ok(Way::Lines { not_by_providers }));
    low.assert_has_done(None);

    let mut broken = Engine::of(&(middle..range.end), cache);
    broken.is_broken = true;
    let error = ProviderFailed::TimedOut;
    let not_by_providers = NotByProviders::Failed { provider: 1, error };
    assert_eq!(test.mapped(&[&low, &broken]), Ok(Way::Lines { not_by_providers }));
    low.assert_has_done(Some(range.start..middle));
    test.buffer.assert_intact("lines");
    Outcome::Passed
}

/// A range that no way reaches is an error with the reason of each, and no CPU is called where whole caches are refused.
pub(crate) fn refused(cache: Cache) -> Outcome {
    let mut test = Test::of(cache);
    let (range, middle) = test.range();
    let high = Engine::of(&(middle..u64::MAX), cache);
    let providers: [&dyn Provider; 1] = [&high];
    let not_covered = NotByProviders::NotCovered { address: range.start };
    let no_way = |whole_cache| Err(NotInvalidated::NoWay { providers: not_covered, whole_cache });
    let range = || PhysicalRange::new(range.clone()).providers(&providers);
    assert_eq!(range().writeback_invalidate(), no_way(NotByWholeCache::NotOffered));
    if let Err(refused) = CpuReport::for_cache(cache).can_invalidate_memory() {
        let mut participants = [Participant::here()];
        let mut call = |_: &(dyn Fn() + Sync)| unreachable!("it is refused before");
        // SAFETY: (1) nothing is concluded of memory; (2), (3) the function is not called.
        let range = unsafe { range().on_all_cpus(&mut participants, &mut call) };
        let whole_cache = NotByWholeCache::Refused(refused);
        assert_eq!(range.writeback_invalidate(), no_way(whole_cache));
    }
    high.assert_has_done(None);
    Outcome::Passed
}
