//! Copies on a recording instead of a CPU, whose order of stores, write-backs and fences is held against the
//! rules of the manuals; and on this CPU, by every store that it has.

use super::policy::{Choice, Path};
use super::run::{self, CHUNK, Execute, Part};
use super::{Copier, Destination, copy_edge};
use crate::arch::x86::blocks::{
    self as x86, MOV, MOVDIR64B, MOVDQA, MOVNTDQ, MOVNTI, VMOVDQA, VMOVDQA64, VMOVNTDQ_256,
    VMOVNTDQ_512,
};
use crate::arch::{BLOCK, BlockStore, StoreKind, block_ops};
use crate::cache::Cache;
use crate::cpu::block_stores::{self, BlockStores};
use crate::skip::skip;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// What was executed, by addresses.
#[derive(Debug, PartialEq)]
enum Event {
    Blocks { kind: StoreKind, to: Range<usize>, from: usize },
    Edge { to: Range<usize>, from: usize },
    Writeback(Range<usize>),
    Fence,
}

#[derive(Default)]
struct Recording(Vec<Event>);

impl Execute for Recording {
    unsafe fn blocks(&mut self, store: &BlockStore, to: *mut u8, from: *const u8, count: usize) {
        assert!(to.addr().is_multiple_of(BLOCK), "blocks are aligned");
        let to = to.addr()..to.addr() + count * BLOCK;
        self.0.push(Event::Blocks { kind: store.kind, to, from: from.addr() });
    }

    unsafe fn edge(&mut self, to: *mut u8, from: *const u8, len: usize) {
        assert!(len < BLOCK, "an edge is shorter than a block");
        self.0.push(Event::Edge { to: to.addr()..to.addr() + len, from: from.addr() });
    }

    unsafe fn writeback(&mut self, start: *const u8, len: usize) {
        self.0.push(Event::Writeback(start.addr()..start.addr() + len));
    }

    fn fence(&mut self) {
        self.0.push(Event::Fence);
    }
}

const TO: usize = 0x10_0000;
const FROM: usize = 0x90_0000;

const PATHS: [(Path, &BlockStore); 5] = [
    (Path::Ordinary, &VMOVDQA64),
    (Path::Hinted, &VMOVDQA64),
    (Path::Streaming, &VMOVNTDQ_512),
    (Path::StreamingThenWriteback, &VMOVNTDQ_512),
    (Path::Direct, &MOVDIR64B),
];

/// A part at a distance of a block's boundary.
fn part((path, store): (Path, &'static BlockStore), distance: usize, len: usize) -> Part {
    let to = core::ptr::without_provenance_mut(TO + distance);
    Part { to, from: core::ptr::without_provenance(FROM), len, path, store }
}

/// The places in the recording of what stored a byte.
fn stores_of(events: &[Event], byte: usize) -> Vec<usize> {
    let stores = |event: &Event| match event {
        Event::Blocks { to, .. } | Event::Edge { to, .. } => to.contains(&byte),
        Event::Writeback(_) | Event::Fence => false,
    };
    (0..events.len()).filter(|place| stores(&events[*place])).collect()
}

/// Whether the store at this place is in memory for sure at the end, by the rules of the architecture and
/// what the path says of streaming stores. Lines of 64 bytes.
fn reached(events: &[Event], byte: usize, store: usize, path: Path) -> bool {
    let line = byte / 64;
    let fence_behind = |place: usize| {
        events[place..].iter().position(|event| *event == Event::Fence).map(|behind| place + behind)
    };
    let written_back_behind = |place: usize| {
        let covers = |event: &Event| match event {
            Event::Writeback(range) => (range.start / 64..=(range.end - 1) / 64).contains(&line),
            _ => false,
        };
        let behind = events[place..].iter().position(covers).map(|behind| place + behind);
        behind.is_some_and(|writeback| fence_behind(writeback).is_some())
    };
    let past_the_caches = match &events[store] {
        Event::Blocks { kind, .. } => !matches!(kind, StoreKind::Ordinary | StoreKind::Hinted),
        _ => false,
    };
    match (past_the_caches, path) {
        (false, _) => written_back_behind(store),
        (true, Path::Streaming | Path::Direct) => fence_behind(store).is_some(),
        (true, _) => fence_behind(store).is_some_and(written_back_behind),
    }
}

/// What any copy must be: each byte stored once, from its place in the source, and in memory at the end.
fn check(
    events: &[Event],
    distance: usize,
    len: usize,
    path: Path,
    source: impl Fn(usize) -> usize,
) {
    let whole = TO + distance..TO + distance + len;
    for byte in whole.clone() {
        let stores = stores_of(events, byte);
        assert_eq!(stores.len(), 1, "byte {byte:#x} of {whole:x?}, {path:?}: {events:x?}");
        let (Event::Blocks { to, from, .. } | Event::Edge { to, from }) = &events[stores[0]] else {
            unreachable!()
        };
        assert_eq!(from + byte - to.start, source(byte - whole.start), "{path:?}: {events:x?}");
        assert!(reached(events, byte, stores[0], path), "byte {byte:#x}, {path:?}: {events:x?}");
    }
    for outside in [whole.start - 1, whole.end] {
        assert!(stores_of(events, outside).is_empty(), "{path:?}: {events:x?}");
    }
    for event in events {
        if let Event::Writeback(range) = event {
            assert!(range.start >= whole.start && range.end <= whole.end, "{path:?}: {events:x?}");
        }
    }
    assert_eq!(events.last(), Some(&Event::Fence), "the fence is the last: {events:x?}");
}

const LENGTHS: [usize; 16] =
    [0, 1, 7, 8, 63, 64, 65, 127, 128, 200, 4095, 4096, 4097, 4160, 9000, 12353];

#[test]
#[cfg_attr(miri, ignore = "nothing is executed, and it takes minutes")]
fn each_byte_is_stored_once_and_reaches_memory_by_every_path() {
    for path in PATHS {
        for len in LENGTHS {
            for distance in [0, 1, 8, 31, 63] {
                let mut recording = Recording::default();
                // SAFETY: nothing is executed.
                unsafe {
                    run::copy(&mut recording, core::iter::once(part(path, distance, len)));
                }
                check(&recording.0, distance, len, path.0, |offset| FROM + offset);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "nothing is executed, and it takes minutes")]
fn a_copy_without_its_fence_lacks_nothing_else() {
    for path in PATHS {
        for len in LENGTHS {
            let mut recording = Recording::default();
            // SAFETY: nothing is executed.
            unsafe {
                run::copy_unfenced(&mut recording, core::iter::once(part(path, 31, len)));
            }
            let fences = recording.0.iter().filter(|event| **event == Event::Fence).count();
            let is_written_back_after = path.0 == Path::StreamingThenWriteback;
            assert_eq!(fences, usize::from(is_written_back_after), "{path:?}: {:x?}", recording.0);
            recording.fence();
            check(&recording.0, 31, len, path.0, |offset| FROM + offset);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "nothing is executed, and it takes minutes")]
fn chunks_in_either_direction_store_each_byte_once_too() {
    for path in PATHS {
        for len in LENGTHS {
            for (distance, backwards) in [(0, false), (0, true), (31, false), (31, true)] {
                let mut recording = Recording::default();
                let mut last = None;
                let fill = |range: Range<usize>| {
                    assert!(range.len() <= CHUNK && !range.is_empty());
                    if let Some(last) = last.replace(range.clone()) {
                        let next_to = if backwards {
                            range.end == last.start
                        } else {
                            range.start == last.end
                        };
                        assert!(next_to, "{last:?}, then {range:?}");
                    }
                    core::ptr::without_provenance(FROM + range.start)
                };
                let part = part(path, distance, len);
                // SAFETY: nothing is executed.
                unsafe { run::copy_by_chunks(&mut recording, part, backwards, fill) };
                check(&recording.0, distance, len, path.0, |offset| FROM + offset);
            }
        }
    }
}

/// Several parts cost one fence, and one more where streaming must be complete before the write-back.
#[test]
fn parts_share_their_fences() {
    for (path, fences) in PATHS.into_iter().zip([1, 1, 1, 2, 1]) {
        let mut recording = Recording::default();
        let parts = [part(path, 0, 256), part(path, 5000, 100), part(path, 20000, 4096)];
        // SAFETY: nothing is executed.
        unsafe { run::copy(&mut recording, parts.into_iter()) };
        let count = recording.0.iter().filter(|event| **event == Event::Fence).count();
        assert_eq!(count, fences, "{path:?}: {:x?}", recording.0);
    }
}

/// With the caches in the persistence domain the fence is all: no store past them, no write-back.
#[test]
fn where_the_caches_persist_nothing_is_written_back() {
    for evicts in [true, false] {
        let choice = Choice::of(x86::BLOCK_STORES, BlockStores { present: u16::MAX, evicts });
        let (path, place) = choice.ordinary();
        assert_eq!((path, x86::BLOCK_STORES[place]), (Path::Ordinary, VMOVDQA64));
    }
    let Ok(cache) = Cache::host() else {
        skip("where_the_caches_persist_nothing_is_written_back", "no cache maintenance here");
        return;
    };
    for destination in HINTS {
        let copier = Copier { cache, writes_back: false, destination, edge: copy_edge };
        for len in ALL_SIZES {
            let way = copier.way().part(core::ptr::null_mut(), core::ptr::null(), len);
            assert_eq!((way.path, way.store.kind), (Path::Ordinary, StoreKind::Ordinary));
        }
    }
}

/// Ordinary stores are written back while they are near, not after megabytes.
#[test]
fn ordinary_stores_are_written_back_by_chunks() {
    let mut recording = Recording::default();
    // SAFETY: nothing is executed.
    unsafe { run::copy(&mut recording, core::iter::once(part(PATHS[0], 8, 3 * 4096))) };
    let writebacks: Vec<_> = recording
        .0
        .iter()
        .filter_map(|event| match event {
            Event::Writeback(range) => Some(range.start - TO..range.end - TO),
            _ => None,
        })
        .collect();
    // The first boundary is at 64; chunks of 4096 bytes are counted from there.
    assert_eq!(writebacks, [8..64 + 4096, 64 + 4096..64 + 8192, 64 + 8192..8 + 3 * 4096]);
}

fn choice(stores: &[BlockStore], evicts: bool) -> Choice {
    let present = stores.iter().fold(0, |codes, store| codes | store.code);
    Choice::of(x86::BLOCK_STORES, BlockStores { present, evicts })
}

const ALL_SIZES: [usize; 12] =
    [0, 64, 128, 192, 256, 1024, 2048, 4096, 65536, 1 << 20, 16 << 20, 64 << 20];
const HINTS: [Destination; 4] =
    [Destination::Unknown, Destination::Cached, Destination::Dirty, Destination::Cold];

/// No policy may take a way that is not durable: without the vendor's promise lines must be written back.
#[test]
fn without_the_promise_lines_are_written_back_whatever_the_cpu_has() {
    let widths: [&[BlockStore]; 3] = [
        &[MOV, MOVNTI],
        &[MOV, MOVNTI, MOVDQA, MOVNTDQ],
        &[MOV, MOVNTI, MOVDQA, MOVNTDQ, VMOVDQA64, VMOVNTDQ_512, MOVDIR64B],
    ];
    for stores in widths {
        for size in ALL_SIZES {
            for hint in HINTS {
                let (path, _) = choice(stores, false).path(size, hint);
                let writes_back = matches!(path, Path::Ordinary | Path::StreamingThenWriteback);
                assert!(writes_back, "{stores:?} {size} {hint:?}: {path:?}");
            }
        }
    }
}

/// The store that is named must be one that the CPU has, and of the kind of the path.
#[test]
fn each_path_has_a_store_that_is_there() {
    let sets: [&[BlockStore]; 5] = [
        &[MOV],
        &[MOV, MOVNTI],
        &[MOV, MOVDQA, MOVNTI, MOVNTDQ, VMOVDQA, VMOVNTDQ_256],
        &[MOV, MOVDQA, MOVNTI, MOVNTDQ, MOVDIR64B],
        x86::BLOCK_STORES,
    ];
    for stores in sets {
        for (evicts, size, hint) in [true, false]
            .into_iter()
            .flat_map(|evicts| ALL_SIZES.map(|size| (evicts, size)))
            .flat_map(|(evicts, size)| HINTS.map(|hint| (evicts, size, hint)))
        {
            let (path, place) = choice(stores, evicts).path(size, hint);
            let store = x86::BLOCK_STORES[place];
            assert!(stores.contains(&store), "{path:?} by {}", store.name);
            let kind = match path {
                Path::Ordinary | Path::Hinted => StoreKind::Ordinary,
                Path::Streaming | Path::StreamingThenWriteback => StoreKind::Streaming,
                Path::Direct => StoreKind::Direct,
            };
            assert_eq!(store.kind, kind, "{path:?} by {}", store.name);
        }
    }
}

/// Kernels must leave the vector registers alone, and registers that the system does not keep would be
/// lost: CPUID.1:ECX says AVX (28) and OSXSAVE (27), CPUID.7.0 AVX512F (EBX 16) and MOVDIR64B (ECX 28);
/// XCR0 has SSE (1), AVX (2) and the three parts of AVX-512 (5 to 7).
#[test]
fn vectors_need_the_operating_system() {
    use block_stores::x86_64::{Registers, read};
    let leaves = |ecx_of_1: u32| {
        crate::cpu::recorded::reader(match ecx_of_1 {
            0 => &[
                (0, 0, [7, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
                (7, 0, [0, 1 << 16, 1 << 28, 0]),
            ],
            _ => &[
                (0, 0, [7, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
                (1, 0, [0, 0, 1 << 28 | 1 << 27, 0]),
                (7, 0, [0, 1 << 16, 1 << 28, 0]),
            ],
        })
    };
    let never = || -> u64 { unreachable!("XGETBV faults where OSXSAVE is not set") };
    let has = |stores: BlockStores, wanted: &[BlockStore]| {
        for store in x86::BLOCK_STORES {
            assert_eq!(stores.has(*store), wanted.contains(store), "{}", store.name);
        }
        assert!(stores.evicts, "GenuineIntel");
    };
    let integer = [MOV, MOVNTI, MOVDIR64B];
    let sse = [MOV, MOVNTI, MOVDIR64B, MOVDQA, MOVNTDQ];
    let avx = [MOV, MOVNTI, MOVDIR64B, MOVDQA, MOVNTDQ, VMOVDQA, VMOVNTDQ_256];
    has(read(&leaves(0), Registers::Vector, never), &sse);
    has(read(&leaves(1), Registers::Integer, never), &integer);
    has(read(&leaves(1), Registers::Vector, || 0b11), &sse);
    has(read(&leaves(1), Registers::Vector, || 0b111), &avx);
    has(read(&leaves(1), Registers::Vector, || 0b0110_0111), &avx);
    has(read(&leaves(1), Registers::Vector, || 0b1110_0111), x86::BLOCK_STORES);
}

/// Every recorded machine: only Intel's manual promises that streaming stores evict.
#[test]
fn the_promise_is_intels_alone() {
    use crate::cpu::recorded::{reader, x86::MACHINES};
    use block_stores::x86_64::{Registers, read};
    for machine in MACHINES {
        let stores = read(&reader(machine.cpuid), Registers::Vector, || 0);
        let is_intel = machine.name.contains("Intel") || machine.name.contains("intel");
        assert_eq!(stores.evicts, is_intel, "{}", machine.name);
    }
}

/// On this CPU.
#[cfg(not(loom))]
mod here {
    use super::*;
    use crate::cpu::block_stores;

    /// The handle of this machine, if it has one; else the test says that it was skipped.
    fn cache(test: &str) -> Option<Cache> {
        Cache::host().map_err(|why| skip(test, why)).ok()
    }

    /// All stores of this CPU, with a path that they serve.
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
                    // SAFETY: both ranges are those of vectors, and nobody else accesses them.
                    unsafe { run::copy(&mut copier(cache), core::iter::once(part)) };
                    let at = to.addr() - base.addr();
                    assert_eq!(
                        memory[at..at + len],
                        source[from_at..from_at + len],
                        "{}",
                        store.name
                    );
                    let outside = memory[..at].iter().chain(&memory[at + len..]);
                    assert!(
                        outside.copied().all(|byte| byte == 0),
                        "{} {len} at {to_at}",
                        store.name
                    );
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
        /// How many words are to be seen after something was stored to them.
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
}
