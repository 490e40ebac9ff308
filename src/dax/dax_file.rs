//! Files mapped for reading and writing.

use super::bounds::{Bounds, check_new_len, too_long};
use super::latch::Failure;
use super::mapping::Mapping;
use super::open_file::Lock;
use super::opening::{How, map};
use super::system::{Access, Part, files};
use super::{DaxView, Error, ErrorKind, Options, Writeback};
use crate::cache::copy::{Copier, Destination};
use crate::medium::words::WORD;
use crate::medium::{Granularity, Medium, Readable, WriterLock};
use crate::system::calls::uninterrupted;
use alloc::boxed::Box;
use alloc::format;
use core::mem;
use core::ops::{Deref, Range};
use core::sync::atomic::Ordering;
use std::path::Path;

/// A mapped file. Its [`Guarantee`](super::Guarantee) states how its bytes are persisted.
///
/// It is a [`Medium`], and dereferences to a [`DaxView`], which has everything that does not store, such as
/// [`persist`](DaxView::persist). Other threads, and other processes that map the file, may read and write at the same
/// time, so only `unsafe` methods hand out slices.
///
/// Dropping it closes the file, and persists nothing.
///
/// On Linux the modification time changes when the file is resized and closed. A copy by time (`rsync -a`) is therefore
/// right after the writer has closed the file; while a process writes, copy by content (`rsync --checksum`).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// use cachemaint::dax::Options;
/// use std::sync::atomic::Ordering;
///
/// let file = Options::new().allow_page_granularity().open_or_create(&path, 4096)?;
/// file.write(64, b"a record");
/// file.persist(64..72)?; // the record first,
/// file.store(0, 1, Ordering::Relaxed);
/// file.persist(0..8)?; // then the word that publishes it
/// assert_eq!(file.load(0, Ordering::Relaxed), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DaxFile {
    /// The mapping, always one for writing too ([`Access::ReadAndWrite`](super::system::Access)).
    pub(super) view: DaxView,
    /// Boxed, since it would otherwise be laid out before the view, and a persist would need one more address.
    writer_lock: Box<WriterLock>,
}

impl DaxFile {
    pub(super) fn of(view: DaxView) -> Self {
        Self { view, writer_lock: Box::default() }
    }

    /// Opens and maps a whole file with the default [`Options`], which refuse a file that can only be persisted in
    /// whole pages.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().open(path)
    }

    /// Creates and maps a file of `len` zero bytes with the default [`Options`], as [`open`](Self::open) does.
    ///
    /// # Errors
    /// As [`Options::create_new`].
    pub fn create_new(path: impl AsRef<Path>, len: u64) -> Result<Self, Error> {
        Options::new().create_new(path, len)
    }

    /// Opens the file at the path, or creates a file of `len` zero bytes if the path does not exist, with the default
    /// [`Options`].
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(path: impl AsRef<Path>, len: u64) -> Result<Self, Error> {
        Options::new().open_or_create(path, len)
    }

    /// Returns the part of the file that does not store, for functions that take a view. It is also the target of
    /// [`Deref`].
    #[must_use]
    pub const fn view(&self) -> &DaxView {
        &self.view
    }

    /// Loads the word at `at`, little-endian in the bytes.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for loads.
    #[inline]
    #[must_use]
    #[track_caller]
    #[expect(unsafe_code, reason = "that the mapping is one for writing is known here alone")]
    pub fn load(&self, at: u64, order: Ordering) -> u64 {
        // SAFETY: (1) that of a `DaxFile` is.
        let word = unsafe { self.view.mapping.word(at) };
        u64::from_le(word.load(order))
    }

    /// Stores the word at `at`, little-endian in the bytes. It is persistent once a later write-back and fence have
    /// returned.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for stores.
    #[inline]
    #[track_caller]
    #[expect(unsafe_code, reason = "that the mapping is one for writing is known here alone")]
    pub fn store(&self, at: u64, word: u64, order: Ordering) {
        // SAFETY: (1) that of a `DaxFile` is.
        let place = unsafe { self.view.mapping.word(at) };
        place.store(word.to_le(), order);
    }

    /// Copies bytes in, by ordinary stores. They are persistent once a later write-back and fence have returned.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("write_at", "pwrite"))]
    #[inline]
    #[track_caller]
    #[expect(unsafe_code, reason = "that the mapping is one for writing is known here alone")]
    pub fn write(&self, at: u64, from: &[u8]) {
        // SAFETY: (1) that of a `DaxFile` is.
        unsafe { self.view.mapping.write(at, from) };
    }

    /// Returns the address of a byte of the mapping.
    ///
    /// # Panics
    /// If the offset is out of range.
    #[must_use]
    #[track_caller]
    pub fn as_ptr(&self, at: u64) -> *mut u8 {
        self.view.as_ptr(at).cast_mut()
    }

    /// Writes several parts and makes them persistent, each by the fastest method that is durable wherever its lines
    /// are. All parts are persistent when this returns. Where parts overlap, the bytes of either may remain.
    ///
    /// A crash before that can leave any mix of old and new words. It tears no aligned word of 8 bytes that lies wholly
    /// in a part (on targets without 64-bit atomics, no word of the CPU's size). A word that lies partly in one can be
    /// torn: publish with [`store`](Self::store), not by fewer than 8 bytes. Other threads and processes may access the
    /// bytes meanwhile, and see whole words.
    ///
    /// ```
    /// # use cachemaint::dax::Options;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("pages");
    /// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 16)?;
    /// file.persist_copy(&[(0, b"header"), (4096, &[7; 8192])])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`DaxView::persist`].
    ///
    /// # Panics
    /// If a part is out of range.
    ///
    /// # Cost
    /// The cost of [`Cache::copy_writeback`](crate::Cache::copy_writeback), with one or two fences for all parts. Page by page: a write-back for each
    /// part.
    #[doc(alias("memcpy", "pmem_memcpy_persist", "streaming", "non-temporal"))]
    #[track_caller]
    pub fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        self.persist_copy_to(parts, Destination::Unknown)
    }

    /// As [`persist_copy`](Self::persist_copy), by the method that fits the given knowledge of the destination.
    ///
    /// ```
    /// # use cachemaint::{cache::Destination, dax::Options};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("pages");
    /// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 16)?;
    /// // Written once, and not read again soon.
    /// file.persist_copy_to(&[(4096, &[7; 8192])], Destination::Cold)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`DaxView::persist`].
    ///
    /// # Panics
    /// If a part is out of range.
    #[track_caller]
    pub fn persist_copy_to(
        &self,
        parts: &[(u64, &[u8])],
        destination: Destination,
    ) -> Result<(), Error> {
        let copied = self.copy(parts, destination, false);
        self.fence().and(copied)
    }

    /// Copies without the last fence. If `in_order`, no later store is seen before the bytes.
    #[track_caller]
    #[expect(unsafe_code, reason = "hands ranges of the mapping to the cache's operations")]
    fn copy(
        &self,
        parts: &[(u64, &[u8])],
        destination: Destination,
        in_order: bool,
    ) -> Result<(), Error> {
        // All parts are checked before anything is stored.
        for (at, bytes) in parts {
            self.view.mapping.checked(&part(*at, bytes));
        }
        let copied = parts.iter().map(|(at, bytes)| (self.place(*at), bytes.as_ptr(), bytes.len()));
        // SAFETY: (1) all parts are in the mapping, and no safe code borrows it as a slice of bytes that may change;
        // (2) every access to it is by whole atomic words.
        unsafe { self.copier(destination).copy_parts(copied, in_order) };
        match self.view.mapping.cache() {
            Some(_) => self.view.mapping.check(),
            None => parts.iter().try_for_each(|(at, bytes)| self.issue_writeback(part(*at, bytes))),
        }
    }

    /// Sets all bytes of a range and makes them persistent.
    ///
    /// # Errors
    /// As [`persist_copy`](Self::persist_copy).
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// As [`persist_copy`](Self::persist_copy).
    #[doc(alias("memset", "pmem_memset_persist", "zero"))]
    #[track_caller]
    #[expect(unsafe_code, reason = "hands ranges of the mapping to the cache's operations")]
    pub fn persist_fill(
        &self,
        range: Range<u64>,
        byte: u8,
        destination: Destination,
    ) -> Result<(), Error> {
        let len = self.view.mapping.checked(&range).len();
        // SAFETY: as in `copy`.
        unsafe { self.copier(destination).fill_by_chunks(self.place(range.start), len, byte) };
        self.complete(range)
    }

    /// Moves the bytes of a range to another place of the file and makes them persistent there. The ranges may overlap.
    /// A crash meanwhile can leave any mix of old and new words, and lose bytes of both ranges if they overlap.
    ///
    /// # Errors
    /// As [`persist_copy`](Self::persist_copy).
    ///
    /// # Panics
    /// If either range is out of range, or `from` ends before it starts.
    ///
    /// # Cost
    /// As [`persist_copy`](Self::persist_copy). Each byte is first read into a buffer of 4 KiB.
    #[doc(alias("memmove", "pmem_memmove_persist"))]
    #[track_caller]
    #[expect(unsafe_code, reason = "hands ranges of the mapping to the cache's operations")]
    pub fn persist_copy_within(
        &self,
        from: Range<u64>,
        to: u64,
        destination: Destination,
    ) -> Result<(), Error> {
        let len = self.view.mapping.checked(&from).len();
        let range = to..to.wrapping_add(len as u64);
        self.view.mapping.checked(&range);
        let read = |part: Range<usize>, into: &mut [u8]| {
            self.view.mapping.read(from.start + part.start as u64, into);
        };
        // SAFETY: as in `copy`; what is read is in a buffer when it is stored.
        unsafe { self.copier(destination).copy_read(self.place(to), len, from.start < to, read) };
        self.complete(range)
    }

    /// Returns the copier for the bytes, which writes lines back where that persists them.
    fn copier(&self, destination: Destination) -> Copier<impl Fn(*mut u8, &[u8])> {
        let merge = |to: *mut u8, bytes: &[u8]| {
            let at = to.addr() - self.view.mapping.base().addr().get();
            self.write(at as u64, bytes);
        };
        let lines = match self.view.mapping.writeback() {
            Writeback::Lines(cache) => Some(cache),
            Writeback::Fence(_) | Writeback::Pages | Writeback::Refused => None,
        };
        Copier { lines, destination: Some(destination), merge }
    }

    /// Makes a range persistent that the copier has stored.
    fn complete(&self, range: Range<u64>) -> Result<(), Error> {
        match self.view.mapping.cache() {
            Some(_) => self.fence(),
            None => self.view.persist(range),
        }
    }

    fn place(&self, at: u64) -> *mut u8 {
        // The offset was checked, or the part is empty.
        self.view.mapping.base().as_ptr().wrapping_add(usize::try_from(at).unwrap_or_default())
    }

    /// Maps more of the file, and makes the file longer if necessary. `len` is the new length of the mapping in bytes.
    ///
    /// Bytes that the file already has there keep their values, and are synced as by [`Options::open`]. Missing bytes
    /// are written as zeros behind the end, synced, and then mapped, so every accessible byte has a durable block. A
    /// crash meanwhile leaves a length between the old and the new one, with zeros in the new part: nothing needs
    /// repair.
    ///
    /// The mapping may move, which invalidates addresses from `as_ptr`. Its offset in the file and all stored bytes,
    /// persistent or not, stay the same. Processes without locks must not make the file longer at the same time.
    ///
    /// # Errors
    /// The [failure](DaxView#failures) of the mapping, if it has failed. [`ErrorKind::NoSpace`], also for the limit of
    /// the process (`ulimit -f`), without its signal. [`ErrorKind::InvalidInput`], if `len` is less than the mapped
    /// length, or if the file would have to grow under a shared lock. [`ErrorKind::Shorter`], if the file has shrunk
    /// below its mapping. [`ErrorKind::Unsupported`] for device DAX. Also the mapping errors of [`Options::open`].
    /// After these errors, file and mapping are as before. If a sync fails ([`ErrorKind::Writeback`]), even for lack of
    /// space, stored bytes may be lost, and the mapping has failed.
    ///
    /// # Cost
    /// Writes the new bytes and syncs the file. Under Linux, the extents of the whole file are checked again if it is
    /// persisted line by line.
    #[doc(alias("resize", "extend", "truncate", "mremap"))]
    pub fn grow(&mut self, len: u64) -> Result<(), Error> {
        let mapped = self.view.len();
        if len < mapped {
            let text = format!(
                "has {mapped} bytes mapped, more than {len}; ask for a larger size, or shrink it"
            );
            return Err(Error::invalid(self.path(), text));
        }
        let part = self.part(len)?;
        let size = self.size_of_file()?;
        let new = size..size.max(self.view.offset + len);
        let how = self.how(new.clone());
        let (path, DaxView { file, guarantee, .. }) = (self.path(), &self.view);
        if !new.is_empty() {
            self.require_no_sharers()?;
            file.append_zeros(path, &new)?;
        }
        // Another program may have made the file longer: its blocks and length are not durable yet.
        let mapped = self.sync().and_then(|()| map(path, file, &part, None, &how, guarantee));
        let mapping = mapped.inspect_err(|_error| file.restore(&new))?;
        self.replace(mapping);
        Ok(())
    }

    /// Truncates the file and its mapping. `len` is the new length of the mapping in bytes. The new length
    /// is on the medium when this returns. A crash meanwhile leaves the old length or the new one.
    ///
    /// The mapping may move, as with [`grow`](Self::grow). Views, and processes that take no lock, may still map the
    /// part that was removed. Their next access to it raises SIGBUS, which ends the process.
    ///
    /// # Errors
    /// The [failure](DaxView#failures) of the mapping, if it has failed. [`ErrorKind::InvalidInput`], if `len` is 0 or
    /// more than the mapped length, under a shared lock, and if the file continues after the mapping, as it can with
    /// [`Options::len`](super::Options::len). [`ErrorKind::Unsupported`] for device DAX. After these errors, file and
    /// mapping are as before. If the last sync fails ([`ErrorKind::Writeback`]), both are short, and a crash may leave
    /// the old length.
    ///
    /// On Windows a mapped file cannot be made shorter: the call returns the system's error.
    #[doc(alias("resize", "truncate"))]
    pub fn shrink(&mut self, len: u64) -> Result<(), Error> {
        let mapped = self.view.len();
        if len > mapped {
            let text = format!("has {mapped} bytes mapped, fewer than {len}; grow it instead");
            return Err(Error::invalid(self.path(), text));
        }
        let part = self.part(len)?;
        let (size, end) = (self.size_of_file()?, self.view.offset + mapped);
        let (path, DaxView { file, guarantee, .. }) = (self.path(), &self.view);
        if size > end {
            let text = format!(
                "has {size} bytes, and its mapping ends at {end}, so shrinking would remove bytes that are not mapped; \
                 map it up to its end"
            );
            return Err(Error::invalid(path, text));
        }
        self.require_no_sharers()?;
        let mapping = map(path, file, &part, None, &self.how(0..0), guarantee)?;
        let size = self.view.offset + len;
        file.set_len(size).map_err(|error| Error::os(path, files::SET_LEN, &error))?;
        self.replace(mapping);
        // A failure here belongs to the new mapping.
        self.sync()
    }

    /// Syncs the file. A failure, whatever its number, can affect any stored byte, and the kernel reports it once.
    fn sync(&self) -> Result<(), Error> {
        let DaxView { file, mapping, .. } = &self.view;
        if let Err(error) = file.sync(mapping.writeback()) {
            let errno = files::number(&error);
            mapping.fail(Failure::Writeback { at: 0, len: self.view.len(), errno });
        }
        self.view.check()
    }

    /// Replaces the mapping before the old one ends. A child that another thread forks meanwhile drops its own copy of
    /// the file: a plain assignment would leave it a mapping that is already unmapped.
    fn replace(&mut self, mapping: Mapping) {
        drop(mem::replace(&mut self.view.mapping, mapping));
    }

    /// Returns the same part of the file, with a new length.
    fn part(&self, len: u64) -> Result<Part, Error> {
        // The new mapping would hide a failure of the old one.
        self.view.check()?;
        let (path, DaxView { guarantee, offset, .. }) = (self.path(), &self.view);
        if guarantee.is_device_dax {
            let text = "is device DAX, whose size programs cannot change; map another part of it, or reconfigure it \
                        (daxctl reconfigure-device)";
            return Err(Error::unsupported(path, text));
        }
        let (offset, alignment) = (*offset, guarantee.alignment);
        let end = offset.checked_add(len).ok_or_else(|| too_long(path, offset, len))?;
        check_new_len(path, end)?;
        let bounds = Bounds { size: end, alignment, is_device: false };
        let len = bounds.mapped_len(path, offset, Some(len))?;
        Ok(Part { offset, len, alignment, access: Access::ReadAndWrite })
    }

    /// Returns the same method; drops a range of the file from the page cache.
    const fn how(&self, uncached: Range<u64>) -> How {
        How { writeback: self.view.mapping.writeback(), populate: self.view.populate, uncached }
    }

    /// Returns the length of the file, which is at least that of its mapping.
    fn size_of_file(&self) -> Result<u64, Error> {
        let (path, DaxView { file, offset, .. }) = (self.path(), &self.view);
        let metadata = uninterrupted(|| file.metadata())
            .map_err(|error| Error::os(path, files::METADATA, &error))?;
        let (size, needed) = (metadata.len(), offset + self.view.len());
        if size < needed {
            return Err(Error::new(path, ErrorKind::Shorter { size, needed }));
        }
        Ok(size)
    }

    /// Refuses a shared lock: two processes that make a file longer would write their zeros over each other's bytes.
    fn require_no_sharers(&self) -> Result<(), Error> {
        if self.view.lock() != Lock::Shared {
            return Ok(());
        }
        Err(Error::invalid(
            self.path(),
            "is open under a shared lock, so others may change its length too; open it with an exclusive lock",
        ))
    }
}

impl Deref for DaxFile {
    type Target = DaxView;

    #[inline]
    fn deref(&self) -> &DaxView {
        &self.view
    }
}

impl AsRef<DaxView> for DaxFile {
    fn as_ref(&self) -> &DaxView {
        &self.view
    }
}

impl Readable for DaxFile {
    type Error = Error;

    fn len(&self) -> u64 {
        self.view.len()
    }

    #[inline]
    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Error> {
        let word = self.load(at, order);
        self.check().map(|()| word)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.view.read(at, into)
    }

    fn pread(&self, at: u64, into: &mut [u8]) -> Option<Result<(), Error>> {
        self.view.pread(at, into)
    }

    fn check(&self) -> Result<(), Error> {
        self.view.check()
    }
}

impl Medium for DaxFile {
    #[inline]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        Self::load(self, at, order)
    }

    fn granularity(&self) -> Granularity {
        self.view.granularity()
    }

    /// Returns 8: an aligned store writes 8 bytes at once (SNIA NVM Programming Model, power-fail atomicity). This
    /// holds for memory. A drive that promises no more (NVM Express: AWUPF) can lose the whole sector that it was
    /// writing when the power failed.
    fn atomic_unit(&self) -> usize {
        WORD
    }

    #[inline]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        Self::store(self, at, word, order);
    }

    #[inline]
    fn write(&self, at: u64, from: &[u8]) {
        Self::write(self, at, from);
    }

    #[inline]
    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Error> {
        self.view.issue_writeback(range)
    }

    #[inline]
    fn fence(&self) -> Result<(), Error> {
        self.view.fence()
    }

    #[inline]
    fn order_observed(&self) {
        self.view.order_observed();
    }

    #[inline]
    fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        self.view.mapping.persist(range)
    }

    fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        Self::persist_copy(self, parts)
    }

    /// Copies to a destination about which nothing is known.
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        self.copy(parts, Destination::Unknown, true)
    }

    #[expect(unsafe_code, reason = "its duty is the caller's")]
    unsafe fn copy_unordered(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        self.copy(parts, Destination::Unknown, false)
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Error> {
        self.view.deep_persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        Some(&self.writer_lock)
    }
}

/// Returns the range of the file that a part of a copy has.
const fn part(at: u64, bytes: &[u8]) -> Range<u64> {
    at..at.wrapping_add(bytes.len() as u64)
}
