//! Every method by which the library persists or writes back, each between two marks for the emulator's plugin. The
//! plugin then reports lines left dirty and write-backs left unfenced.
//!
//! A path stores to whole lines, parts of lines and the ends of pages, and calls the library as a user would. The
//! stored data is not zero, and its offsets differ between paths.

mod logs;
mod stores;
mod views;

use anyhow::Result;
use cachemaint::cache::Destination;
use cachemaint::dax::{DaxFile, Options};
use cachemaint::instruction::Instruction;
use cachemaint::medium::Backing;
use cachemaint::medium::Memory;
use cachemaint::{Cache, Point};
use cachemaint_lab_protocol::ON_FILES;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use lose_lines_mark as mark;

/// The size of the file and of the memory in bytes.
const LEN: u64 = 4 << 20;
const WORDS: usize = 1 << 16;
/// The largest line of the machines in bytes.
const LINE: usize = 256;

/// A path on a file: its name and its operation.
type OnFile = (&'static str, fn(&DaxFile) -> Result<()>);
/// A path on memory.
type OnMemory = (&'static str, fn(Cache, &[AtomicU64]));

const ON_FILE: [OnFile; 14] = [
    ("persist within a line", |file| {
        file.write(72, &[1; 40]);
        Ok(file.persist(72..112)?)
    }),
    ("persist over the end of a page", |file| {
        file.write(4090, &[2; 4105]);
        Ok(file.persist(4090..8195)?)
    }),
    ("persist of stored words", |file| {
        for at in [1 << 20, (1 << 20) + 56, (1 << 20) + 64] {
            file.store(at, 3, Ordering::Release);
        }
        Ok(file.persist(1 << 20..(1 << 20) + 72)?)
    }),
    ("issue_writeback, then fence", |file| {
        file.write(300, &[4; 1000]);
        file.issue_writeback(300..1300)?;
        Ok(file.fence()?)
    }),
    ("deep persist", |file| {
        file.write(70_001, &[10; 5000]);
        Ok(file.deep_persist(70_001..75_001)?)
    }),
    ("several ranges under one fence", |file| {
        file.write(128, &[5; 1]);
        file.write(65_530, &[5; 100]);
        file.issue_writeback(128..129)?;
        file.issue_writeback(65_530..65_630)?;
        Ok(file.fence()?)
    }),
    ("copy of several parts", |file| {
        Ok(file.persist_copy(&[(8, &[7; 8]), (200_001, &[7; 77]), (4095, &[7; 2])])?)
    }),
    ("copy of 3 MiB", |file| Ok(file.persist_copy(&[(5, &vec![8; 3 << 20])])?)),
    ("copies to a cold destination", |file| {
        let parts: [(u64, &[u8]); 3] = [(64, &[9; 64]), (9001, &[9; 300]), (70_000, &[9; 9000])];
        Ok(file.persist_copy_to(&parts, Destination::Cold)?)
    }),
    ("copies to a cached destination", |file| {
        file.read(50_000, &mut [0; 7000])?;
        Ok(file
            .persist_copy_to(&[(50_001, &[9; 300]), (51_000, &[9; 6001])], Destination::Cached)?)
    }),
    ("fill of 1 MiB", |file| {
        Ok(file.persist_fill(77..77 + (1 << 20), 0xa5, Destination::Unknown)?)
    }),
    ("move down", |file| {
        Ok(file.persist_copy_within(0x10_0005..0x11_0000, 8, Destination::Cold)?)
    }),
    ("move up", |file| Ok(file.persist_copy_within(8..0x1_0003, 99, Destination::Unknown)?)),
    ("streaming stores, then persist", |file| {
        stream(file, 16_384, 512);
        // No manual orders a write-back after them.
        file.fence()?;
        Ok(file.persist(16_384..16_896)?)
    }),
];

const ON_MEMORY: [OnMemory; 7] = [
    ("cache: writeback", |cache, words| {
        store(&words[3..1000]);
        cache.writeback(&words[3..1000]);
    }),
    ("cache: writeback_invalidate", |cache, words| {
        store(&words[7..100]);
        cache.writeback_invalidate(&words[7..100]);
    }),
    ("cache: invalidate", |cache, words| {
        store(&words[200..300]);
        invalidate(cache, &words[200..300]);
    }),
    ("cache: batch", |cache, words| {
        store(&words[1..2]);
        store(&words[500..777]);
        cache.batch(|batch| {
            batch.writeback(&words[1..2]);
            batch.writeback_invalidate(&words[500..777]);
        });
    }),
    ("cache: copies to a cold destination", |cache, words| {
        copy(cache, &words[3..1001], Destination::Cold);
        copy(cache, &words[2000..40_000], Destination::Cold);
    }),
    ("cache: copies to an unknown destination", |cache, words| {
        copy(cache, &words[1..2], Destination::Unknown);
        copy(cache, &words[1000..1500], Destination::Unknown);
        copy(cache, &words[4000..9000], Destination::Unknown);
    }),
    ("memory: persist and copy", |cache, words| {
        let memory = Memory::new(words, cache, Backing::Ram);
        memory.write(11, &[9; 3000]);
        memory.persist(11..3011);
        memory.persist_copy(&[(4096, &[9; 100]), (6000, &[9; 1])]);
    }),
];

/// Runs every path, those on memory with each instruction of this machine. Returns their names in the order of their
/// numbers.
pub(crate) fn run(path: &str) -> Result<Vec<String>> {
    let file = Options::new().create_new(path, LEN)?;
    let mut names = Names::default();
    for (name, work) in ON_FILE {
        mark::watch(range(&file, 0..LEN));
        work(&file)?;
        names.on_file(name);
    }
    logs::on_journal(&format!("{path}.journal"), &mut names)?;
    logs::on_recorder(&format!("{path}.recording"), &mut names)?;
    stores::on_store(&format!("{path}.store"), &mut names)?;
    views::on_view(&format!("{path}.viewed"), &mut names)?;
    // Whole lines, since the allocator stores beside what it hands out.
    let memory: Vec<AtomicU64> = (0..WORDS + LINE / 8).map(|_| AtomicU64::new(1)).collect();
    let first = memory.as_ptr().align_offset(LINE);
    let words = &memory[first..first + WORDS];
    let host = Cache::host()?;
    for &point in Point::ALL {
        let Ok(aimed) = host.to(point) else { continue };
        for instruction in aimed.available_writebacks() {
            let cache = with(instruction, point)?;
            for (name, work) in ON_MEMORY {
                mark::watch(words.as_ptr_range());
                work(cache, words);
                names.left_by(format!("{name}, {} to {point}", instruction.name));
            }
        }
    }
    Ok(names.0)
}

/// The paths with a number.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    /// Makes the plugin tell what the path has left.
    fn left_by(&mut self, name: String) {
        mark::left(self.0.len() as u64);
        self.0.push(name);
    }

    fn on_file(&mut self, name: &str) {
        self.left_by(format!("{ON_FILES}{name}"));
    }
}

/// Returns the addresses at which a part of a file is mapped.
fn range(file: &DaxFile, part: Range<u64>) -> Range<*const u8> {
    let [start, end] = [part.start, part.end].map(|at| {
        file.as_ptr(0).cast_const().wrapping_add(usize::try_from(at).unwrap_or(usize::MAX))
    });
    start..end
}

fn with(instruction: Instruction, point: Point) -> Result<Cache> {
    Ok(Cache::builder().writeback_with(instruction).point(point).build()?)
}

fn store(words: &[AtomicU64]) {
    for word in words {
        word.store(0x5a5a, Ordering::Relaxed);
    }
}

/// Copies to these words, except for a few bytes at the ends.
#[expect(unsafe_code, reason = "of words that others may change")]
fn copy(cache: Cache, words: &[AtomicU64], destination: Destination) {
    let bytes = vec![0x5b_u8; size_of_val(words) - 5];
    let to = words.as_ptr().cast::<u8>().cast_mut().wrapping_add(3);
    // SAFETY: (1) the range lies within the words, which are cells; (2) no other thread accesses them.
    unsafe { cache.copier(Some(destination), true).copy(to, bytes.as_ptr(), bytes.len()) };
    cache.fence();
}

/// Invalidates memory. Stored data is written back first, since no instruction discards it in user mode.
#[expect(unsafe_code, reason = "of words that others may change")]
fn invalidate(cache: Cache, words: &[AtomicU64]) {
    // SAFETY: (1) the words can be read; (2) they are atomic.
    unsafe { cache.invalidate_range(words.as_ptr().cast_mut().cast(), size_of_val(words)) };
}

/// Stores `len` bytes with streaming stores, on architectures that have them.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "there is no safe streaming store")]
#[expect(clippy::cast_ptr_alignment, reason = "every offset is a multiple of 8")]
fn stream(file: &DaxFile, at: u64, len: u64) {
    for at in (at..at + len).step_by(8) {
        let word = file.as_ptr(at).cast::<i64>();
        // SAFETY: the word is in the mapping and aligned, and no other thread accesses the file.
        unsafe { core::arch::x86_64::_mm_stream_si64(word, 0x5a5a) };
    }
}

/// Stores `len` bytes. Non-temporal pairs of arm64 are ordered like any other store (Arm ARM, STNP).
#[cfg(target_arch = "aarch64")]
fn stream(file: &DaxFile, at: u64, len: u64) {
    file.write(at, &vec![0x5a; usize::try_from(len).unwrap_or_default()]);
}
