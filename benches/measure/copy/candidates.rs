//! The methods that a policy can choose from: each of the library's stores by itself, with one rule for write-backs.
//!
//! Parts of lines at the ends always use ordinary stores and are written back.

use super::{LINE, Target};
use crate::measure::x86_64::{BLOCK_STORES, copy_blocks, has};
use crate::measure::{BlockStore, StoreKind};
use cachemaint::Cache;
use cachemaint::report::CpuReport;
use core::fmt;

/// One method: a store of whole lines, and their write-back before the last fence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    store: &'static BlockStore,
    when: When,
    cache: Cache,
}

/// When whole lines are written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Never: the fence must suffice.
    Never,
    /// After each 4 KiB, which are then in the first-level cache.
    EachChunk,
    /// At the end, all of them, after a fence.
    AfterFence,
}

const CHUNK: usize = 4 << 10;

impl Candidate {
    /// Returns the candidates on this CPU, with write-backs by `cache`.
    pub(super) fn all(cache: Cache) -> impl Iterator<Item = Self> {
        let of = move |store: &'static BlockStore| {
            let candidate = move |when| Self { store, when, cache };
            let ways: &[When] = match store.kind {
                StoreKind::Ordinary if store.unit > 8 => &[When::EachChunk],
                StoreKind::Streaming if !has_wider(store) => &[When::Never, When::AfterFence],
                StoreKind::Streaming => &[When::Never],
                _ => &[],
            };
            ways.iter().copied().map(candidate)
        };
        BLOCK_STORES.iter().filter(|store| has(store)).flat_map(of)
    }

    /// Returns true if copied bytes are durable for every location of the target.
    ///
    /// Ordinary stores are ordered before a write-back of their own line. Streaming stores are too, with a fence in
    /// between. Without it, they are durable only if the vendor promises that they leave nothing in the cache.
    pub(super) fn is_durable(&self, vendor_promises_eviction: bool) -> bool {
        self.when != When::Never || vendor_promises_eviction
    }

    /// Returns true if the library would use this store: there is no wider one of its kind.
    pub(super) fn is_widest(&self) -> bool {
        !has_wider(self.store)
    }

    /// Returns true if all lines are written back after streaming stores.
    pub(super) fn writes_back_streamed(&self) -> bool {
        self.when == When::AfterFence
    }

    /// Copies `from` to the target.
    ///
    /// # Panics
    /// If the lengths differ.
    pub(super) fn copy_to(&self, to: Target<'_>, from: &[u8]) {
        assert_eq!(to.len(), from.len(), "bytes");
        let to = to.as_mut_ptr();
        let head = to.align_offset(LINE).min(from.len());
        let (head, rest) = from.split_at(head);
        let (lines, tail) = rest.split_at(rest.len() / LINE * LINE);
        let first = to.wrapping_add(head.len());
        // SAFETY: the source is a reference; the target is as long. It consists of words that may be changed through a
        // shared reference, so it cannot be part of the source. These are its first bytes.
        unsafe { self.copy_part(to, head) };
        // SAFETY: as above; the bytes behind them, which begin at a line.
        unsafe { self.copy_lines(first, lines) };
        // SAFETY: as above; its last bytes.
        unsafe { self.copy_part(first.wrapping_add(lines.len()), tail) };
        self.cache.fence();
    }

    /// # Safety
    /// 1. `to` can be written for the bytes of `from`, and does not overlap them.
    /// 2. A fence of the handle follows.
    unsafe fn copy_part(&self, to: *mut u8, from: &[u8]) {
        // SAFETY: the caller's duty (1).
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        // SAFETY: the bytes just written can be read; (2) the caller's duty.
        unsafe { self.cache.writeback_range_unfenced(to, from.len()) };
    }

    /// # Safety
    /// As [`copy_part`](Self::copy_part), and `to` begins at a line, of which `from` has whole ones.
    unsafe fn copy_lines(&self, to: *mut u8, from: &[u8]) {
        let chunk = if self.when == When::EachChunk { CHUNK } else { from.len().max(1) };
        for (place, from) in from.chunks(chunk).enumerate() {
            let to = to.wrapping_add(place * chunk);
            // SAFETY: the caller's duty; the CPU has the store, as for every candidate.
            unsafe { copy_blocks(self.store, to, from.as_ptr(), from.len() / LINE) };
            if self.when == When::Never {
                continue;
            }
            if self.when == When::AfterFence {
                self.cache.fence();
            }
            // SAFETY: the bytes just written can be read; (2) the caller's duty.
            unsafe { self.cache.writeback_range_unfenced(to, from.len()) };
        }
    }
}

/// Returns true if the CPU has a wider store of the same kind.
fn has_wider(store: &BlockStore) -> bool {
    let is_wider = |other: &&BlockStore| other.kind == store.kind && other.unit > store.unit;
    BLOCK_STORES.iter().filter(is_wider).any(has)
}

/// Prints the short name for tables: `st` ordinary, `nt` streaming stores with their bytes; `+clwb` a
/// write-back after each 4 KiB; `|clwb/all` one of all lines after a fence.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.store.kind {
            StoreKind::Streaming => "nt",
            _ => "st",
        };
        let writeback = match self.cache.writeback_choice().instruction.name {
            "clflushopt" => "clfo",
            "clflush" => "clfl",
            name => name,
        };
        write!(f, "{kind}{}", self.store.unit)?;
        match self.when {
            When::Never => Ok(()),
            When::EachChunk => write!(f, "+{writeback}"),
            When::AfterFence => write!(f, "|{writeback}/all"),
        }
    }
}

/// Returns true if the vendor promises that a streaming store leaves no cached line behind.
///
/// Intel does (SDM vol. 1, §10.4.6.2: the data in the caches is evicted). No such promise was found for other vendors.
pub(super) fn vendor_promises_eviction() -> bool {
    CpuReport::host().streaming_stores_evict().is_some_and(|statement| statement.answer)
}

#[cfg(test)]
mod tests {
    use super::{Candidate, When};
    use crate::measure::copy::{LINE, Target};
    use crate::measure::{StoreKind, x86_64::BLOCK_STORES};
    use cachemaint::Cache;
    use core::sync::atomic::{AtomicU64, Ordering};

    /// The sizes and places are around every boundary of a loop: parts of a line, a line, a pass. No adjacent byte may
    /// change.
    #[test]
    fn every_candidate_copies_every_byte_and_no_other() {
        const WORDS: usize = 3 * 4096 / 8;
        let from: Vec<u8> = (0..=250).cycle().skip(1).take(2 * 4096 + 200).collect();
        let sizes = [0, 1, 7, 8, 27, 63, 64, 65, 128, 191, 4095, 4096, 4097, 8192, 8192 + 199];
        for candidate in Candidate::all(Cache::host().unwrap()) {
            for (len, skip) in sizes.iter().flat_map(|len| [0, 1, 27, 63].map(|skip| (*len, skip)))
            {
                let words: Vec<AtomicU64> = (0..WORDS).map(|_| AtomicU64::new(!0)).collect();
                let first = words.as_ptr().align_offset(LINE);
                candidate.copy_to(Target::new(&words[first..], skip, len), &from[..len]);
                let found: Vec<u8> = words[first..]
                    .iter()
                    .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
                    .collect();
                let what = format!("{candidate}: {len} bytes, {skip} behind a line");
                assert_eq!(&found[skip..skip + len], &from[..len], "{what}");
                assert!(found[..skip].iter().all(|byte| *byte == !0), "{what}: before");
                assert!(found[skip + len..].iter().all(|byte| *byte == !0), "{what}: behind");
            }
        }
    }

    #[test]
    fn names_tell_all_candidates_apart_and_fit_their_column() {
        let all = Candidate::all(Cache::host().unwrap());
        let mut names: Vec<String> = all.map(|candidate| candidate.to_string()).collect();
        assert!(names.len() >= 4 && names.iter().all(|name| name.len() <= 14), "{names:?}");
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// Intel SDM vol. 1, §10.4.6.2 promises the eviction; without it a fence must come between.
    #[test]
    fn streaming_stores_are_durable_by_the_vendors_promise_or_by_a_fence_and_a_pass() {
        let cache = Cache::host().unwrap();
        for (kind, when, promised, not) in [
            (StoreKind::Ordinary, When::EachChunk, true, true),
            (StoreKind::Streaming, When::Never, true, false),
            (StoreKind::Streaming, When::AfterFence, true, true),
        ] {
            let store = BLOCK_STORES.iter().find(|store| store.kind == kind).unwrap();
            let candidate = Candidate { store, when, cache };
            let durable = [true, false].map(|promise| candidate.is_durable(promise));
            assert_eq!(durable, [promised, not], "{candidate}");
        }
    }

    #[test]
    fn every_candidate_of_ordinary_stores_writes_back() {
        for candidate in Candidate::all(Cache::host().unwrap()) {
            let is_ordinary = candidate.store.kind == StoreKind::Ordinary;
            assert!(!is_ordinary || candidate.when == When::EachChunk, "{candidate}");
        }
    }
}
