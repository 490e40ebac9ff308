//! The keys of tags: the seeds that bind bytes to their store, their commit and their place.
//!
//! Without them a tag would prove any bytes that once had it: a root of an earlier commit, or a chunk of another blob.

use crate::format::identity::Identity;
use crate::format::tag;

/// Returns the key of the root of the table of a generation.
pub(in crate::preserve) fn root(generation: u64) -> u64 {
    tag::of_words(0, [generation, 0])
}

/// Returns the key of a history.
pub(in crate::preserve) fn history(identity: Identity, number: u64) -> u64 {
    tag::of_words(store(identity), [number, 0])
}

/// Returns the key of the pages of a level below the root. It need not name the page or the commit: the page above
/// stores the tag of one page of one commit.
pub(in crate::preserve) fn page(identity: Identity, level: usize) -> u64 {
    tag::of_words(store(identity), [level as u64, 1])
}

fn store(Identity(identity): Identity) -> u64 {
    tag::of(0, &identity)
}

/// The key of a blob.
#[derive(Clone, Copy, Debug)]
pub(in crate::preserve) struct BlobKey(u64);

impl BlobKey {
    /// Returns the key of the blob that a generation put at an offset. The name is not part of the key, since a renamed
    /// blob is not written again.
    pub(in crate::preserve) fn new(identity: Identity, generation: u64, at: u64) -> Self {
        Self(tag::of_words(store(identity), [generation, at]))
    }

    /// Returns the key of a chunk. The number after the last chunk's gives the key of the list of tags.
    pub(in crate::preserve) fn chunk(self, number: u64) -> u64 {
        tag::of_words(self.0, [number, 0])
    }
}
