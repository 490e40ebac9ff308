//! Copies on this CPU, by every store that it has.

use super::HINTS;
use crate::arch::{BLOCK, BlockStore, StoreKind, block_ops};
use crate::cache::Cache;
use crate::cache::copy::executor::{self, Part};
use crate::cache::copy::table::Method;
use crate::cache::copy::{Copier, Destination};
use crate::cache::tests::host_or_refused;
use crate::cpu::block_stores;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Returns all stores of this CPU, with a method that they serve.
fn stores() -> impl Iterator<Item = (Method, &'static BlockStore)> {
    let present = block_stores();
    block_ops::BLOCK_STORES.iter().filter(move |store| present.has(**store)).map(|store| {
        let method = match store.kind {
            StoreKind::Ordinary => Method::Ordinary,
            StoreKind::Streaming => Method::StreamingThenWriteback,
        };
        (method, store)
    })
}

fn copier(cache: Cache) -> Copier {
    cache.copier(None, true)
}

fn pattern(len: usize) -> Vec<u8> {
    (1..=251).cycle().take(len).collect()
}

#[test]
fn every_store_copies_exactly_its_bytes() {
    let Some(cache) = host_or_refused() else { return };
    // Miri interprets, some hundred times slower.
    let most = if cfg!(miri) { 130 } else { 700 };
    let source = pattern(most + 16);
    for (method, store) in stores() {
        for len in (0..most).step_by(13).chain([most]) {
            for (to_at, from_at) in [(64, 0), (65, 3), (72, 8), (127, 1), (100, 15)] {
                let mut memory = vec![0_u8; most + 256];
                let base = memory.as_mut_ptr();
                let to = base.wrapping_add(base.align_offset(BLOCK) + to_at);
                let part = Part { to, from: source[from_at..].as_ptr(), len, method, store };
                // SAFETY: both ranges are those of vectors, and no other thread accesses them.
                unsafe { executor::copy(&mut copier(cache), core::iter::once(part)) };
                let at = to.addr() - base.addr();
                assert_eq!(memory[at..at + len], source[from_at..from_at + len], "{}", store.name);
                let outside = memory[..at].iter().chain(&memory[at + len..]);
                assert!(outside.copied().all(|byte| byte == 0), "{} {len} at {to_at}", store.name);
            }
        }
    }
}

#[test]
fn slices_are_copied_and_filled_with_every_hint() {
    let Some(cache) = host_or_refused() else { return };
    let len = if cfg!(miri) { 300 } else { 20_000 };
    let source = pattern(len);
    for hint in HINTS {
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
fn slices_of_different_lengths_are_refused() {
    let Some(cache) = host_or_refused() else { return };
    let copy = || cache.copy_writeback(&mut [0; 2], &[0; 3], Destination::Unknown);
    let panic = std::panic::catch_unwind(copy).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("the lengths of the two slices differ"), "{message}");
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
    let Some(cache) = host_or_refused() else { return };
    for (method, store) in stores() {
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
                let part = Part { to, from: source.as_ptr(), len: source.len(), method, store };
                // SAFETY: the range is one of atomic words, which the other thread loads as a whole.
                unsafe { executor::copy(&mut copier(cache), core::iter::once(part)) };
            }
        });
    }
}

/// Compared with the same call of the standard library on ordinary memory.
#[test]
fn ranges_are_copied_moved_and_filled_as_by_the_standard_library() {
    let Some(cache) = host_or_refused() else { return };
    // Miri interprets, some hundred times slower.
    let size = if cfg!(miri) { 400 } else { 20_000 };
    let all = [0, 9, 257, 1, 7, 8, 63, 64, 65, 255, 256, 4095, 4096, 4097, 12_345];
    let lens = &all[..if cfg!(miri) { 3 } else { all.len() }];
    let ordinary = [cache.copier(None, true), cache.copier(None, false)];
    let kinds = HINTS.map(|hint| cache.copier(Some(hint), true)).into_iter().chain(ordinary);
    let before = pattern(size);
    for copies in kinds {
        for len in lens.iter().copied() {
            for (to, from) in [(0, 1), (1, 0), (3, 3), (70, 5), (5, 70), (0, size - len)] {
                let (mut ours, mut expected) = (before.clone(), before.clone());
                let base = ours.as_mut_ptr();
                // SAFETY: both ranges are in the vector.
                unsafe { copies.copy(base.wrapping_add(to), base.wrapping_add(from), len) };
                cache.fence();
                expected.copy_within(from..from + len, to);
                assert!(ours == expected, "{len} bytes from {from} to {to} by {copies:?}");
                // SAFETY: the range is in the vector.
                unsafe { copies.fill(ours.as_mut_ptr().wrapping_add(from), len, 0xa5) };
                cache.fence();
                expected[from..from + len].fill(0xa5);
                assert!(ours == expected, "{len} bytes at {from} by {copies:?}");
            }
        }
    }
}

/// Shorter than a block, so that no block's store serves them.
#[test]
#[cfg(target_has_atomic = "64")]
#[cfg_attr(miri, ignore = "the reader races by design, with bytes that are not atomic")]
fn no_short_copy_tears_a_word() {
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    let Some(cache) = host_or_refused() else { return };
    let words: [AtomicU64; 6] = Default::default();
    let (seen, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while seen.load(Relaxed) < 500_000 && !ended.load(Relaxed) {
                for word in &words[..5] {
                    let bytes = word.load(Relaxed).to_ne_bytes();
                    ended.fetch_or(bytes != [bytes[0]; 8], Relaxed);
                    seen.fetch_add(u64::from(bytes[0] != 0), Relaxed);
                }
            }
        });
        for byte in (1..=255).cycle() {
            if seen.load(Relaxed) >= 500_000 || ended.load(Relaxed) {
                break;
            }
            let to = words.as_ptr().cast::<u8>().cast_mut();
            // SAFETY: the range is one of atomic words, and the source is not written.
            unsafe { cache.copier(None, true).copy(to, [byte; 43].as_ptr(), 43) };
        }
    });
    assert!(!ended.load(Relaxed), "a word was torn");
}
