//! The payloads of records: bytes that are never all zero, and differ from one record to the next.

use crate::measure::lines::{WORD, data};

/// The number of different payloads. All of them stay in the first-level cache.
const DIFFERENT: usize = 4;

/// Payloads of one size.
#[derive(Clone, Debug)]
pub struct Payloads {
    bytes: Vec<Vec<u8>>,
}

impl Payloads {
    /// Returns payloads of `bytes` bytes, a multiple of 8.
    ///
    /// # Panics
    /// If `bytes` is not a multiple of 8.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        assert!(bytes.is_multiple_of(WORD), "{bytes} is not a multiple of {WORD}");
        let payload = |seed: usize| {
            let mut payload = vec![0; bytes];
            for (place, word) in payload.chunks_exact_mut(WORD).enumerate() {
                word.copy_from_slice(&data(seed as u64 + 1, place).to_ne_bytes());
            }
            payload
        };
        Self { bytes: (0..DIFFERENT).map(payload).collect() }
    }

    /// Returns the payload of the record with this number.
    #[inline]
    #[must_use]
    pub fn of(&self, number: usize) -> &[u8] {
        &self.bytes[number % DIFFERENT]
    }

    /// Returns true if this is one of the payloads.
    #[must_use]
    pub fn contain(&self, bytes: &[u8]) -> bool {
        self.bytes.iter().any(|payload| payload == bytes)
    }

    /// Returns the size of a payload in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes[0].len()
    }
}

/// Returns the payload of the event with a number: the number, and [`EVENT_BYTES`].
#[inline]
#[must_use]
pub const fn event(number: u64) -> [u64; 5] {
    let [a, b, c, d] = EVENT_WORDS;
    [number, a, b, c, d]
}

const EVENT_WORDS: [u64; 4] = [data(1, 1), data(1, 2), data(1, 3), data(1, 4)];

/// The payload of every event after its number.
pub const EVENT_BYTES: [u8; 32] = {
    let [a, b, c, d] = EVENT_WORDS;
    let words = [a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_le_bytes()];
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = words[at / WORD][at % WORD];
        at += 1;
    }
    bytes
};
