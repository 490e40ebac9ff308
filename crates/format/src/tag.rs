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
