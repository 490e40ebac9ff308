//! Records appended to a log, with the minimum that a self-verifying record needs.
//!
//! A record is a header of 16 bytes and its payload. Records follow each other directly, or each starts on a new line.
//! The header is two words: the CRC32C of everything after it with the payload's length in the upper half, and the
//! position, which never wraps. The record's lines are written back once, with one fence, and nothing else is stored.

#![expect(unsafe_code, reason = "bare instructions")]

use crate::measure::lines::WORD;
use crate::payloads::Payloads;
use cachemaint::Cache;
use cachemaint::cache::Choice;
use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// Words of a line.
const LINE: usize = 8;
/// Words of a header.
const HEADER: usize = 2;
/// The initial value of checksums, in place of a file's own.
const SEED: u32 = 0x5eed_cafe;

/// The start of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "no third way is measured")]
pub enum Packing {
    /// At the end of the previous record.
    Packed,
    /// On a new line.
    Lines,
}

/// A log that one thread appends to.
#[derive(Debug)]
pub struct Log<'a> {
    words: &'a [AtomicU64],
    packing: Packing,
    /// The index of the next record among the words.
    end: usize,
    /// The position of the first word.
    position: u64,
}

impl<'a> Log<'a> {
    /// Returns a log in `words`, which must begin at a line.
    #[must_use]
    pub const fn new(words: &'a [AtomicU64], packing: Packing) -> Self {
        Self { words, packing, end: 0, position: 0 }
    }

    /// Starts another lap if there is no space for this many records of `payload` bytes.
    pub fn make_room(&mut self, records: usize, payload: usize) {
        if self.words.len() - self.end < records * self.record(payload) {
            self.position += size_of_val(self.words) as u64;
            self.end = 0;
        }
    }

    /// Returns the number of words of a record of `payload` bytes.
    const fn record(&self, payload: usize) -> usize {
        let words = HEADER + payload / WORD;
        match self.packing {
            Packing::Packed => words,
            Packing::Lines => words.next_multiple_of(LINE),
        }
    }

    /// Stores a record, and returns its words.
    #[inline]
    fn store(&mut self, payload: &[u8], store: Store) -> &'a [AtomicU64] {
        let words = &self.words[self.end..self.end + self.record(payload.len())];
        let position = self.position + (self.end * WORD) as u64;
        store(words, position, payload);
        self.end += words.len();
        words
    }

    /// Checks the last records of the log, and that they have these numbers.
    ///
    /// # Panics
    /// If one differs from the appended record.
    pub fn check(&self, payloads: &Payloads, numbers: Range<usize>) {
        let record = self.record(payloads.size());
        let first = self.end - numbers.len() * record;
        for (number, at) in numbers.zip((first..).step_by(record)) {
            let position = self.position + (at * WORD) as u64;
            let payload = read(&self.words[at..], position, payloads.size());
            assert_eq!(payload, payloads.of(number), "record {number}");
        }
    }
}

/// Stores the record of a position and a payload in words. The payload has whole words.
type Store = fn(&[AtomicU64], u64, &[u8]);

#[inline]
fn header(position: u64, payload: &[u8]) -> [u64; HEADER] {
    #[repr(align(8))]
    struct Rest([u8; 12]);
    let kind_and_length = 1 << 24 | payload.len() as u64;
    let mut rest = Rest([0; 12]);
    rest.0[..8].copy_from_slice(&position.to_le_bytes());
    rest.0[8..].copy_from_slice(&kind_and_length.to_le_bytes()[..4]);
    let checksum = crc32c::crc32c_append(crc32c::crc32c_append(SEED, &rest.0), payload);
    [u64::from(checksum) | kind_and_length << 32, position]
}

/// Stores a record with ordinary stores.
#[inline]
fn store(words: &[AtomicU64], position: u64, payload: &[u8]) {
    for (word, value) in words.iter().zip(header(position, payload)) {
        word.store(value, Ordering::Relaxed);
    }
    let words = &words[HEADER..HEADER + payload.len() / WORD];
    let to = words.as_ptr().cast::<u8>().cast_mut();
    // SAFETY: the payload is as long as these words, which may be changed through a shared reference, are not part of
    // it, and have been reserved for this thread.
    unsafe { core::ptr::copy_nonoverlapping(payload.as_ptr(), to, size_of_val(words)) };
}

/// Fills all words with streaming stores; words after the payload become 0.
#[cfg(target_arch = "x86_64")]
#[inline]
fn stream(words: &[AtomicU64], position: u64, payload: &[u8]) {
    let (payload_words, _) = payload.as_chunks::<WORD>();
    let payload_words = payload_words.iter().map(|word| u64::from_ne_bytes(*word));
    let values = header(position, payload).into_iter().chain(payload_words);
    for (word, value) in words.iter().zip(values.chain(core::iter::repeat(0))) {
        let to = word.as_ptr().cast();
        // SAFETY: the word may be changed through a shared reference, and has been reserved for this
        // thread; SFENCE follows before anything else accesses it.
        unsafe { core::arch::x86_64::_mm_stream_si64(to, value.cast_signed()) };
    }
}

/// Returns the payload of the record at the beginning of `words`.
///
/// # Panics
/// If there is no valid record.
fn read(words: &[AtomicU64], position: u64, payload: usize) -> Vec<u8> {
    let mut words = words.iter().map(|word| word.load(Ordering::Relaxed));
    let found = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
    let payload: Vec<u8> = words.take(payload / WORD).flat_map(u64::to_ne_bytes).collect();
    assert_eq!(found, header(position, &payload), "the header of the record at {position}");
    payload
}

/// Appends the records with these numbers in groups of this size. Each group takes one write-back of its lines and one
/// fence.
pub type AppendEach = fn(&mut Log<'_>, &Payloads, Range<usize>, usize);

fn append_each<I: Instructions>(
    log: &mut Log<'_>,
    payloads: &Payloads,
    numbers: Range<usize>,
    group: usize,
) {
    for first in numbers.step_by(group) {
        let from = log.end;
        for number in first..first + group {
            log.store(payloads.of(number), store);
        }
        persist::<I>(&log.words[from / LINE * LINE..log.end]);
    }
}

/// Appends the records with streaming stores. This is durable on a CPU whose vendor promises that they leave no data in
/// the caches.
#[cfg(target_arch = "x86_64")]
pub fn stream_each(log: &mut Log<'_>, payloads: &Payloads, numbers: Range<usize>, group: usize) {
    for first in numbers.step_by(group) {
        for number in first..first + group {
            log.store(payloads.of(number), stream);
        }
        Clwb::after();
    }
}

/// A log that several threads append to, with records of one size. A record is acknowledged when everything before it
/// is durable.
#[derive(Debug)]
pub struct SharedLog<'a> {
    words: &'a [AtomicU64],
    /// Words of a record.
    record: usize,
    /// The number of records started.
    begun: OwnLine,
    /// The number of leading records that are durable.
    durable: OwnLine,
    /// For each slot, the number of its last durable record plus 1.
    done: [AtomicU64; IN_FLIGHT],
}

/// More than the number of threads, each of which has one unacknowledged record.
const IN_FLIGHT: usize = 64;

#[repr(align(64))]
#[derive(Debug)]
struct OwnLine(AtomicU64);

impl<'a> SharedLog<'a> {
    /// Returns an empty log for records of `payload` bytes in `words`, which must begin at a line.
    #[must_use]
    pub const fn new(words: &'a [AtomicU64], payload: usize) -> Self {
        Self {
            words,
            record: HEADER + payload / WORD,
            begun: OwnLine(AtomicU64::new(0)),
            durable: OwnLine(AtomicU64::new(0)),
            done: [const { AtomicU64::new(0) }; IN_FLIGHT],
        }
    }

    /// Returns the index and the position of a record.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "where there is so much memory there are 64 bits"
    )]
    const fn place(&self, number: u64) -> (usize, u64) {
        let in_a_lap = self.words.len() / self.record;
        let at = (number as usize % in_a_lap) * self.record;
        (at, number * (self.record * WORD) as u64)
    }

    #[inline]
    fn append<I: Instructions>(&self, payload: &[u8]) {
        let number = self.begun.0.fetch_add(1, Ordering::Relaxed);
        let (at, position) = self.place(number);
        store(&self.words[at..], position, payload);
        persist::<I>(&self.words[at / LINE * LINE..at + self.record]);
        self.done_at(number).store(number + 1, Ordering::Release);
        self.acknowledge(number);
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
    const fn done_at(&self, number: u64) -> &AtomicU64 {
        &self.done[number as usize % IN_FLIGHT]
    }

    /// Waits until a record and everything before it are durable.
    #[inline]
    fn acknowledge(&self, number: u64) {
        loop {
            let durable = self.durable.0.load(Ordering::Acquire);
            if durable > number {
                return;
            }
            if self.done_at(durable).load(Ordering::Acquire) == durable + 1 {
                // Either this thread or another one counts the record.
                let counted = &self.durable.0;
                let (Ok(_) | Err(_)) = counted.compare_exchange(
                    durable,
                    durable + 1,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
            } else {
                core::hint::spin_loop();
            }
        }
    }

    /// Checks the last records, appended by threads that each started with the same numbers.
    ///
    /// # Panics
    /// If one differs from the appended record, or was not acknowledged.
    pub fn check(&self, payloads: &Payloads, records: usize) {
        let begun = self.begun.0.load(Ordering::Acquire);
        assert_eq!(self.durable.0.load(Ordering::Acquire), begun, "records that are durable");
        for number in begun - records as u64..begun {
            let (at, position) = self.place(number);
            let payload = read(&self.words[at..], position, payloads.size());
            assert!(payloads.contain(&payload), "the payload of record {number}");
        }
    }
}

/// Appends the records with these numbers, each durable and acknowledged before the next.
pub type AppendShared = fn(&SharedLog<'_>, &Payloads, Range<usize>);

fn append_shared<I: Instructions>(log: &SharedLog<'_>, payloads: &Payloads, numbers: Range<usize>) {
    for number in numbers {
        log.append::<I>(payloads.of(number));
    }
}

/// Writes back the lines of words that begin at a line, and waits for completion.
#[inline]
fn persist<I: Instructions>(words: &[AtomicU64]) {
    I::before();
    words.iter().step_by(LINE).for_each(I::writeback);
    I::after();
}

/// The loops of one write-back instruction.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is only made here")]
pub struct Loops {
    /// The loop of one thread.
    pub each: AppendEach,
    /// The loop of several threads.
    pub shared: AppendShared,
}

impl Loops {
    const fn of<I: Instructions>() -> Self {
        Self { each: append_each::<I>, shared: append_shared::<I> }
    }
}

/// Returns the loops for the instruction and the fences that `cache` uses to write back, or `None` if there is no such
/// loop here.
#[must_use]
pub fn persisting(cache: Cache) -> Option<Loops> {
    let Choice { instruction, before, after, .. } = cache.writeback_choice();
    Some(match (before, instruction.name, after) {
        #[cfg(target_arch = "x86_64")]
        (None, "clwb", "sfence") => Loops::of::<Clwb>(),
        #[cfg(target_arch = "x86_64")]
        (None, "clflushopt", "sfence") => Loops::of::<Clflushopt>(),
        #[cfg(target_arch = "x86_64")]
        (None, "clflush", "sfence") => Loops::of::<Clflush>(),
        #[cfg(target_arch = "x86_64")]
        (Some("mfence"), "clflush", "mfence") => Loops::of::<ClflushBetweenFences>(),
        #[cfg(target_arch = "aarch64")]
        (None, "dc cvac", "dsb sy") => Loops::of::<DcCvac>(),
        #[cfg(target_arch = "aarch64")]
        (None, "dc cvap", "dsb sy") => Loops::of::<DcCvap>(),
        _ => return None,
    })
}

/// A write-back instruction and its fences.
trait Instructions {
    fn before();
    fn writeback(line: &AtomicU64);
    fn after();
}

macro_rules! instructions {
    ($($name:ident: $before:literal, $writeback:literal, $after:literal;)*) => {$(
        #[derive(Debug)]
        enum $name {}

        impl Instructions for $name {
            #[inline(always)]
            fn before() {
                // SAFETY: a fence of every CPU of the architecture, or nothing.
                unsafe { asm!($before, options(nostack, preserves_flags)) };
            }

            #[inline(always)]
            fn writeback(line: &AtomicU64) {
                // SAFETY: the handle that the loops were chosen for has the instruction, and the line can
                // be read.
                unsafe { asm!($writeback, line = in(reg) line, options(nostack, preserves_flags)) };
            }

            #[inline(always)]
            fn after() {
                // SAFETY: a fence of every CPU of the architecture.
                unsafe { asm!($after, options(nostack, preserves_flags)) };
            }
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
instructions! {
    Clwb: "", "clwb [{line}]", "sfence";
    Clflushopt: "", "clflushopt [{line}]", "sfence";
    Clflush: "", "clflush [{line}]", "sfence";
    ClflushBetweenFences: "mfence", "clflush [{line}]", "mfence";
}

#[cfg(target_arch = "aarch64")]
instructions! {
    DcCvac: "", "dc cvac, {line}", "dsb sy";
    // DC CVAP by its encoding, which every assembler accepts.
    DcCvap: "", "sys #3, c7, c12, #1, {line}", "dsb sy";
}
