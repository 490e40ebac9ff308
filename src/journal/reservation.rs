//! Records that are written piece by piece into space that is reserved for them.

use super::Position;
use super::append::{Claim, Pending};
use super::error::{Error, ErrorKind};
use super::format::geometry::HEADER;
use super::format::record::Header;
use crate::format::tag;
use crate::medium::Medium;

/// Space for a record, which is written piece by piece. See [`Journal::reserve`](super::Journal::reserve).
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::journal::Journal;
/// use std::io::Write as _;
///
/// let (journal, _) = Journal::open_or_create(medium)?;
/// let mut reservation = journal.reserve(13)?;
/// write!(reservation, "paid {} to {}", 3, "Ada")?; // into its place, without a copy between
/// reservation.finish()?;
/// assert_eq!(journal.records()?.next().unwrap()?.payload, b"paid 3 to Ada");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
#[must_use = "dropping it abandons the record"]
pub struct Reservation<'j, M: Medium> {
    claim: Claim<'j, M>,
    len: u64,
    written: u64,
    header: Header,
    tag: tag::Running,
    /// The bytes after the last whole word that was stored.
    word: [u8; 8],
}

impl<'j, M: Medium> Reservation<'j, M> {
    pub(super) fn new(claim: Claim<'j, M>, len: u64) -> Self {
        let (header, seed) = claim.header(len);
        Self { claim, len, written: 0, header, tag: tag::Running::new(seed), word: [0; 8] }
    }

    /// Returns the position that the record will have.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position(self.claim.placement.record)
    }

    /// Returns the number of bytes that are still to be written.
    const fn left(&self) -> u64 {
        self.len - self.written
    }

    /// Writes the next bytes. [`std::io::Write`] does the same, and returns an error where this panics.
    ///
    /// # Panics
    /// If the reservation has no room for them.
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        let (len, left) = (bytes.len() as u64, self.left());
        assert!(len <= left, "{len} bytes for a reservation that has {left} left");
        self.tag.append(bytes);
        let within = (self.written % 8) as usize;
        let (head, rest) = bytes.split_at(bytes.len().min((8 - within) % 8));
        self.word[within..within + head.len()].copy_from_slice(head);
        self.written += head.len() as u64;
        if !head.is_empty() && within + head.len() == 8 {
            self.store(self.written - 8, &self.word.clone());
        }
        let (whole, tail) = rest.split_at(rest.len() & !7);
        if !whole.is_empty() {
            self.store(self.written, whole);
        }
        self.word[..tail.len()].copy_from_slice(tail);
        self.written += rest.len() as u64;
    }

    /// Stores whole words.
    fn store(&self, at: u64, words: &[u8]) {
        let Claim { journal, placement, .. } = &self.claim;
        journal.medium.write(journal.geometry.place(placement.record) + HEADER + at, words);
    }

    /// Makes the record durable, and waits until it is acknowledged.
    ///
    /// # Errors
    /// [`ErrorKind::Short`], if bytes are missing; no record is appended then. Otherwise as
    /// [`Journal::append`](super::Journal::append).
    pub fn finish(self) -> Result<Position, Error<M::Error>> {
        self.stored()?.1.wait()
    }

    /// Makes the record durable without waiting for those before it.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn submit(self) -> Result<Pending<'j, M>, Error<M::Error>> {
        let (has_moved, pending) = self.stored()?;
        Ok(pending.announced(has_moved))
    }

    /// Makes the record durable. Returns it, and true if the watermark has moved over it.
    fn stored(mut self) -> Result<(bool, Pending<'j, M>), Error<M::Error>> {
        let (len, written) = (self.len, self.written);
        if written < len {
            return Err(Error::new(ErrorKind::Short { written, reserved: len }));
        }
        let rest = (len % 8) as usize;
        if rest > 0 {
            self.word[rest..].fill(0);
            self.store(len - rest as u64, &self.word.clone());
        }
        let Self { claim, header, tag, .. } = self;
        let position = claim.placement.record;
        let header = Header { tag: tag.finish(), ..header }.bytes(position);
        let at = claim.journal.geometry.place(position);
        claim.journal.medium.write(at, &header);
        // Another thread may have filled the reservation.
        claim.journal.medium.order_observed();
        claim.complete(at..at + HEADER + len.next_multiple_of(8), Ok(()))?;
        Ok(claim.done())
    }
}

/// Writes the next bytes, as [`write_bytes`](Self::write_bytes) does. If the reservation has no room for them,
/// none is written, and the error is [`InvalidInput`](std::io::ErrorKind::InvalidInput). No byte is durable before
/// [`finish`](Self::finish) or [`submit`](Self::submit): a flush does nothing.
#[cfg(feature = "std")]
impl<M: Medium> std::io::Write for Reservation<'_, M> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let left = self.left();
        if buf.len() as u64 > left {
            let text = std::format!(
                "{} bytes for a reservation that has {left} left; reserve as many bytes as the record has",
                buf.len()
            );
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text));
        }
        self.write_bytes(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
