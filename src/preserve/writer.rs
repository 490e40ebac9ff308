//! Blobs that are put piece by piece.

use super::error::{Error, ErrorKind};
use super::format::occupied;
use super::reserve::Undo;
use super::stream::{PIECE, Stream};
use super::transaction::{Attributes, Transaction};
use crate::medium::Medium;
use alloc::vec::Vec;
use core::ops::Range;

impl<'s, M: Medium> Transaction<'s, M> {
    /// A blob that is written piece by piece; it is put when it is [finished](BlobWriter::finish).
    ///
    /// If its length is not known, it takes the largest free piece until then: so of several that are written at
    /// once say the length.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn writer<'t, 'a>(
        &'t mut self,
        attributes: impl Into<Attributes<'a>>,
        len: Option<u64>,
    ) -> Result<BlobWriter<'t, 's, 'a, M>, Error<M::Error>> {
        let attributes = attributes.into();
        let (place, undo) = self.place(&attributes, len)?;
        Ok(BlobWriter::new(self, attributes, place, len, undo))
    }
}

/// A blob that is written piece by piece. See [`Transaction::writer`].
///
/// It takes 5 KiB of memory, and 8 bytes for each 64 KiB that were written. If it is dropped before it is
/// finished, nothing is put.
#[derive(Debug)]
pub struct BlobWriter<'t, 's, 'a, M: Medium> {
    transaction: &'t mut Transaction<'s, M>,
    attributes: Attributes<'a>,
    place: Range<u64>,
    said: Option<u64>,
    /// What does not fill a piece yet.
    buffer: Vec<u8>,
    stream: Stream,
    /// The means to hold the places of before again; none once it is finished.
    undo: Option<Undo>,
    /// Whether the medium failed, so that something is missing.
    has_failed: bool,
}

impl<'t, 's, 'a, M: Medium> BlobWriter<'t, 's, 'a, M> {
    pub(super) fn new(
        transaction: &'t mut Transaction<'s, M>,
        attributes: Attributes<'a>,
        place: Range<u64>,
        said: Option<u64>,
        undo: Undo,
    ) -> Self {
        let key = transaction.key(place.start);
        let stream = Stream::new(transaction.medium(), key, place.start);
        Self {
            transaction,
            attributes,
            place,
            said,
            buffer: Vec::new(),
            stream,
            undo: Some(undo),
            has_failed: false,
        }
    }

    /// Bytes that were given to it.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.stream.len() + self.buffer.len() as u64
    }

    /// Appends bytes to the blob: all of them or, with an error, none.
    ///
    /// # Errors
    /// [`ErrorKind::Full`], if its length was not known and there is no room for more; [`ErrorKind::Length`], if it is
    /// more than was said. If the medium fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error<M::Error>> {
        self.check(self.written().saturating_add(bytes.len() as u64))?;
        let mut rest = bytes;
        if !self.buffer.is_empty() {
            let (first, behind) = rest.split_at(rest.len().min(PIECE - self.buffer.len()));
            self.buffer.extend_from_slice(first);
            rest = behind;
            if self.buffer.len() < PIECE {
                return Ok(());
            }
            let buffer = core::mem::take(&mut self.buffer);
            self.put(&buffer).map_err(Error::medium)?;
            self.buffer = buffer;
            self.buffer.clear();
        }
        let (pieces, last) = rest.split_at(rest.len() / PIECE * PIECE);
        self.put(pieces).map_err(Error::medium)?;
        self.buffer.extend_from_slice(last);
        Ok(())
    }

    /// Takes the blob into the transaction.
    ///
    /// # Errors
    /// [`ErrorKind::Length`], if it is less than was said; if the medium fails. Nothing is put then.
    pub fn finish(mut self) -> Result<(), Error<M::Error>> {
        let len = self.written();
        self.check(len)?;
        if let Some(said) = self.said.filter(|said| *said != len) {
            return Err(Error(ErrorKind::Length { written: len, said }));
        }
        let rest = core::mem::take(&mut self.buffer);
        self.put(&rest).map_err(Error::medium)?;
        let tag = self.stream.finish(self.transaction.medium()).map_err(Error::medium)?;
        let bytes = occupied(len, self.transaction.unit()).unwrap_or(0);
        self.undo = None;
        let Self { place, attributes, transaction, .. } = &mut self;
        transaction.shorten(place, place.start + bytes);
        transaction.insert(attributes, place.start, len, tag);
        Ok(())
    }

    fn check(&self, len: u64) -> Result<(), Error<M::Error>> {
        if self.has_failed {
            return Err(Error(ErrorKind::Failed));
        }
        let largest = self.place.end - self.place.start;
        match self.said {
            Some(said) if len > said => Err(Error(ErrorKind::Length { written: len, said })),
            Some(_) => Ok(()),
            None => match occupied(len, self.transaction.unit()) {
                Some(bytes) if bytes <= largest => Ok(()),
                bytes => Err(Error(ErrorKind::Full { needed: bytes.unwrap_or(len), largest })),
            },
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), M::Error> {
        let written = self.stream.write(self.transaction.medium(), bytes);
        written.inspect_err(|_| self.has_failed = true)
    }
}

impl<M: Medium> Drop for BlobWriter<'_, '_, '_, M> {
    fn drop(&mut self) {
        if let Some(undo) = self.undo.take() {
            self.transaction.give_up(&self.place, undo);
        }
    }
}

/// Each call takes all of the buffer, as [`append`](BlobWriter::append). A full store is
/// [`StorageFull`](std::io::ErrorKind::StorageFull).
#[cfg(feature = "std")]
impl<M: Medium<Error: Send + Sync + 'static>> std::io::Write for BlobWriter<'_, '_, '_, M> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.append(buf)?;
        Ok(buf.len())
    }

    /// Nothing is durable before the transaction is committed.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
