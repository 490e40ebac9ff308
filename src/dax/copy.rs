//! Copies into a file that are persistent when they return, each by the fastest method that is durable
//! wherever the lines are ([`Destination`]).
//!
//! By lines the methods are those of [`Cache::copy_writeback`](crate::Cache::copy_writeback). If the caches
//! are in the persistence domain, ordinary stores and a fence are enough. If the granularity is a page,
//! the operating system writes the stored bytes back.
//!
//! Other threads and processes may access the bytes meanwhile: whole words are stored at once. Parts of a word are
//! merged in or stored byte by byte, and leave its other bytes alone.

use super::{DaxFile, Error, Writeback};
use crate::cache::copy::Copier;
use crate::cache::{Cache, Destination};
use core::ops::Range;

/// Bytes that are stored in one go where the operating system writes them back.
const CHUNK: usize = 4096;

impl DaxFile {
    /// Writes several parts and makes them persistent, by the method for a destination of which nothing is known. They
    /// are persistent when this returns. Where parts overlap, the bytes of either may remain.
    ///
    /// A crash meanwhile can leave any mix of old and new words. It tears no aligned word of 8 bytes that lies whole in a
    /// part; on targets without atomics of 64 bits the words have the CPU's size. A word that lies partly in one can be
    /// torn: publish by [`store`](Self::store), and not by fewer bytes.
    ///
    /// # Errors
    /// As [`persist_copy_to`](Self::persist_copy_to).
    ///
    /// # Panics
    /// If a part is out of range.
    ///
    /// # Cost
    /// As [`persist_copy_to`](Self::persist_copy_to).
    #[track_caller]
    pub fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        self.persist_copy_to(parts, Destination::Unknown)
    }

    /// Writes several parts and makes them persistent, as [`persist_copy`](Self::persist_copy) does, by the method
    /// that suits the caller's knowledge of their destination.
    ///
    /// ```
    /// # use cachemaint::{cache::Destination, dax::Options};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("pages");
    /// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 16)?;
    /// // Written once, and not read again soon.
    /// file.persist_copy_to(&[(0, b"header"), (4096, &[7; 8192])], Destination::Cold)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Writeback`](super::ErrorKind::Writeback), if the operating system could not write a part;
    /// never where the granularity is a line or finer.
    ///
    /// # Panics
    /// If a part is out of range.
    ///
    /// # Cost
    /// The cost of [`Cache::copy_writeback`](crate::Cache::copy_writeback), with one or two fences for all parts; by pages
    /// one `msync` a part.
    #[doc(alias("memcpy", "pmem_memcpy_persist", "streaming", "non-temporal"))]
    #[track_caller]
    pub fn persist_copy_to(
        &self,
        parts: &[(u64, &[u8])],
        destination: Destination,
    ) -> Result<(), Error> {
        self.copy_unfenced_to(parts, destination, false)?;
        self.fence();
        Ok(())
    }

    /// Copies without the last fence. If `in_order`, a store that follows is not seen before the bytes.
    #[track_caller]
    pub(super) fn copy_unfenced_to(
        &self,
        parts: &[(u64, &[u8])],
        destination: Destination,
        in_order: bool,
    ) -> Result<(), Error> {
        // All parts are checked before anything is stored.
        for (at, bytes) in parts {
            self.view.mapping.checked(*at, bytes.len() as u64);
        }
        let Some(copier) = self.copier(destination) else {
            return self.copy_by_pages(parts);
        };
        let parts = parts.iter().map(|(at, bytes)| (self.place(*at), bytes.as_ptr(), bytes.len()));
        // SAFETY: (1) all parts are in the mapping, and no safe code borrows it as a slice of bytes that may change;
        // (2) every access to it is by whole atomic words.
        unsafe { copier.copy(parts, in_order) };
        self.view.check_stores()
    }

    /// Sets all bytes of a range and makes them persistent.
    ///
    /// # Errors
    /// As [`persist_copy_to`](Self::persist_copy_to).
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// As [`persist_copy_to`](Self::persist_copy_to).
    #[doc(alias("memset", "pmem_memset_persist", "zero"))]
    #[track_caller]
    pub fn persist_fill(
        &self,
        range: Range<u64>,
        byte: u8,
        destination: Destination,
    ) -> Result<(), Error> {
        let checked = self.view.mapping.checked_range(&range);
        if let Some(copier) = self.copier(destination) {
            // SAFETY: as in `persist_copy_to`.
            unsafe { copier.fill(self.place(range.start), checked.len(), byte) };
            self.fence();
            return self.view.check_stores();
        }
        let bytes = [byte; CHUNK];
        for part in chunks(range.clone()) {
            self.write(part.start, &bytes[..len_of(&part)]);
        }
        self.persist(range)
    }

    /// Moves the bytes of a range to another place of the file and makes them persistent there. The ranges
    /// may overlap. A crash meanwhile can then leave any mix of old and new words, and so have lost bytes of
    /// both.
    ///
    /// # Errors
    /// As [`persist_copy_to`](Self::persist_copy_to).
    ///
    /// # Panics
    /// If either range is out of range, or `from` ends before it starts.
    ///
    /// # Cost
    /// As [`persist_copy_to`](Self::persist_copy_to), and each byte is read into a buffer of 4 KiB before it
    /// is stored.
    #[doc(alias("memmove", "pmem_memmove_persist"))]
    #[track_caller]
    pub fn persist_copy_within(
        &self,
        from: Range<u64>,
        to: u64,
        destination: Destination,
    ) -> Result<(), Error> {
        let len = self.view.mapping.checked_range(&from).len();
        self.view.mapping.checked(to, len as u64);
        let backwards = from.start < to;
        if let Some(copier) = self.copier(destination) {
            let read = |part: Range<usize>, into: &mut [u8]| {
                self.view.mapping.read(from.start + part.start as u64, into);
            };
            // SAFETY: as in `persist_copy_to`; what is read is in a buffer when it is stored.
            unsafe { copier.copy_read(self.place(to), len, backwards, read) };
            self.fence();
            return self.view.check_stores();
        }
        let mut chunk = [0; CHUNK];
        let mut parts = chunks(to..to + len as u64);
        while let Some(part) = if backwards { parts.next_back() } else { parts.next() } {
            let bytes = &mut chunk[..len_of(&part)];
            self.view.mapping.read(from.start + (part.start - to), bytes);
            self.write(part.start, bytes);
        }
        self.persist(to..to + len as u64)
    }

    /// Returns the copier of the bytes; `None` where the operating system writes back.
    fn copier(&self, destination: Destination) -> Option<Copier<impl Fn(*mut u8, &[u8])>> {
        let (cache, writes_back): (Cache, bool) = match self.view.writeback {
            Writeback::Lines(cache) => (cache, true),
            Writeback::Fence(cache) => (cache, false),
            Writeback::Pages => return None,
        };
        let edge = |to: *mut u8, bytes: &[u8]| {
            let at = to.addr() - self.view.mapping.base().addr().get();
            self.write(at as u64, bytes);
        };
        Some(Copier { cache, writes_back, destination: Some(destination), edge })
    }

    fn place(&self, at: u64) -> *mut u8 {
        // The offset was checked, or the part is empty.
        self.view.mapping.base().as_ptr().wrapping_add(usize::try_from(at).unwrap_or_default())
    }

    #[track_caller]
    fn copy_by_pages(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        for (at, bytes) in parts {
            self.write(*at, bytes);
        }
        for (at, bytes) in parts {
            self.issue_writeback(*at..at.saturating_add(bytes.len() as u64))?;
        }
        Ok(())
    }
}

/// Returns the chunks of a range of the file. They end at multiples of [`CHUNK`], so that no word is in two of them: a
/// crash between two stores would tear it.
fn chunks(range: Range<u64>) -> impl DoubleEndedIterator<Item = Range<u64>> {
    let size = CHUNK as u64;
    let numbers = range.start / size..range.end.div_ceil(size);
    numbers.map(move |number| range.start.max(number * size)..range.end.min((number + 1) * size))
}

/// Returns the length of a chunk.
fn len_of(chunk: &Range<u64>) -> usize {
    usize::try_from(chunk.end - chunk.start).unwrap_or(CHUNK)
}

#[cfg(test)]
mod tests {
    use super::chunks;

    #[test]
    fn no_word_is_in_two_chunks() {
        assert!(chunks(4..8196).eq([4..4096, 4096..8192, 8192..8196]));
        assert!(chunks(8..8200).rev().eq([8192..8200, 4096..8192, 8..4096]));
        assert!(chunks(4100..8192).eq(core::iter::once(4100..8192)));
        assert_eq!(chunks(4096..4096).count(), 0);
    }
}
