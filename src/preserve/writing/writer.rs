//! Blobs that are put piece by piece.

use super::attributes::Attributes;
use super::put::{PIECE, Stream};
use super::transaction::Transaction;
use crate::medium::Medium;
use crate::preserve::error::{Error, ErrorKind};
use crate::preserve::format::BlobKey;
use crate::preserve::info::Content;
use alloc::vec::Vec;
use core::marker::PhantomData;

impl<M: Medium> Transaction<'_, M> {
    /// Puts a blob that `write` appends piece by piece, which replaces one of the same name. Returns the value of
    /// `write`.
    ///
    /// If `write` fails, the blob is dropped, the error is returned, and the transaction is as it was. The error can
    /// have any type to which `?` converts an [`Error`], such as [`std::io::Error`].
    ///
    /// The blob has `len` bytes: `write` appends as many.
    ///
    /// ```
    /// # #[cfg(feature = "std")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cachemaint::{Cache, medium::Memory, preserve::Store, survival::Backing};
    /// # use std::sync::atomic::AtomicU64;
    /// # let words: Vec<AtomicU64> = (0..8192).map(AtomicU64::new).collect();
    /// # let memory = Memory::new(&words, Cache::host()?, Backing::Ram);
    /// # let (mut store, _) = Store::create_new(memory).map_err(|failed| failed.error)?;
    /// # let mut file = &[7; 10_000][..];
    /// let mut transaction = store.begin()?;
    /// transaction.put_with("ram", 10_000, |ram| std::io::copy(&mut file, ram))?;
    /// transaction.put_with("cpu", 29, |cpu| {
    ///     cpu.append(b"registers, ")?;
    ///     cpu.append(b"and more registers")
    /// })?;
    /// transaction.commit()?;
    /// assert_eq!(store.load("ram")?, [7; 10_000]);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "std"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`put`](Self::put); those of `write`; [`ErrorKind::Length`], if `write` appended fewer bytes than `len`.
    ///
    /// # Cost
    /// As [`put`](Self::put), and 5 KiB of memory and 8 bytes for each 64 KiB that are written.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn put_with<'a, T, E: From<Error<M::Error>>>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        len: u64,
        write: impl FnOnce(&mut BlobWriter<'_, M>) -> Result<T, E>,
    ) -> Result<T, E> {
        let attributes = attributes.into();
        if attributes.is_value(len) {
            let mut writer = BlobWriter::new(self.medium(), None, len);
            let value = write(&mut writer)?;
            let bytes = writer.into_value()?;
            self.put_value(&attributes, &bytes)?;
            return Ok(value);
        }
        let claim = self.claim(&attributes, Content::Blob, len)?;
        let mut writer = BlobWriter::new(self.medium(), Some(claim.key), len);
        let written = write(&mut writer).and_then(|value| Ok((value, writer.finish()?)));
        match written {
            Ok((value, tag)) => {
                self.insert(&attributes, claim, Content::Blob, len, tag);
                Ok(value)
            }
            Err(error) => {
                self.give(&claim);
                Err(error)
            }
        }
    }
}

/// A blob that is written piece by piece. See [`Transaction::put_with`].
///
/// It stays on the thread of its transaction, as a fence completes the write-backs of its thread alone.
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::{Error, Store};
///
/// let (mut store, _) = Store::create_new(medium)?;
/// let mut transaction = store.begin()?;
/// transaction.put_with("ram", 2000, |blob| -> Result<(), Error<_>> {
///     blob.append(&[7; 1000])?;
///     blob.append(&[8; 1000])
/// })?;
/// transaction.commit()?;
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct BlobWriter<'t, M: Medium> {
    medium: &'t M,
    /// The length of the blob.
    said: u64,
    /// The bytes that do not fill a piece yet.
    buffer: Vec<u8>,
    /// `None` if all bytes are kept in the buffer, for the record.
    stream: Option<Stream>,
    /// True if the medium failed, so that bytes are missing.
    has_failed: bool,
    thread: PhantomData<*const ()>,
}

impl<'t, M: Medium> BlobWriter<'t, M> {
    fn new(medium: &'t M, key: Option<BlobKey>, said: u64) -> Self {
        Self {
            medium,
            said,
            buffer: Vec::new(),
            stream: key.map(Stream::new),
            has_failed: false,
            thread: PhantomData,
        }
    }

    /// Returns the number of bytes appended so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.stream.as_ref().map_or(0, Stream::len) + self.buffer.len() as u64
    }

    /// Appends bytes to the blob: all of them or, with an error, none.
    ///
    /// # Errors
    /// [`ErrorKind::Length`], if it becomes longer than the given length; if the medium fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error<M::Error>> {
        self.check(self.written().saturating_add(bytes.len() as u64))?;
        if self.stream.is_none() {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        let mut rest = bytes;
        if !self.buffer.is_empty() {
            let (first, after) = rest.split_at(rest.len().min(PIECE - self.buffer.len()));
            self.buffer.extend_from_slice(first);
            rest = after;
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

    /// Writes the rest, and returns the blob's tag.
    fn finish(mut self) -> Result<u64, Error<M::Error>> {
        self.check_end()?;
        let rest = core::mem::take(&mut self.buffer);
        self.put(&rest).map_err(Error::medium)?;
        let finished = self.stream.map_or(Ok(0), |stream| stream.finish(self.medium));
        finished.map_err(Error::medium)
    }

    /// Returns the bytes of a blob that stands in the record.
    fn into_value(self) -> Result<Vec<u8>, Error<M::Error>> {
        self.check_end()?;
        Ok(self.buffer)
    }

    fn check_end(&self) -> Result<(), Error<M::Error>> {
        let (written, said) = (self.written(), self.said);
        self.check(written)?;
        if written == said { Ok(()) } else { Err(Error(ErrorKind::Length { written, said })) }
    }

    fn check(&self, len: u64) -> Result<(), Error<M::Error>> {
        if self.has_failed {
            return Err(Error(ErrorKind::Failed));
        }
        let said = self.said;
        if len > said { Err(Error(ErrorKind::Length { written: len, said })) } else { Ok(()) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), M::Error> {
        let written =
            self.stream.as_mut().map_or(Ok(()), |stream| stream.write(self.medium, bytes));
        written.inspect_err(|_| self.has_failed = true)
    }
}

/// Each call appends the whole buffer, as [`append`](BlobWriter::append).
#[cfg(feature = "std")]
impl<M: Medium<Error: Send + Sync + 'static>> std::io::Write for BlobWriter<'_, M> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.append(buf)?;
        Ok(buf.len())
    }

    /// Does nothing: the bytes become durable when the transaction is committed.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
