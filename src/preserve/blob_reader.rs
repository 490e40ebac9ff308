//! A blob as a stream.

use super::blob::Blob;
use super::error::Error;
use super::format::CHUNK;
use crate::medium::Readable;
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// A blob read as a stream. See [`Blob::into_reader`].
///
/// Each chunk of 64 KiB is copied, and verified before any of its bytes is returned. So the reader does not need a
/// buffer around it. A stream that ends without an error has returned the blob as it was put. If the blob is damaged,
/// or was replaced meanwhile, the read of the first chunk concerned fails; all bytes before were right.
///
/// It takes 64 KiB of memory.
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::Store;
/// use std::io::Read as _;
///
/// # let mut store = Store::create_new(medium)?;
/// # let mut transaction = store.begin()?;
/// # transaction.put("log", b"one line")?;
/// # transaction.commit()?;
/// let reader = store.reader();
/// let mut text = String::new();
/// reader.blob("log")?.into_reader().read_to_string(&mut text)?;
/// assert_eq!(text, "one line");
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
pub struct BlobReader<R: Readable> {
    blob: Blob<R>,
    at: u64,
    /// The verified bytes of a chunk.
    chunk: Vec<u8>,
    /// The offset of the chunk in the blob.
    begin: u64,
}

impl<R: Readable> Blob<R> {
    /// Returns the blob as a stream, from its first byte on. [`Store::blob`](super::Store::blob) has an example.
    #[must_use]
    pub const fn into_reader(self) -> BlobReader<R> {
        BlobReader { blob: self, at: 0, chunk: Vec::new(), begin: 0 }
    }
}

impl<R: Readable> BlobReader<R> {
    /// Returns the verified bytes of the chunk at the position, from there on; none at the end.
    fn verified(&mut self) -> Result<&[u8], Error<R::Error>> {
        let begin = self.at - self.at % CHUNK;
        if self.at >= self.blob.info().len {
            return Ok(&[]);
        }
        if begin != self.begin || self.chunk.is_empty() {
            let mut chunk = core::mem::take(&mut self.chunk);
            chunk.resize((self.blob.info().len - begin).min(CHUNK) as usize, 0);
            self.blob.read_at(begin, &mut chunk)?;
            (self.chunk, self.begin) = (chunk, begin);
        }
        Ok(&self.chunk[(self.at - begin) as usize..])
    }
}

impl<R: Readable<Error: Send + Sync + 'static>> BufRead for BlobReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.verified()?)
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount as u64;
    }
}

impl<R: Readable<Error: Send + Sync + 'static>> Read for BlobReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

/// A position after the end is allowed; reads there return no bytes.
impl<R: Readable> Seek for BlobReader<R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        let at = match pos {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.blob.info().len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl<R: Readable> fmt::Debug for BlobReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader")
            .field("info", self.blob.info())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
