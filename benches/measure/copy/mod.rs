//! The cost of a copy that is durable on return, by its size, the placement of its target, and its method.
//!
//! One sample is a round of copies from one source to several targets. The source is cached and begins at a line, and
//! all targets are first brought into the same placement. Each copy ends with its own fence, and the round with a full
//! one inside the timed part. The measurement is thus a sequence of copies, each complete before the next, as in a
//! program that persists one record after the other. The order of the targets is unpredictable for prefetchers, and
//! they are compared with the source afterwards.

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "each store by itself has no safe form")]
mod candidates;
mod memory;
mod placement;
mod recommendation;

use super::blocks::{Blocks, Loop, interleave_with_control};
use super::clock::Clock;
use cachemaint::cache::{Cache, Destination};
use cachemaint::medium;
use cachemaint::medium::Backing;
use core::cell::Cell;
use core::hint::black_box;
use core::sync::atomic::{Ordering, fence};
use memory::fill_all;

pub use memory::{Memory, Target};
pub use placement::{CacheSizes, Level, Placement};
pub use recommendation::print_recommendation;

/// The alignment of targets, and the unit of copies.
const LINE: usize = 64;
/// The distance of an unaligned target from the start of a line: not even a multiple of a word.
const MISALIGNMENT: usize = 27;

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "benches choose their own")]
pub struct Case {
    /// The size of the copy in bytes.
    pub bytes: usize,
    /// True if the target begins at a line.
    pub aligned: bool,
    /// The placement of the target's lines.
    pub placement: Placement,
}

impl Case {
    const fn skip(self) -> usize {
        if self.aligned { 0 } else { MISALIGNMENT }
    }
}

/// A method of copying as many bytes to the target, complete on return.
pub type Copy<'a> = Box<dyn Fn(Target<'_>, &[u8]) + 'a>;

/// A method of copying with its name.
#[expect(missing_debug_implementations, reason = "a closure has none")]
#[expect(clippy::exhaustive_structs, reason = "benches add their own")]
pub struct Contender<'a> {
    /// The name in tables.
    pub name: String,
    /// True if copied bytes are durable for every location of the target.
    pub durable: bool,
    /// True if the method is the library's own.
    pub own: bool,
    /// The method.
    pub copy: Copy<'a>,
}

/// Returns the library's own copies by `cache`, with each hint, and all candidates on this CPU.
#[must_use]
pub fn contenders(cache: Cache) -> Vec<Contender<'static>> {
    let hints = [
        ("cachemaint", Destination::Unknown),
        ("  hint: cached", Destination::Cached),
        ("  hint: cold", Destination::Cold),
    ];
    let mut all: Vec<_> = hints.map(|(name, hint)| library(name, hint, cache)).into();
    all.extend(candidates(cache));
    all
}

/// Returns the library's copy on plain memory.
fn library(name: &str, destination: Destination, cache: Cache) -> Contender<'static> {
    let copy = move |to: Target<'_>, from: &[u8]| {
        let memory = medium::Memory::new(to.words(), cache, Backing::Ram);
        memory.persist_copy_to(&[(to.skip() as u64, from)], destination);
    };
    Contender { name: name.to_owned(), durable: true, own: true, copy: Box::new(copy) }
}

/// Returns true if the vendor of this CPU promises that streaming stores leave nothing in the cache, or if the
/// architecture has no streaming stores.
#[must_use]
pub fn streaming_is_durable() -> bool {
    #[cfg(target_arch = "x86_64")]
    return candidates::vendor_promises_eviction();
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Returns the methods with stores that this CPU has.
#[cfg(target_arch = "x86_64")]
fn candidates(cache: Cache) -> impl Iterator<Item = Contender<'static>> {
    candidates::Candidate::all(cache).map(contender)
}

/// Returns the durable methods that a table can contain here, ordinary stores first.
#[cfg(target_arch = "x86_64")]
fn durable_methods(cache: Cache) -> Vec<Contender<'static>> {
    let promised = streaming_is_durable();
    let is_eligible = |method: &candidates::Candidate| {
        // If nothing is left in the cache, writing it back is not a separate method.
        method.is_widest()
            && method.is_durable(promised)
            && !(promised && method.writes_back_streamed())
    };
    candidates::Candidate::all(cache).filter(is_eligible).map(contender).collect()
}

/// Returns nothing: no methods are written for this architecture.
#[cfg(not(target_arch = "x86_64"))]
fn durable_methods(_cache: Cache) -> Vec<Contender<'static>> {
    Vec::new()
}

#[cfg(target_arch = "x86_64")]
fn contender(candidate: candidates::Candidate) -> Contender<'static> {
    Contender {
        name: candidate.to_string(),
        durable: candidate.is_durable(streaming_is_durable()),
        own: false,
        copy: Box::new(move |to, from| candidate.copy_to(to, from)),
    }
}

/// Returns nothing: no methods are written for this architecture.
#[cfg(not(target_arch = "x86_64"))]
fn candidates(_cache: Cache) -> impl Iterator<Item = Contender<'static>> {
    core::iter::empty()
}

/// Times copies of one case.
#[derive(Debug)]
pub struct Probe<'a> {
    memory: &'a Memory,
    cache: Cache,
    case: Case,
    targets: Vec<Target<'a>>,
    order: Vec<usize>,
    turn: Cell<u64>,
}

impl<'a> Probe<'a> {
    /// Returns the probe for this case, whose lines are first dropped by `cache`.
    #[must_use]
    pub fn new(memory: &'a Memory, cache: Cache, case: Case) -> Self {
        let targets = memory.targets(case);
        // Each target is used once, since the factor is a prime greater than their number.
        let order = (0..targets.len()).map(|place| (place * 167 + 29) % targets.len()).collect();
        Self { memory, cache, case, targets, order, turn: Cell::new(0) }
    }

    /// Returns the number of copies in one sample.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.targets.len()
    }

    /// Returns the nanoseconds for one copy.
    ///
    /// # Panics
    /// If a target does not hold the data afterwards.
    #[must_use]
    pub fn copy_ns(&self, clock: &Clock, contender: &Contender<'_>) -> f64 {
        let source = self.prepare();
        let ns = clock.time_completed(|| {
            for place in &self.order {
                (contender.copy)(self.targets[*place], source);
            }
        });
        self.targets.iter().for_each(|to| to.check(source, &contender.name));
        ns / self.copies() as f64
    }

    /// Brings the targets into their placement, with data other than the returned source, and the source and the
    /// descriptions of the targets into the cache.
    fn prepare(&self) -> &'a [u8] {
        let turn = self.turn.replace(self.turn.get() + 1);
        fill_all(&self.targets, turn);
        let source = self.memory.source(turn, self.case.bytes);
        self.memory.place(self.cache, self.case.placement, &self.targets, source);
        for place in &self.order {
            black_box(self.targets[*place]);
        }
        // No store may be in progress when the timing starts.
        fence(Ordering::SeqCst);
        source
    }
}

/// Returns the nanoseconds for one copy with each method, all interleaved: samples with the same index were taken in
/// the same round.
pub fn samples(
    clock: &Clock,
    probe: &Probe<'_>,
    contenders: &[Contender<'_>],
    blocks: Blocks,
    progress: &mut dyn FnMut(),
) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut loops: Vec<Loop<'_, f64>> = contenders
        .iter()
        .map(|contender| -> Loop<'_, f64> { Box::new(|| probe.copy_ns(clock, contender)) })
        .collect();
    interleave_with_control(blocks, &mut loops, progress)
}

#[cfg(test)]
mod tests {
    use super::{
        CacheSizes, Case, Contender, MISALIGNMENT, Memory, Placement, Probe, Target, contenders,
    };
    use crate::measure::clock::Clock;
    use cachemaint::Cache;
    use core::sync::atomic::Ordering;

    /// The sizes are small, so that the test walks little memory.
    const SIZES: CacheSizes = CacheSizes { l1: 32 << 10, l2: 128 << 10, l3: 1 << 20 };

    fn cases() -> impl Iterator<Item = Case> {
        let sizes = [1, 8, 27, 64, 192, 442, 4096, 10_000, 20_000];
        let aligned = [true, false].into_iter();
        sizes.into_iter().flat_map(move |bytes| {
            aligned.clone().flat_map(move |aligned| {
                Placement::ALL.map(|placement| Case { bytes, aligned, placement })
            })
        })
    }

    #[test]
    fn every_contender_copies_in_every_case() {
        let (clock, memory) = (Clock::new(), Memory::new(20_000, SIZES));
        let cache = Cache::host().unwrap();
        let contenders = contenders(cache);
        for case in cases() {
            let probe = Probe::new(&memory, cache, case);
            for contender in &contenders {
                // Panics if a target differs from the source.
                assert!(probe.copy_ns(&clock, contender).is_finite(), "{}", contender.name);
            }
        }
    }

    /// A target that is copied to twice would be in the first-level cache the second time.
    #[test]
    fn each_target_is_used_once_and_shares_no_line_with_another() {
        let (memory, cache) = (Memory::new(20_000, SIZES), Cache::host().unwrap());
        for case in cases() {
            let probe = Probe::new(&memory, cache, case);
            let mut order = probe.order.clone();
            order.sort_unstable();
            assert_eq!(order, (0..probe.copies()).collect::<Vec<_>>(), "{case:?}");
            let lines = probe.targets.iter().map(|to| to.words().as_ptr_range());
            let lines: Vec<_> = lines.map(|range| range.start.addr()..range.end.addr()).collect();
            assert!(lines.iter().all(|range| range.start % 64 == 0 && range.end % 64 == 0));
            assert!(lines.windows(2).all(|pair| pair[0].end <= pair[1].start), "{case:?}");
            let skip = if case.aligned { 0 } else { MISALIGNMENT };
            assert!(probe.targets.iter().all(|to| to.skip() == skip && to.len() == case.bytes));
        }
    }

    fn storing_only(part: impl Fn(usize) -> bool + 'static) -> Contender<'static> {
        let copy = move |to: Target<'_>, from: &[u8]| {
            for (place, (word, from)) in to.words().iter().zip(from.chunks(8)).enumerate() {
                let Ok(from) = from.try_into() else { continue };
                if part(place) {
                    word.store(u64::from_ne_bytes(from), Ordering::Relaxed);
                }
            }
        };
        Contender {
            name: "incomplete".to_owned(),
            durable: false,
            own: false,
            copy: Box::new(copy),
        }
    }

    #[test]
    #[should_panic(expected = "incomplete: ")]
    fn a_copy_that_leaves_a_word_out_is_noticed() {
        let (memory, cache) = (Memory::new(4096, SIZES), Cache::host().unwrap());
        let case = Case { bytes: 4096, aligned: true, placement: Placement::NOWHERE };
        let probe = Probe::new(&memory, cache, case);
        let copy = |contender| assert!(probe.copy_ns(&Clock::new(), &contender).is_finite());
        copy(storing_only(|_| true));
        copy(storing_only(|place| place != 511));
    }
}
