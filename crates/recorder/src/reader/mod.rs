//! Reading recordings: only headers and records with a valid tag are used.
//!
//! # Work
//! Whatever a file contains, all reads together cover at most 20 times the size of the file:
//! - A sub-buffer is searched for records once. A search reads one word at each place, and ends after verifying six
//!   times the size in vain. The last record may have the whole size: 8 times the size. Valid records are read up to four
//!   times, to find, verify and copy them.
//! - All headers are read once to find the newest, and one at the start of each sub-buffer, at its end and at each gap
//!   in it: 2.5 times the size for sub-buffers of 256 bytes, and less for larger ones.
//!
//! The memory is one [`Events`](shard::Events) per shard.

#[cfg(feature = "alloc")]
pub(super) mod merged;
pub(super) mod shard;
pub(super) mod sub_buffer;

use super::error::Error;
use super::events::EventTable;
use super::format::{Description, HEADER, Header};
#[cfg(doc)]
use crate::FormatError;
use cachemaint::medium::{OpenError, Readable};
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::sync::fence;
use core::sync::atomic::Ordering::Acquire;

/// A reader of a recording.
///
/// It needs no cooperation from the writer: each record is copied and then verified. A record that is overwritten
/// meanwhile does not verify and is skipped. See the example of the [crate](super).
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    description: Description,
    is_root_damaged: bool,
}

impl<S: Readable> Reader<S> {
    /// Opens the recording in a source for reading.
    ///
    /// # Errors
    /// [`FormatError::Foreign`] with zeros if the source has no recording. [`FormatError::Truncated`],
    /// [`FormatError::Foreign`], [`FormatError::Version`] and [`FormatError::Roots`] for other content, which they
    /// describe. [`FormatError::Medium`] if no root can be read.
    pub fn open(source: S) -> Result<Self, OpenError<S, Error<S::Error>>> {
        match Description::load(&source, Rereadings::BESIDE_WRITERS) {
            Ok((description, loaded)) => {
                let is_root_damaged = loaded.is_damaged.contains(&true);
                Ok(Self { source, description, is_root_damaged })
            }
            Err(error) => Err(OpenError::new(source, Error::format(error))),
        }
    }

    /// Returns a reader of the recording with this description.
    pub(super) const fn of(source: S, description: Description) -> Self {
        Self { source, description, is_root_damaged: false }
    }

    /// Returns the description in the file's root.
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// Returns true if one of the two copies of the root was torn or damaged when the reader was opened. The next
    /// opening for recording replaces it.
    pub const fn is_root_damaged(&self) -> bool {
        self.is_root_damaged
    }

    /// Returns the length that a buffer for payloads must have.
    pub const fn largest_payload(&self) -> usize {
        self.description.geometry().largest_payload().next_multiple_of(8)
    }

    /// Reads the names of events and the types of their fields from the file.
    ///
    /// Damage is not an error: events then appear without names. See [`EventTable::is_damaged`].
    ///
    /// # Errors
    /// [`FormatError::Medium`] if the medium has failed.
    ///
    /// # Cost
    /// Reads a page. The returned value takes 8 KiB.
    pub fn event_table(&self) -> Result<EventTable, Error<S::Error>> {
        self.unless_failed(EventTable::read(&self.source, &self.description))
    }

    /// Returns `read`, unless the medium has failed: then it may not be what is stored.
    pub(super) fn unless_failed<T>(&self, read: T) -> Result<T, Error<S::Error>> {
        self.source.check().map(|()| read).map_err(Error::medium)
    }

    /// Returns the header in the slot of a sequence number, if it is valid.
    ///
    /// The header is at least as new as everything that was read before this call, and later reads are at least as new
    /// as the header.
    pub(super) fn header(&self, shard: u32, sequence: u64) -> Result<Option<Header>, S::Error> {
        let (geometry, mut bytes) = (self.description.geometry(), [0; HEADER as usize]);
        fence(Acquire);
        self.source.read(geometry.sub_buffer(shard, sequence), &mut bytes)?;
        fence(Acquire);
        let header = Header::valid(&bytes, self.description.identity);
        let is_here = |header: &Header| {
            header.shard == shard && geometry.slot(header.sequence) == geometry.slot(sequence)
        };
        Ok(header.filter(is_here))
    }

    /// Returns the newest valid header of a shard: within the last opening, the one with the highest sequence number.
    pub(super) fn newest_header(&self, shard: u32) -> Option<Header> {
        let slots = 0..u64::from(self.description.sub_buffers);
        let headers = slots.filter_map(|slot| self.header(shard, slot).ok().flatten());
        headers.max_by_key(|header| (header.generation, header.sequence))
    }
}
