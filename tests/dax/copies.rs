//! Copies into a file: every shape of the peer's `memmove` tests, with every hint, against the same done to an
//! array, and that nothing beside the range changes. On DAX they go by lines, elsewhere by pages.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use cachemaint::cache::Destination;
use cachemaint::dax::{DaxFile, Options};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use tempfile::TempDir;

const LEN: usize = 32 << 10;
const HINTS: [Destination; 3] = [Destination::Unknown, Destination::Cached, Destination::Cold];

/// A file and the array that it must be equal to.
struct Pair {
    file: DaxFile,
    expected: Vec<u8>,
    path: PathBuf,
    _directory: TempDir,
}

impl Pair {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copies");
        let file = Options::new().allow_page_granularity().create_new(&path, LEN as u64).unwrap();
        let expected: Vec<u8> = (1..=249).cycle().take(LEN).collect();
        file.persist_copy(&[(0, &expected)]).unwrap();
        Self { file, expected, path, _directory: directory }
    }

    fn check(&self, what: &str) {
        let mut found = vec![0; LEN];
        self.file.read(0, &mut found).unwrap();
        if found != self.expected {
            let wrong = (0..LEN).find(|at| found[*at] != self.expected[*at]);
            panic!("{what}: byte {wrong:?} is the first wrong one");
        }
    }

    fn copy(&mut self, parts: &[(usize, &[u8])], hint: Destination) {
        let of_file: Vec<(u64, &[u8])> =
            parts.iter().map(|(at, bytes)| (*at as u64, *bytes)).collect();
        self.file.persist_copy_to(&of_file, hint).unwrap();
        for (at, bytes) in parts {
            self.expected[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        self.check(&format!(
            "parts at {:?}, {hint:?}",
            parts.iter().map(|part| part.0).collect::<Vec<_>>()
        ));
    }

    fn fill(&mut self, range: Range<usize>, byte: u8, hint: Destination) {
        self.file.persist_fill(range.start as u64..range.end as u64, byte, hint).unwrap();
        self.expected[range.clone()].fill(byte);
        self.check(&format!("fill of {range:?}, {hint:?}"));
    }

    fn copy_within(&mut self, from: Range<usize>, to: usize, hint: Destination) {
        let range = from.start as u64..from.end as u64;
        self.file.persist_copy_within(range, to as u64, hint).unwrap();
        self.expected.copy_within(from.clone(), to);
        self.check(&format!("{from:?} to {to}, {hint:?}"));
    }
}

/// Offsets within a line and lengths around words, lines, the borders between the ways, and chunks.
#[test]
fn parts_of_every_shape_are_copied() {
    let mut pair = Pair::new();
    let source: Vec<u8> = (2..=254).cycle().take(20_000).collect();
    for hint in HINTS {
        for len in
            [0, 1, 4, 7, 8, 63, 64, 65, 128, 191, 192, 255, 256, 1024, 4095, 4096, 9000, 20_000]
        {
            for (to, from) in [(0, 0), (7, 0), (0, 7), (13, 7), (21, 7), (60, 1)] {
                let len = len.min(source.len() - from);
                pair.copy(&[(4096 + to, &source[from..from + len])], hint);
            }
        }
        // A word that spans two lines, and the end of the file.
        pair.copy(&[(63, b"span")], hint);
        pair.copy(&[(LEN - 3, b"end")], hint);
    }
}

#[test]
fn several_parts_are_copied_together() {
    let mut pair = Pair::new();
    for hint in HINTS {
        pair.copy(&[(5, b"first"), (9000, &[3; 5000]), (50, b""), (300, &[4; 300])], hint);
        pair.copy(&[], hint);
    }
}

#[test]
fn ranges_are_filled_to_the_byte() {
    let mut pair = Pair::new();
    for (byte, hint) in (0xa0..).zip(HINTS) {
        for range in
            [0..0, 3..4, 7..15, 0..64, 65..127, 100..9000, 4096..8192, 0..LEN, LEN - 1..LEN]
        {
            pair.fill(range, byte, hint);
        }
        pair.fill(8192..16384, 0, hint);
    }
}

/// The peer's shapes (apart, overlapping from below and from above, by less than a word, back) and chunks of
/// 4 KiB that overlap.
#[test]
fn bytes_are_moved_also_where_the_ranges_overlap() {
    let mut pair = Pair::new();
    for hint in HINTS {
        for (from, to) in [
            (0..4096, 8192),
            (7..4103, 8192),
            (0..4096, 8199),
            (13..4103, 8205),
            (0..4096, 23),
            (23..4119, 0),
            (0..8, 1),
            (1..9, 0),
            (2..10, 1),
            (100..20_100, 101),
            (101..20_101, 100),
            (100..20_100, 4196),
            (4196..24_196, 100),
            (500..500, 10),
            (64..128, 64),
            (0..LEN - 1, 1),
        ] {
            pair.copy_within(from, to, hint);
        }
    }
}

/// Offsets within a word and lengths around the one from which many words are read at once.
#[test]
fn reads_of_every_shape_return_exactly_their_bytes() {
    let pair = Pair::new();
    for at in 0..16 {
        for len in [0, 7, 8, 500, 511, 512, 513, 520, 5000] {
            let mut found = vec![0; len + 2];
            pair.file.read(at as u64, &mut found[1..=len]).unwrap();
            assert_eq!(found[1..=len], pair.expected[at..at + len], "{len} bytes at {at}");
            assert_eq!([found[0], found[len + 1]], [0, 0], "{len} bytes at {at}");
        }
    }
}

/// All bytes of a word change together while many words are read.
#[test]
fn a_read_tears_no_word() {
    const WORDS: usize = 512;
    /// The number of reads that must see words of different stores.
    const ENOUGH: usize = 1000;
    let Pair { file, _directory, .. } = Pair::new();
    file.persist_fill(0..8 * WORDS as u64, 0, Destination::Unknown).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for byte in (0..=255).cycle().take_while(|_| !ended.load(Ordering::Relaxed)) {
                for word in 0..WORDS as u64 {
                    file.store(8 * word, u64::from_ne_bytes([byte; 8]), Ordering::Relaxed);
                }
            }
        });
        let (mut all, mut mixed, mut torn) = ([[0; 8]; WORDS], 0, None);
        while mixed < ENOUGH && torn.is_none() {
            file.read(0, all.as_flattened_mut()).unwrap();
            torn = all.into_iter().find(|word| *word != [word[0]; 8]);
            mixed += usize::from(all[0] != all[WORDS - 1]);
        }
        ended.store(true, Ordering::Relaxed);
        assert_eq!(torn, None);
    });
}

/// A range that is out of range is a mistake of the program; nothing is stored then.
#[test]
fn nothing_is_stored_out_of_range() {
    let pair = Pair::new();
    let file = &pair.file;
    let end = LEN as u64;
    let unknown = Destination::Unknown;
    let panics = |operation: &dyn Fn()| catch_unwind(AssertUnwindSafe(operation)).is_err();
    assert!(panics(&|| drop(file.persist_copy(&[(0, b"ok"), (end - 1, b"no")]))));
    assert!(panics(&|| drop(file.persist_copy(&[(u64::MAX, b"no")]))));
    assert!(panics(&|| drop(file.persist_fill(end - 1..end + 1, 0, unknown))));
    assert!(panics(&|| drop(file.persist_copy_within(0..2, end - 1, unknown))));
    assert!(panics(&|| drop(file.persist_copy_within(end - 1..end + 1, 0, unknown))));
    pair.check("after refusals");
}

/// Copied bytes are in the file for other processes too.
#[test]
fn a_copy_is_in_the_file() {
    let mut pair = Pair::new();
    pair.copy(&[(4000, &[5; 4096])], Destination::Cold);
    let Pair { file, expected, path, _directory } = pair;
    drop(file);
    assert!(fs::read(path).unwrap() == expected);
}
