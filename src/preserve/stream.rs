//! A blob as a stream.

use super::blob::Blob;
use super::error::Error;
use super::format::CHUNK;
use crate::medium::Readable;
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// The position of a blob in its stream, and the chunk there.
#[derive(Default)]
pub(super) struct Stream {
    at: u64,
    /// The verified bytes of a chunk.
    chunk: Vec<u8>,
    /// The offset of the chunk in the blob.
    begin: u64,
}

/// Reads the blob as a stream, from its first byte on.
///
/// Each chunk of 64 KiB is copied, and verified before any of its bytes is returned. So the blob does not need a
/// buffer around it. A stream that ends without an error has returned the blob as it was put. If the blob is damaged,
/// or was replaced meanwhile, the read of the first chunk concerned fails; all bytes before were right.
///
/// The first read takes 64 KiB of memory.
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
/// # let (mut store, _) = Store::create_new(medium)?;
/// # let mut transaction = store.begin()?;
/// # transaction.put("log", b"one line")?;
/// # transaction.commit()?;
/// let reader = store.reader();
/// let mut text = String::new();
/// reader.blob("log")?.read_to_string(&mut text)?;
/// assert_eq!(text, "one line");
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
impl<R: Readable<Error: Send + Sync + 'static>> Read for Blob<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Readable> Blob<R> {
    /// Returns the verified bytes of the chunk at the position, from there on; none at the end.
    fn verified(&mut self) -> Result<&[u8], Error<R::Error>> {
        let (at, len) = (self.stream.at, self.info().len);
        let begin = at - at % CHUNK;
        if at >= len {
            return Ok(&[]);
        }
        if begin != self.stream.begin || self.stream.chunk.is_empty() {
            let mut chunk = core::mem::take(&mut self.stream.chunk);
            chunk.resize((len - begin).min(CHUNK) as usize, 0);
            self.read_at(begin, &mut chunk)?;
            self.stream = Stream { at, chunk, begin };
        }
        Ok(&self.stream.chunk[(at - begin) as usize..])
    }
}

impl<R: Readable<Error: Send + Sync + 'static>> BufRead for Blob<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.verified()?)
    }

    fn consume(&mut self, amount: usize) {
        self.stream.at += amount as u64;
    }
}

/// A position after the end is allowed; reads there return no bytes.
impl<R: Readable> Seek for Blob<R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        let at = match pos {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.info().len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.stream.at.checked_add_signed(offset),
        };
        self.stream.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.stream.at)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("at", &self.at).finish_non_exhaustive()
    }
}
