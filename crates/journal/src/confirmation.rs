//! The confirmation word: the position up to which everything is acknowledged.
//!
//! An append stores it after its fence, with a plain store and no write-back. It survives the end of the process, and a
//! power cut if its line or page happened to be written back. If the word is found, an invalid record before its
//! position is damaged, not torn.
//!
//! The low bits hold the position, counted in words. The other bits depend on it and on the key of the epoch, which is a
//! hash, so that a word of another epoch or with a flipped bit confirms nothing. One multiplication suffices for that:
//! products of unrelated keys have unrelated upper bits, and those of positions that differ in one bit differ there.

use super::geometry::{CONFIRMATION, GOLDEN, WORD};
use super::journal::Journal;
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::sync;
use core::ops::RangeInclusive;
use core::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

/// The number of times that a thread confirms beside others before they wait for it.
const ROUNDS: u32 = 3;

/// The number of bits of the position in the word, the low ones.
const BITS: u32 = 24;
const MASK: u64 = (1 << BITS) - 1;

impl<M: Medium> Journal<M> {
    /// Confirms that everything before `end` is acknowledged.
    #[inline]
    pub(super) fn confirm(&self, end: u64) {
        if self.confirming.is_taken() {
            self.in_flight.wait_for_others(|| self.confirming.is_taken());
        }
        self.store_word(end);
        if !self.in_flight.is_last(end) {
            self.confirm_beside_others(end);
        }
    }

    /// Confirms again as long as another thread may already have confirmed a later position. After a few rounds the other
    /// threads wait, so the last round comes once each of them has moved the watermark.
    #[cold]
    fn confirm_beside_others(&self, end: u64) {
        let mut end = end;
        for _ in 0..ROUNDS {
            if !self.confirms_later(&mut end) {
                return;
            }
        }
        let _taken = self.confirming.take(&self.in_flight);
        while self.confirms_later(&mut end) {}
    }

    /// Confirms the watermark if it is after `end`, and returns true if so.
    fn confirms_later(&self, end: &mut u64) -> bool {
        // Of two threads, at least one sees the other's watermark.
        sync::fence(SeqCst);
        let now = self.in_flight.durable();
        let is_later = now > *end;
        if is_later {
            *end = now;
            self.store_word(now);
        }
        is_later
    }

    #[inline]
    fn store_word(&self, end: u64) {
        // A reader that sees the word also sees the records before its position.
        self.medium.store(CONFIRMATION, word(self.epoch.key, end), Release);
    }
}

/// Returns the word that confirms a position.
#[inline]
const fn word(key: u64, position: u64) -> u64 {
    (key ^ position).wrapping_mul(GOLDEN) & !MASK | (position / WORD) & MASK
}

/// Returns the position within a range that the medium's word confirms.
pub(super) fn find<M: Readable>(medium: &M, key: u64, range: RangeInclusive<u64>) -> Option<u64> {
    // A word that cannot be read confirms nothing.
    let found = medium.try_load(CONFIRMATION, Relaxed).ok()?;
    let ahead = found.wrapping_sub(range.start() / WORD) & MASK;
    // The distance between positions with the same bits.
    let distance = (WORD << BITS) as usize;
    let mut positions = (range.start() + ahead * WORD..=*range.end()).step_by(distance);
    positions.find(|position| word(key, *position) == found)
}

#[cfg(test)]
#[cfg(not(cachemaint_loom))]
mod tests {
    use super::{CONFIRMATION, find, word};
    use alloc::vec::Vec;
    use cachemaint::medium::Bytes;

    /// The word has 24 bits of the position in words of 8 bytes, so they repeat after 2^27 bytes.
    #[test]
    fn of_positions_with_the_same_bits_the_right_one_is_found() {
        const LAP: u64 = 1 << 27;
        let found = |position, range| {
            let mut bytes = alloc::vec![0; CONFIRMATION as usize];
            bytes.extend_from_slice(&word(7, position).to_le_bytes());
            find(&Bytes(&bytes), 7, range)
        };
        let begin = LAP - 8;
        for position in [begin, LAP, LAP + begin, 2 * LAP, 3 * LAP + 64] {
            assert_eq!(found(position, begin..=4 * LAP), Some(position));
            assert_eq!(found(position, begin..=position), Some(position));
            assert_eq!(found(position, position..=position), Some(position));
        }
        let beyond: Vec<_> = [0, begin - 8, 4 * LAP + 8]
            .map(|at| found(at, begin..=4 * LAP))
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(beyond, [0; 0]);
    }
}
