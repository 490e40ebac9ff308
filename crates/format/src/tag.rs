//! Tags, by which the content of a medium proves itself: XXH3 of 64 bits, with a seed.
//!
//! The seed is a key: it binds a record to its file, its place and its time, so that the same bytes have another tag
//! elsewhere. XXH3 is not linear. A CRC is linear, and that made it blind. A payload which ends with the CRC32C of its
//! own bytes, as usual framing does, leaves a CRC32C that goes on over it with the same value for every payload. So the
//! header of one record and the payload of another proved each other.
//!
//! A tag finds accidents: of unrelated bytes one in 2^64 passes. It does not protect against people.
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

/// The kinds of bytes that have tags. The numbers are those of the formats, and none is reused.
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
    /// A value that stands in a record.
    Value = 5,
    /// The epoch of a log.
    Epoch = 6,
    /// The word that confirms a commit of a store.
    Confirmation = 7,
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
    /// The number of events that a shard has lost.
    Losses = 35,
}

/// Returns the key of bytes: XXH3, with the kind as its seed, of the identity of the file, the epoch and the place, in
/// that order. So bytes of another file, another time, another place or another kind do not match their tag.
#[inline]
#[must_use]
pub fn key(identity: Identity, epoch: u64, place: u64, kind: Kind) -> u64 {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&identity.0);
    bytes[16..24].copy_from_slice(&epoch.to_le_bytes());
    bytes[24..].copy_from_slice(&place.to_le_bytes());
    of(kind as u64, &bytes)
}

/// A tag of bytes that come piece by piece.
#[derive(Clone)]
pub struct Running(RawHasher<[u8; DEFAULT_SECRET_LENGTH]>);

impl Running {
    /// Returns the tag of no bytes yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        match SecretBuffer::with_seed(seed, [0; DEFAULT_SECRET_LENGTH]) {
            Ok(secret) => Self(RawHasher::new(secret)),
            Err(_) => unreachable!("the secret has the length that is asked for"),
        }
    }

    /// Goes on over more bytes.
    pub fn append(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Returns the tag of all that was appended.
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
