//! Tags that prove the content of a medium: 64-bit XXH3 with a seed.
//!
//! The seed is a key that binds a record to its file, place and time, so that the same bytes have another tag
//! elsewhere. A CRC cannot do this, because it is linear: a payload that ends with its own CRC32C, as usual framing
//! does, leaves the same running CRC32C whatever the payload is. The header of one record and the payload of another
//! then verify together.
//!
//! A tag detects accidents: unrelated bytes pass with a probability of 1 in 2^64. It does not protect against
//! attackers.
//!
//! Source: the XXH3 specification (xxHash project, `doc/xxhash_spec.md`, version 0.2.0).

use super::identity::Identity;
use core::cell::Cell;
use core::fmt;
use core::hash::Hasher;
use twox_hash::XxHash3_64;
use twox_hash::xxhash3_64::{DEFAULT_SECRET_LENGTH, RawHasher, SecretBuffer};

/// Returns the tag of bytes.
#[inline]
#[must_use]
pub fn of(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

/// Returns the tag of two words.
#[inline]
pub fn of_words(seed: u64, words: [u64; 2]) -> u64 {
    of(seed, words.map(u64::to_le_bytes).as_flattened())
}

/// The kinds of bytes that have tags. The numbers are part of the formats, and none is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// A root.
    Root = 1,
    /// A record of a store's log.
    Record = 2,
    /// A chunk of a blob.
    Chunk = 3,
    /// The list of a blob's tags.
    Tags = 4,
    /// The epoch of a log.
    Epoch = 6,
    /// The mark of a log that was left for a newer one.
    Left = 8,
    /// The epoch of a journal.
    JournalEpoch = 16,
    /// The mark of a journal's segment.
    JournalMark = 17,
    /// An event of a recording.
    Event = 32,
    /// The header of a sub-buffer.
    SubBuffer = 33,
    /// The texts of events.
    Texts = 34,
}

/// Returns the key for tags: XXH3, seeded with the kind, over the identity of the file, the epoch and the place, in
/// this order. Bytes of another file, time, place or kind therefore do not match their tag.
#[inline]
#[must_use]
pub fn key(identity: Identity, epoch: u64, place: u64, kind: Kind) -> u64 {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&identity.0);
    bytes[16..24].copy_from_slice(&epoch.to_le_bytes());
    bytes[24..].copy_from_slice(&place.to_le_bytes());
    of(kind as u64, &bytes)
}

/// The words of XXH3's default secret that inputs of 17 to 64 bytes use.
const SECRET: [u64; 8] = [
    0xbe4b_a423_396c_feb8,
    0x1cad_21f7_2c81_017c,
    0xdb97_9083_e96d_d4de,
    0x1f67_b3b7_a4a4_4072,
    0x78e5_c0cc_4ee6_79cb,
    0x2172_ffcc_7dd0_5a82,
    0x8e24_43f7_7446_08b8,
    0x4c26_3a81_e690_35e0,
];
const PRIME64_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_MX1: u64 = 0x1656_6791_9e37_79f9;

/// A seed for many short tags, kept with the secret that follows from it.
#[derive(Debug, Default)]
pub struct Keyed {
    seed: Cell<u64>,
    secret: [Cell<u64>; 8],
}

impl Keyed {
    /// Returns the seed.
    #[inline]
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed.get()
    }

    /// Changes the seed.
    pub fn set(&self, seed: u64) {
        self.seed.set(seed);
        let signed = [seed, seed.wrapping_neg()].into_iter().cycle();
        for ((word, secret), seed) in self.secret.iter().zip(SECRET).zip(signed) {
            word.set(secret.wrapping_add(seed));
        }
    }

    /// Returns the same tag as [`of`].
    #[inline(always)]
    #[must_use]
    pub fn of(&self, words: &[[u8; 8]]) -> u64 {
        let count = words.len();
        if !(3..=8).contains(&count) {
            return of(self.seed.get(), words.as_flattened());
        }
        let mix = |at: usize, secret: usize| {
            let low = u64::from_le_bytes(words[at]) ^ self.secret[secret].get();
            let high = u64::from_le_bytes(words[at + 1]) ^ self.secret[secret + 1].get();
            let product = u128::from(low) * u128::from(high);
            product as u64 ^ (product >> 64) as u64
        };
        let mut acc = (8 * count as u64).wrapping_mul(PRIME64_1);
        if count > 4 {
            acc = acc.wrapping_add(mix(2, 4)).wrapping_add(mix(count - 4, 6));
        }
        acc = acc.wrapping_add(mix(0, 0)).wrapping_add(mix(count - 2, 2));
        acc ^= acc >> 37;
        acc = acc.wrapping_mul(PRIME_MX1);
        acc ^ acc >> 32
    }
}

/// A tag that is computed over several pieces.
#[derive(Clone)]
pub struct Running(RawHasher<[u8; DEFAULT_SECRET_LENGTH]>);

impl Running {
    /// Returns the tag before any bytes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        match SecretBuffer::with_seed(seed, [0; DEFAULT_SECRET_LENGTH]) {
            Ok(secret) => Self(RawHasher::new(secret)),
            Err(_) => unreachable!("the secret has the required length"),
        }
    }

    /// Continues over more bytes.
    pub fn append(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Returns the tag of all bytes so far.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.0.finish()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Running").field(&self.finish()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Keyed, of};

    #[test]
    fn a_kept_secret_gives_the_same_tags() {
        let words: [[u8; 8]; 10] = core::array::from_fn(|at| {
            (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
        });
        let keyed = Keyed::default();
        for seed in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            keyed.set(seed);
            for count in 0..=10 {
                let words = &words[..count];
                assert_eq!(keyed.of(words), of(seed, words.as_flattened()), "{seed:x} {count}");
            }
        }
    }
}
