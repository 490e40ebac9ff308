//! Files mapped for reading and writing.

use super::{DaxView, Error, Guarantee, Options};
use crate::cache::Destination;
use crate::medium::words::WORD;
use crate::medium::{Granularity, Medium, Readable, WriterLock};
use alloc::boxed::Box;
use core::any::Any;
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::fs::File;
use std::path::Path;

/// A mapped file: bytes that survive what its [`Guarantee`] says.
///
/// It is a [`Medium`], whose methods are those of the same names here. Everything that does not store is also that of
/// its [`view`](Self::view). Other threads, and other processes that map the file, may read and write at the same time;
/// so it hands out no slices but by `unsafe` methods.
///
/// Closing it (dropping) persists nothing that was not persisted before.
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
    /// Mapped for writing too ([`Access::ReadAndWrite`](super::system::Access)): nothing else makes a `DaxFile`.
    pub(super) view: DaxView,
    /// In a box, as it would lie before the view otherwise: a persist would need another address for that.
    writer_lock: Box<WriterLock>,
}

impl DaxFile {
    pub(super) fn of(view: DaxView) -> Self {
        Self { view, writer_lock: Box::default() }
    }

    /// Opens a whole file that can be persisted by cache lines or finer, with the defaults of
    /// [`Options`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().open(path)
    }

    /// Creates a file of `len` zero bytes that can be persisted by cache lines or finer, with the
    /// defaults of [`Options`].
    ///
    /// # Errors
    /// As [`Options::create_new`].
    pub fn create_new(path: impl AsRef<Path>, len: u64) -> Result<Self, Error> {
        Options::new().create_new(path, len)
    }

    /// Opens the file at the path, or creates a file of `len` zero bytes if the path does not exist, with the defaults
    /// of [`Options`].
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(path: impl AsRef<Path>, len: u64) -> Result<Self, Error> {
        Options::new().open_or_create(path, len)
    }

    /// Returns the part of it that does not store: for functions that take a view, and for everything else that needs
    /// no stores. That is its [lock](DaxView::lock), [offset](DaxView::offset) and [caches](DaxView::cache); the
    /// [doubt about its bytes](DaxView::taint); a [batch](DaxView::batch) of write-backs under one fence;
    /// [leases](DaxView::lease), the [placement](DaxView::placement) of its bytes and bytes
    /// [in place](DaxView::as_slice). On Linux these are its bad blocks (`bad_blocks`) and checked reads
    /// (`read_through_kernel`), too.
    #[must_use]
    pub const fn view(&self) -> &DaxView {
        &self.view
    }

    /// Returns the number of mapped bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.view.len()
    }

    /// Returns false: no mapping is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.view.is_empty()
    }

    /// Returns the smallest unit that is made persistent.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.view.granularity()
    }

    /// Returns the guarantee of its medium, with reason and evidence.
    #[must_use]
    pub const fn guarantee(&self) -> &Guarantee {
        self.view.guarantee()
    }

    /// Returns the path at which it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.view.path()
    }

    /// Returns the open file, as [`DaxView::file`] does.
    #[must_use]
    pub const fn file(&self) -> &File {
        self.view.file()
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

    /// Stores the word at `at`, little-endian in the bytes. It is persistent when a later write-back of it and a fence
    /// have returned.
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

    /// Copies bytes out, by loads from the mapping: a page with a media error ends the process by SIGBUS, unless the
    /// access is guarded. If others store to them meanwhile, it may be a mix of whole words.
    ///
    /// # Errors
    /// None today.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("read_at", "pread"))]
    #[track_caller]
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.view.read(at, into)
    }

    /// Copies bytes in, by ordinary stores. They are persistent when a later write-back of them and a fence have
    /// returned.
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

    /// Issues the write-back of a range. It is persistent when a [`fence`](Self::fence) on this thread has returned.
    ///
    /// By lines this costs an instruction each; by pages it is an `msync` of those that the range touches, or the
    /// system's calls for it, complete when it returns.
    ///
    /// # Errors
    /// As [`DaxView::issue_writeback`].
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// As [`DaxView::issue_writeback`]: by pages it also waits for calls of other threads.
    #[inline]
    #[track_caller]
    pub fn issue_writeback(&self, range: Range<u64>) -> Result<(), Error> {
        self.view.issue_writeback(range)
    }

    /// Completes the write-backs that this thread has issued for this file, and not those for another file.
    #[inline]
    pub fn fence(&self) {
        self.view.fence();
    }

    /// Orders what this thread has observed of others' stores before the write-backs that it issues next, as
    /// [`DaxView::order_observed`] does.
    #[inline]
    pub fn order_observed(&self) {
        self.view.order_observed();
    }

    /// Makes a range persistent: write-back and fence. Everything that this thread has stored to it is persistent when
    /// this returns, as far as the [guarantee](Self::guarantee) goes.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// One instruction for each line, and a fence. By pages a call of the operating system, in a round with those of other
    /// threads ([`issue_writeback`](DaxView::issue_writeback)).
    #[inline]
    #[track_caller]
    pub fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        self.view.persist(range)
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

    /// Makes a range persistent down to the medium's own buffers. It does the same as [`persist`](Self::persist), and
    /// then has the operating system empty the queues and buffers in front of the medium.
    ///
    /// After its return the bytes stored in the range before do not depend on stored energy (ADR) any more, if the
    /// medium can flush itself. The kernel assumes ADR for NVDIMMs without flush hints (Linux
    /// `drivers/nvdimm/region_devs.c`, `nvdimm_has_flush`).
    ///
    /// | medium | after the lines were written back, with eADR too, and fenced |
    /// |---|---|
    /// | a file on DAX | `msync` of the range's pages, which ends with a flush of the device, unless the file system was mounted with `nobarrier` |
    /// | device DAX | 1 is written to its region's attribute `deep_flush`, if that reads 1; if it reads 0, there is nothing to flush |
    /// | page granularity | the pages are written back by the system, as for `persist` |
    ///
    /// The lines are written back here in any case, since the kernel's own write-back can be switched off
    /// (`dax/write_cache` of the block device) and is off with eADR (`drivers/dax/super.c`, `dax_flush`).
    ///
    /// # Errors
    /// [`ErrorKind::Writeback`](super::ErrorKind::Writeback), if the system's call failed, or an earlier one since the file
    /// was opened.
    /// [`NotSupported::ForkedChild`](super::NotSupported::ForkedChild) in a child of the process that opened the file.
    /// [`ErrorKind::DeepFlush`](super::ErrorKind::DeepFlush), if the attribute is missing (as for RAM), cannot be read, has
    /// another value than 0 and 1, or cannot be written by this user: it is root's. After an error the medium may not have
    /// been flushed, and the lines were written back all the same. [`ErrorKind::Shorter`](super::ErrorKind::Shorter) as there.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Cost
    /// One instruction for each line, with eADR too, and at least one system call, which can take as long as the medium
    /// needs. Use it for bytes that must outlive a failure of the stored energy, not for each record.
    #[doc(alias("pmem_deep_persist", "deep_flush", "pmem2_deep_flush"))]
    #[track_caller]
    pub fn deep_persist(&self, range: Range<u64>) -> Result<(), Error> {
        if let Some(cache) = self.view.cache() {
            self.view.writeback_lines(&range, cache);
            cache.fence();
        }
        self.view.by_system(&range, || self.view.mapping.flush_medium(&range))?;
        self.view.check_stores()?;
        self.view.check_length(&range)
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
        Self::len(self)
    }

    #[inline]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        Self::load(self, at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        Self::read(self, at, into)
    }

    fn check(&self) -> Result<(), Error> {
        Readable::check(&self.view)
    }

    fn as_any_view(&self) -> Option<&dyn Any> {
        Some(self.view())
    }
}

impl Medium for DaxFile {
    fn granularity(&self) -> Granularity {
        Self::granularity(self)
    }

    /// Returns 8: an aligned store writes 8 bytes at once (SNIA NVM Programming Model, power-fail
    /// atomicity). That is about memory. A drive without a promise of its own (NVM Express: AWUPF) can
    /// lose a whole sector that it was writing when the power went.
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
        Self::issue_writeback(self, range)
    }

    #[inline]
    fn fence(&self) {
        Self::fence(self);
    }

    #[inline]
    fn order_observed(&self) {
        Self::order_observed(self);
    }

    #[inline]
    fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        Self::persist(self, range)
    }

    /// Copies to a destination of which nothing is known.
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        self.copy_unfenced_to(parts, Destination::Unknown, true)
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Error> {
        Self::deep_persist(self, range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        Some(&self.writer_lock)
    }
}
