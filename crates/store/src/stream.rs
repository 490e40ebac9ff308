//! A blob as a stream.

use super::blob::Blob;
use super::format::CHUNK;
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use core::fmt;
use std::io::{self, Read};

/// The position of a blob in its stream, and the chunk there.
#[derive(Default)]
pub(super) struct Stream {
    at: u64,
    /// The verified bytes of the chunk at the position; none before the first read of it.
    chunk: Vec<u8>,
}

/// Reads the blob as a stream, from its first byte on.
///
/// Each chunk of 64 KiB is copied, and verified before any of its bytes is returned. So the blob does not need a
/// buffer around it. A stream that ends without an error has returned the blob as it was put. If the blob is damaged,
/// or was replaced meanwhile, the read of the first chunk concerned fails; all bytes before were right.
///
/// The first read takes 64 KiB of memory.
impl<R: Readable<Error: Send + Sync + 'static>> Read for Blob<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (at, left) = (self.stream.at, self.info().len - self.stream.at);
        let within = at % CHUNK;
        if left == 0 {
            return Ok(0);
        }
        if within == 0 || self.stream.chunk.is_empty() {
            let mut chunk = core::mem::take(&mut self.stream.chunk);
            chunk.resize((left + within).min(CHUNK) as usize, 0);
            self.read_at(at - within, &mut chunk)?;
            self.stream.chunk = chunk;
        }
        let read = self.stream.chunk.get(within as usize..).unwrap_or_default().read(buf)?;
        self.stream.at += read as u64;
        Ok(read)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("at", &self.at).finish_non_exhaustive()
    }
}
