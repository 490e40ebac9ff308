//! The boots in which a store was opened.

use super::stamp::BOOT;
use super::{Boot, Stamp};
use crate::reader::Reader;
use alloc::vec::Vec;
use cachemaint::medium::Readable;

/// The boots in which a store was opened, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(Vec<Boot>);

impl History {
    /// Reads a history from an opening's own bytes.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self(bytes.as_chunks().0.iter().map(Boot::read).collect())
    }

    /// Returns its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(Boot::bytes).collect()
    }

    /// Returns the bytes of the most recent boots, at most `most` bytes.
    pub(crate) fn bytes_within(&self, most: u64) -> Vec<u8> {
        let most = most as usize / BOOT;
        self.0[self.0.len().saturating_sub(most)..].iter().flat_map(Boot::bytes).collect()
    }

    /// Returns the history after an opening, in the last boot or in a new one.
    pub(crate) fn opened(mut self, now: Boot) -> Self {
        match self.0.last_mut() {
            Some(last) if last.stamp.is_same_boot(&now.stamp) == Some(true) => {
                let opened = last.opened.saturating_add(1);
                *last = Boot { opened, must_verify: now.must_verify, stamp: now.stamp, ..*last };
            }
            _ => self.0.push(now),
        }
        self
    }

    /// Returns the history after the store has grown.
    #[cfg(feature = "dax")]
    pub(crate) fn moved(mut self, placement: u64) -> Self {
        if let Some(last) = self.0.last_mut() {
            last.stamp.placement = placement;
        }
        self
    }

    /// Returns the circumstances of a commit at this time, after the last opening.
    pub(crate) fn stamp(&self, seconds: u64) -> Stamp {
        Stamp { seconds, ..self.0.last().map_or(Stamp::UNKNOWN, |last| last.stamp) }
    }

    /// Returns true if an opening must verify all blobs.
    pub(crate) fn must_verify(&self) -> bool {
        self.0.last().is_none_or(|last| last.must_verify)
    }

    pub(crate) fn boots(&self) -> &[Boot] {
        &self.0
    }
}

impl<R: Readable> Reader<R> {
    /// Returns the circumstances of the commit.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let (bytes, seconds) = self.circumstances();
        History::read(bytes).stamp(seconds)
    }

    /// Returns the boots in which the store was opened for writing, oldest first. It keeps the last 32, or fewer in a
    /// store of less than 2.5 MiB.
    #[must_use]
    pub fn history(&self) -> Vec<Boot> {
        History::read(self.circumstances().0).0
    }
}
