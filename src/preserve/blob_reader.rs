//! A blob as a stream.

use super::blob::Blob;
use super::error::Error;
use super::format::CHUNK;
use crate::medium::Readable;
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// A blob that is read as a stream. See [`Blob::into_reader`].
///
/// Each 64 KiB are copied, and verified before any of their bytes is returned. So it needs no buffer around it, and a
/// stream that ends without an error has returned the blob as it was put. Damage, or a blob that was replaced meanwhile, is
/// an error at the first chunk that it concerns, after bytes that were right.
///
/// It takes 64 KiB of memory.
pub struct BlobReader<'r, R: Readable> {
    blob: Blob<'r, R>,
    at: u64,
    /// The verified bytes of a chunk.
    chunk: Vec<u8>,
    /// The offset of the chunk in the blob.
    begin: u64,
}

impl<'r, R: Readable> Blob<'r, R> {
    /// Returns the blob as a stream, from its first byte on.
    ///
    /// ```
    /// # #[cfg(feature = "dax")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cachemaint::{dax, preserve::Store};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("state");
    /// # let file = dax::Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
    /// let mut store = Store::open_or_create(file)?.0;
    /// let mut transaction = store.begin()?;
    /// transaction.put("ram", &[7; 100_000])?;
    /// transaction.commit()?;
    /// let reader = store.reader();
    /// let mut ram = reader.snapshot()?.blob("ram")?.into_reader();
    /// assert_eq!(std::io::copy(&mut ram, &mut std::io::sink())?, 100_000);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "dax"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub const fn into_reader(self) -> BlobReader<'r, R> {
        BlobReader { blob: self, at: 0, chunk: Vec::new(), begin: 0 }
    }
}

impl<R: Readable> BlobReader<'_, R> {
    /// Returns the verified bytes of the chunk at the position, from there on; none at the end.
    fn verified(&mut self) -> Result<&[u8], Error<R::Error>> {
        let begin = self.at - self.at % CHUNK;
        if self.at >= self.blob.len() {
            return Ok(&[]);
        }
        if begin != self.begin || self.chunk.is_empty() {
            let mut chunk = core::mem::take(&mut self.chunk);
            chunk.resize((self.blob.len() - begin).min(CHUNK) as usize, 0);
            self.blob.read_at(begin, &mut chunk)?;
            (self.chunk, self.begin) = (chunk, begin);
        }
        Ok(&self.chunk[(self.at - begin) as usize..])
    }
}

impl<R: Readable<Error: Send + Sync + 'static>> BufRead for BlobReader<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.verified()?)
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount as u64;
    }
}

impl<R: Readable<Error: Send + Sync + 'static>> Read for BlobReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

/// A position behind the end is allowed; reads there return no bytes.
impl<R: Readable> Seek for BlobReader<'_, R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        let at = match pos {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.blob.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl<R: Readable + fmt::Debug> fmt::Debug for BlobReader<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("info", self.blob.info()).field("at", &self.at).finish()
    }
}
