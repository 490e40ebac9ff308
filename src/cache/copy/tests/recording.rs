//! Copies on a recording instead of a CPU: the order of stores, write-backs and fences is held against the rules of
//! the manuals.

use crate::arch::x86::blocks::{VMOVDQA64, VMOVNTDQ_512};
use crate::arch::{BLOCK, BlockStore, StoreKind};
use crate::cache::copy::executor::{self, CHUNK, Executor, Part};
use crate::cache::copy::table::Method;
use alloc::vec::Vec;
use core::ops::Range;

/// The operations executed, by addresses.
#[derive(Debug, PartialEq)]
enum Event {
    Blocks { kind: StoreKind, to: Range<usize>, from: usize },
    Edge { to: Range<usize>, from: usize },
    Writeback(Range<usize>),
    Fence,
}

#[derive(Default)]
struct Recording(Vec<Event>);

impl Executor for Recording {
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

const METHODS: [(Method, &BlockStore); 3] = [
    (Method::Ordinary, &VMOVDQA64),
    (Method::Streaming, &VMOVNTDQ_512),
    (Method::StreamingThenWriteback, &VMOVNTDQ_512),
];

/// Returns a part at a distance of a block's boundary.
fn part((method, store): (Method, &'static BlockStore), distance: usize, len: usize) -> Part {
    let to = core::ptr::without_provenance_mut(TO + distance);
    Part { to, from: core::ptr::without_provenance(FROM), len, method, store }
}

/// Returns the places in the recording of the events that stored a byte.
fn stores_of(events: &[Event], byte: usize) -> Vec<usize> {
    let stores = |event: &Event| match event {
        Event::Blocks { to, .. } | Event::Edge { to, .. } => to.contains(&byte),
        Event::Writeback(_) | Event::Fence => false,
    };
    (0..events.len()).filter(|place| stores(&events[*place])).collect()
}

/// Returns true if the store at this place is in memory for sure at the end, by the rules of the architecture and the
/// method's promise for streaming stores. Lines of 64 bytes.
fn reached(events: &[Event], byte: usize, store: usize, method: Method) -> bool {
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
        Event::Blocks { kind, .. } => *kind != StoreKind::Ordinary,
        _ => false,
    };
    match (past_the_caches, method) {
        (false, _) => written_back_behind(store),
        (true, Method::Streaming) => fence_behind(store).is_some(),
        (true, _) => fence_behind(store).is_some_and(written_back_behind),
    }
}

/// Checks the rule for any copy: each byte stored once, from its place in the source, and in memory at the end.
fn check(
    events: &[Event],
    distance: usize,
    len: usize,
    method: Method,
    source: impl Fn(usize) -> usize,
) {
    let whole = TO + distance..TO + distance + len;
    for byte in whole.clone() {
        let stores = stores_of(events, byte);
        assert_eq!(stores.len(), 1, "byte {byte:#x} of {whole:x?}, {method:?}: {events:x?}");
        let (Event::Blocks { to, from, .. } | Event::Edge { to, from }) = &events[stores[0]] else {
            unreachable!()
        };
        assert_eq!(from + byte - to.start, source(byte - whole.start), "{method:?}: {events:x?}");
        assert!(
            reached(events, byte, stores[0], method),
            "byte {byte:#x}, {method:?}: {events:x?}"
        );
    }
    for outside in [whole.start - 1, whole.end] {
        assert!(stores_of(events, outside).is_empty(), "{method:?}: {events:x?}");
    }
    for event in events {
        if let Event::Writeback(range) = event {
            assert!(
                range.start >= whole.start && range.end <= whole.end,
                "{method:?}: {events:x?}"
            );
        }
    }
    assert_eq!(events.last(), Some(&Event::Fence), "the fence is the last: {events:x?}");
}

const LENGTHS: [usize; 16] =
    [0, 1, 7, 8, 63, 64, 65, 127, 128, 200, 4095, 4096, 4097, 4160, 9000, 12353];

#[test]
#[cfg_attr(miri, ignore = "nothing is executed, and it takes minutes")]
fn each_byte_is_stored_once_and_reaches_memory_by_every_method() {
    for method in METHODS {
        for len in LENGTHS {
            for distance in [0, 1, 8, 31, 63] {
                let mut recording = Recording::default();
                // SAFETY: nothing is executed.
                unsafe {
                    executor::copy(&mut recording, core::iter::once(part(method, distance, len)));
                }
                recording.fence();
                check(&recording.0, distance, len, method.0, |offset| FROM + offset);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "nothing is executed, and it takes minutes")]
fn chunks_in_either_direction_store_each_byte_once_too() {
    for method in METHODS {
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
                let part = part(method, distance, len);
                // SAFETY: nothing is executed.
                unsafe {
                    executor::copy_by_chunks(&mut recording, part, CHUNK, backwards, fill);
                }
                recording.fence();
                check(&recording.0, distance, len, method.0, |offset| FROM + offset);
            }
        }
    }
}

/// Several parts cost the caller's fence, and one before it where streaming must be complete before the write-back.
#[test]
fn parts_share_their_fences() {
    for (method, fences) in METHODS.into_iter().zip([0, 0, 1, 0]) {
        let mut recording = Recording::default();
        let parts = [part(method, 0, 256), part(method, 5000, 100), part(method, 20000, 4096)];
        // SAFETY: nothing is executed.
        unsafe { executor::copy(&mut recording, parts.into_iter()) };
        let count = recording.0.iter().filter(|event| **event == Event::Fence).count();
        assert_eq!(count, fences, "{method:?}: {:x?}", recording.0);
    }
}

/// Ordinary stores are written back while they are near, not after megabytes.
#[test]
fn ordinary_stores_are_written_back_by_chunks() {
    let mut recording = Recording::default();
    // SAFETY: nothing is executed.
    unsafe { executor::copy(&mut recording, core::iter::once(part(METHODS[0], 8, 3 * 4096))) };
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
