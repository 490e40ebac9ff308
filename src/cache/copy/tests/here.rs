//! Copies on this CPU, by every store that it has.

use super::HINTS;
use crate::arch::{BLOCK, BlockStore, StoreKind, block_ops};
use crate::cache::Cache;
use crate::cache::copy::policy::Path;
use crate::cache::copy::run::{self, Part};
use crate::cache::copy::{Copier, Destination, copy_edge};
use crate::cpu::block_stores;
use crate::skip::skip;
use alloc::vec;
use alloc::vec::Vec;

/// Returns the handle of this machine, if it has one; else prints that the test was skipped.
fn cache(test: &str) -> Option<Cache> {
    Cache::host().map_err(|why| skip(test, why)).ok()
}

/// Returns all stores of this CPU, with a path that they serve.
fn stores() -> impl Iterator<Item = (Path, &'static BlockStore)> {
    let present = block_stores();
    block_ops::BLOCK_STORES.iter().filter(move |store| present.has(**store)).map(|store| {
        let path = match store.kind {
            StoreKind::Ordinary => Path::Ordinary,
            StoreKind::Hinted => Path::Hinted,
            StoreKind::Streaming => Path::StreamingThenWriteback,
            StoreKind::Direct => Path::Direct,
        };
        (path, store)
    })
}

fn copier(cache: Cache) -> Copier<fn(*mut u8, *const u8, usize)> {
    Copier { cache, writes_back: true, destination: Destination::Unknown, edge: copy_edge }
}

fn pattern(len: usize) -> Vec<u8> {
    (1..=251).cycle().take(len).collect()
}

#[test]
fn every_store_copies_exactly_its_bytes() {
    let Some(cache) = cache("every_store_copies_exactly_its_bytes") else { return };
    // Miri interprets, some hundred times slower.
    let most = if cfg!(miri) { 130 } else { 700 };
    let source = pattern(most + 16);
    for (path, store) in stores() {
        for len in (0..most).step_by(13).chain([most]) {
            for (to_at, from_at) in [(64, 0), (65, 3), (72, 8), (127, 1), (100, 15)] {
                let mut memory = vec![0_u8; most + 256];
                let base = memory.as_mut_ptr();
                let to = base.wrapping_add(base.align_offset(BLOCK) + to_at);
                let part = Part { to, from: source[from_at..].as_ptr(), len, path, store };
                // SAFETY: both ranges are those of vectors, and no other thread accesses them.
                unsafe { run::copy(&mut copier(cache), core::iter::once(part)) };
                let at = to.addr() - base.addr();
                assert_eq!(memory[at..at + len], source[from_at..from_at + len], "{}", store.name);
                let outside = memory[..at].iter().chain(&memory[at + len..]);
                assert!(outside.copied().all(|byte| byte == 0), "{} {len} at {to_at}", store.name);
            }
        }
    }
}

#[test]
fn slices_are_copied_filled_and_moved_with_every_hint() {
    let Some(cache) = cache("slices_are_copied_filled_and_moved_with_every_hint") else {
        return;
    };
    let len = if cfg!(miri) { 300 } else { 20_000 };
    let source = pattern(len);
    for hint in HINTS {
        let mut moved = source.clone();
        let mut expected = source.clone();
        for (from, to) in [(0..len - 1, 1), (1..len, 0), (5..150, 140), (10..10, 0)] {
            cache.copy_within_writeback(&mut moved, from.clone(), to, hint);
            expected.copy_within(from, to);
            assert!(moved == expected, "{hint:?}");
        }
        let mut memory = vec![9_u8; len + 2];
        cache.copy_writeback(&mut memory[1..=len], &source, hint);
        assert_eq!(memory[1..=len], source);
        cache.fill_writeback(&mut memory[2..len], 7, hint);
        assert!(memory[2..len].iter().all(|byte| *byte == 7), "{hint:?}");
        assert_eq!(
            [memory[0], memory[1], memory[len], memory[len + 1]],
            [9, source[0], source[len - 1], 9]
        );
    }
}

#[test]
#[should_panic(expected = "the lengths of the two slices differ")]
fn slices_of_different_lengths_are_refused() {
    match cache("slices_of_different_lengths_are_refused") {
        Some(cache) => cache.copy_writeback(&mut [0; 2], &[0; 3], Destination::Unknown),
        None => panic!("the lengths of the two slices differ"),
    }
}

/// A thread that reads while all bytes of each word change together must never see a word of which only
/// some have.
#[test]
#[cfg(target_has_atomic = "64")]
#[cfg_attr(miri, ignore = "there is one store, of words, and Miri checks it elsewhere")]
fn no_store_tears_a_word() {
    use core::sync::atomic::{AtomicU64, Ordering};
    const WORDS: usize = 64;
    /// The number of words that a store to them shows.
    const ENOUGH: u64 = 100_000;
    let Some(cache) = cache("no_store_tears_a_word") else { return };
    for (path, store) in stores() {
        let words: Vec<AtomicU64> = (0..WORDS + 8).map(|_| AtomicU64::new(0)).collect();
        let base = words.as_ptr().cast::<u8>().cast_mut();
        let first = base.align_offset(BLOCK) / 8;
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while seen.load(Ordering::Relaxed) < ENOUGH {
                    for word in &words[first..first + WORDS] {
                        let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
                        let torn = bytes != [bytes[0]; 8];
                        // The writer must come to an end too.
                        seen.fetch_add(
                            if torn { ENOUGH } else { u64::from(bytes[0] != 0) },
                            Ordering::Relaxed,
                        );
                        assert!(!torn, "{bytes:x?} by {}", store.name);
                    }
                }
            });
            for byte in (1..=255).cycle() {
                if seen.load(Ordering::Relaxed) >= ENOUGH {
                    break;
                }
                let source = [byte; WORDS * 8];
                let to = base.wrapping_add(first * 8);
                let part = Part { to, from: source.as_ptr(), len: source.len(), path, store };
                // SAFETY: the range is one of atomic words, which the other thread loads as a whole.
                unsafe { run::copy(&mut copier(cache), core::iter::once(part)) };
            }
        });
    }
}
