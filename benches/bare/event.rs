//! Events recorded in a ring, with the minimum that a self-verifying record needs.
//!
//! A record fills a line: a word with the CRC32C of everything else, the length and the event's number; a word with the
//! timestamp; the payload of 40 bytes. The word with the checksum is stored last. If records are written back, then
//! many at a time.

#![cfg_attr(
    any(target_arch = "aarch64", target_arch = "x86_64"),
    expect(
        unsafe_code,
        reason = "time stamp counters have no safe form, and the CPU is asked for CRC32C"
    )
)]

use crate::measure::lines::WORD;
use crate::payloads::event;
use cachemaint::Cache;
use cachemaint::medium::Backing;
use cachemaint::medium::Memory;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// Words of a record.
const RECORD: usize = 8;
/// Words of a payload.
pub const PAYLOAD: usize = 5;
/// The words covered by a checksum: event and length, timestamp, payload.
const CHECKED: usize = 2 + PAYLOAD;
/// The initial value of checksums, in place of a file's own.
const SEED: u32 = 0x5eed_cafe;
/// The kind of the events.
const EVENT: u64 = 7;

/// A ring that one thread records in.
#[derive(Debug)]
pub struct Ring<'a> {
    words: &'a [AtomicU64],
    next: usize,
}

impl<'a> Ring<'a> {
    /// Returns a ring in `words`, which must begin at a line.
    #[must_use]
    pub const fn new(words: &'a [AtomicU64]) -> Self {
        Self { words, next: 0 }
    }

    #[inline(always)]
    fn record(&mut self, first: u64, events: u64, checksum: impl Fn([u64; CHECKED]) -> u32) {
        for number in first..first + events {
            let to = &self.words[self.next..self.next + RECORD];
            let [header, rest @ ..] = record(time_stamp(), event(number), &checksum);
            for (word, value) in to[1..].iter().zip(rest) {
                word.store(value, Ordering::Relaxed);
            }
            to[0].store(header, Ordering::Release);
            let next = self.next + RECORD;
            self.next = if next + RECORD > self.words.len() { 0 } else { next };
        }
    }

    /// Returns the number of events that fill this many bytes.
    #[must_use]
    pub const fn events_of(bytes: usize) -> usize {
        bytes / WORD / RECORD
    }

    /// Writes the last events back, with a fence.
    pub fn write_back(&self, cache: Cache, events: usize) {
        let (len, medium) = (events * RECORD, Memory::new(self.words, cache, Backing::Ram));
        // The part before the end of the ring, and the part from its beginning.
        let before = len.saturating_sub(self.next);
        let parts =
            [self.words.len() - before..self.words.len(), self.next - (len - before)..self.next];
        for Range { start, end } in parts {
            medium.issue_writeback((start * WORD) as u64..(end * WORD) as u64);
        }
        medium.fence();
    }

    /// Checks the last record.
    ///
    /// # Panics
    /// If it is not the event of this number.
    pub fn check(&self, number: u64) {
        let end = if self.next == 0 { self.words.len() / RECORD * RECORD } else { self.next };
        let found = &self.words[end - RECORD..end];
        let found: [u64; RECORD] = core::array::from_fn(|at| found[at].load(Ordering::Relaxed));
        assert_eq!(found[2..CHECKED], event(number), "the payload of event {number}");
        assert_eq!(found, record(found[1], event(number), by_tables), "event {number}");
    }
}

/// Returns the words of a record; the last one is left over by the payload.
#[inline(always)]
fn record(
    time_stamp: u64,
    payload: [u64; PAYLOAD],
    checksum: impl Fn([u64; CHECKED]) -> u32,
) -> [u64; RECORD] {
    let event_and_length = EVENT << 16 | (PAYLOAD * WORD) as u64;
    let mut words = [0; RECORD];
    words[..2].copy_from_slice(&[event_and_length, time_stamp]);
    words[2..CHECKED].copy_from_slice(&payload);
    let [checked @ .., _] = words;
    words[0] = u64::from(checksum(checked)) | event_and_length << 32;
    words
}

/// Records events in a ring. The arguments are the number of the first event and the number of events.
pub type Record = fn(&mut Ring<'_>, u64, u64);

/// Returns the loop that computes checksums with the CPU's instruction, or the one that uses tables.
#[must_use]
pub fn recording() -> Record {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the CPU has SSE 4.2.
        return |ring, first, events| unsafe { record_by_sse(ring, first, events) };
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("crc") {
        // SAFETY: the CPU has FEAT_CRC32.
        return |ring, first, events| unsafe { record_by_crc(ring, first, events) };
    }
    |ring, first, events| ring.record(first, events, by_tables)
}

/// # Safety
/// The CPU has SSE 4.2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is 0")]
unsafe fn record_by_sse(ring: &mut Ring<'_>, first: u64, events: u64) {
    use core::arch::x86_64::_mm_crc32_u64;
    ring.record(first, events, |words| {
        !words.into_iter().fold(u64::from(!SEED), |crc, word| _mm_crc32_u64(crc, word)) as u32
    });
}

/// # Safety
/// The CPU has `FEAT_CRC32`.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "crc")]
unsafe fn record_by_crc(ring: &mut Ring<'_>, first: u64, events: u64) {
    use core::arch::aarch64::__crc32cd;
    ring.record(first, events, |words| {
        !words.into_iter().fold(!SEED, |crc, word| __crc32cd(crc, word))
    });
}

/// Returns the CRC32C of words.
fn by_tables(words: [u64; CHECKED]) -> u32 {
    words.into_iter().fold(SEED, |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes()))
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn time_stamp() -> u64 {
    // SAFETY: every CPU of the architecture has it, and user mode may read it wherever the system's own clock does.
    // clock does.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn time_stamp() -> u64 {
    let ticks;
    // SAFETY: every CPU of the architecture has it, and Linux lets user mode read it.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
    }
    ticks
}

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
fn time_stamp() -> u64 {
    use std::sync::LazyLock;
    use std::time::Instant;
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
