//! Regions: bytes of a store that are used in place.

#[cfg(all(
    feature = "dax",
    any(target_os = "linux", target_os = "macos", windows),
    not(cachemaint_loom)
))]
mod file;

use crate::append::Draft;
use crate::attributes::Attributes;
use crate::blob_writer::write_zeros;
use crate::error::{Error, ErrorKind};
use crate::format::PAGE;
use crate::format::entry::{EntryKind, Use};
use crate::info::{Content, Info};
use crate::store::{InUse, Store, Writer};
use crate::transaction::Transaction;
use alloc::sync::Arc;
use alloc::vec::Vec;
use cachemaint::family::WORD;
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint_format::root;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// A region of a store, used in place: a [`Medium`] with offsets from 0.
///
/// Returned by [`Store::region`](crate::Store::region). It holds the store's medium, and can outlive the store. Threads
/// can share it, and the store can be written meanwhile. As on the medium itself, stored bytes survive once they are
/// written back. See [Regions](crate#regions).
///
/// A medium without a [`writer_lock`](Medium::writer_lock) admits a second store, which could delete the region or be
/// sealed. Drop every [`Region`] first.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::{Backing, Memory}};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::medium::{Medium, Readable};
/// use cachemaint_store::Store;
/// use std::sync::atomic::Ordering;
///
/// let (mut store, _) = Store::create_new(medium)?;
/// let counters = store.region_or_create("counters", 4096)?;
/// counters.store(0, counters.load(0, Ordering::Relaxed) + 1, Ordering::Relaxed);
/// counters.persist(0..8)?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Region<M: Medium> {
    medium: Arc<M>,
    info: Info,
    /// Keeps the region in use. It is also the lock for a log in the region.
    mark: Arc<WriterLock>,
    /// Held as long as the store or one of its regions exists.
    writer: Writer,
}

/// Returns another handle of the same region.
impl<M: Medium> Clone for Region<M> {
    fn clone(&self) -> Self {
        let Self { medium, info, mark, writer } = self;
        let (medium, mark) = (Arc::clone(medium), Arc::clone(mark));
        Self { medium, info: *info, mark, writer: writer.clone() }
    }
}

impl<M: Medium> Region<M> {
    /// Returns its entry in the table from before the store handed it out. [`Info::is_dirty`] is false if its bytes are
    /// those of the last seal.
    #[must_use]
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// Returns the medium of the store. The region takes up its [range](Info::range).
    #[must_use]
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// Converts a range of the region to one of the medium.
    #[inline]
    #[track_caller]
    pub(crate) fn on_medium(&self, range: &Range<u64>) -> Range<u64> {
        let len = self.info.len;
        assert!(
            range.start <= range.end && range.end <= len,
            "the range {range:?} is out of range: the region has {len} bytes"
        );
        self.info.offset + range.start..self.info.offset + range.end
    }

    /// Converts parts of the region to parts of the medium.
    #[track_caller]
    fn parts<'b>(&self, parts: &[(u64, &'b [u8])]) -> Vec<(u64, &'b [u8])> {
        parts.iter().map(|(at, bytes)| (self.at(*at, bytes.len()), *bytes)).collect()
    }

    #[inline]
    #[track_caller]
    fn at(&self, at: u64, len: usize) -> u64 {
        self.on_medium(&(at..at.saturating_add(len as u64))).start
    }

    /// Returns the offset of a word on the medium. It checks the offset here, since the medium's own panic would name
    /// the medium's offset.
    #[inline]
    #[track_caller]
    fn word(&self, at: u64) -> u64 {
        assert!(at.is_multiple_of(WORD as u64), "offset {at} is not a multiple of {WORD}");
        self.at(at, WORD)
    }
}

impl<M: Medium> Transaction<'_, M> {
    /// Creates a region of `len` zero bytes. Once the transaction is committed, use it in place with [`Store::region`].
    ///
    /// It begins at a multiple of the alignment that [`Attributes::alignment`] sets, for example a huge page, and at
    /// least of 4096 bytes. It shares no such block with anything else.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if `len` is 0 or not a multiple of the alignment; [`ErrorKind::NameTaken`] if a blob or a
    /// region of this name exists. Otherwise same as [`put`](Self::put).
    ///
    /// # Cost
    /// The zeros are written and written back. On some CPUs a long region takes several fences.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn create_region<'a>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        len: u64,
    ) -> Result<(), Error<M::Error>> {
        let attributes = attributes.into();
        attributes.check()?;
        let attributes = attributes.alignment(attributes.alignment.max(PAGE));
        if len == 0 || !len.is_multiple_of(attributes.alignment) {
            let rule = "the length of a region must be a multiple of its alignment, which is at least 4096";
            return Err(Error::invalid(rule, len));
        }
        let claim = self.claim(&attributes, EntryKind::Region, len)?;
        let zeros = write_zeros(self.medium(), claim.place.start..claim.place.start + len);
        let created = Use { commit: claim.entry.commit, is_dirty: false };
        self.end(&attributes, claim, zeros.map(|()| created.word()).map_err(Error::medium))
    }
}

impl<M: Medium> Store<M> {
    /// Returns a region of the last commit, for use in place.
    ///
    /// First records that the region is [dirty](Info::is_dirty). This record removes the seal of the store, and is made
    /// as deeply durable as the medium allows.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::OtherContent`]; those of [`begin`](Self::begin) and
    /// [`commit`](crate::Transaction::commit).
    ///
    /// # Cost
    /// Two fences, and a write-back of the log as deep as the medium allows; none of that if nothing was committed
    /// since the region was last handed out. The region is not read.
    pub fn region(&mut self, name: &str) -> Result<Region<M>, Error<M::Error>> {
        let info = self.stat(name).ok_or_else(|| Error::not_found(name))?;
        if info.content != Content::Region {
            return Err(Error::other_content(name, info.content));
        }
        self.check_is_usable()?;
        let taken = self.in_use.get(&info.offset);
        if taken.is_none_or(|taken| taken.commit != self.table.state.number) {
            self.note_use(&info)?;
        }
        let taken = self.in_use.entry(info.offset).or_default();
        let mark = taken.mark.upgrade().unwrap_or_default();
        *taken = InUse { mark: Arc::downgrade(&mark), commit: self.table.state.number };
        let (medium, writer) = (Arc::clone(&self.medium), self.writer.clone());
        Ok(Region { medium, info, mark, writer })
    }

    /// Returns a region for use in place. If the store has no region of this name, first commits a new one of `len`
    /// zero bytes.
    ///
    /// A crash during the call leaves no region or a complete one, so the next call succeeds. An existing region keeps
    /// its length and its attributes, which [`Region::info`] returns.
    ///
    /// # Errors
    /// Same as [`create_region`](crate::Transaction::create_region) and [`region`](Self::region).
    ///
    /// # Cost
    /// That of `region`; for a new region, also another commit and the write-back of its zeros.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn region_or_create<'a>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        len: u64,
    ) -> Result<Region<M>, Error<M::Error>> {
        let attributes = attributes.into();
        let mut transaction = self.begin()?;
        if transaction.contains(attributes.name) {
            drop(transaction);
        } else {
            transaction.create_region(attributes, len)?;
            transaction.commit()?;
        }
        self.region(attributes.name)
    }

    /// Records that a region is handed out.
    ///
    /// The seal was made as deeply durable as the medium allows, so it would reappear if the caches or buffers that
    /// hold the record are lost. Not every process is permitted to flush the medium's own buffers; the lines are then
    /// at least written back.
    fn note_use(&mut self, info: &Info) -> Result<(), Error<M::Error>> {
        self.unseal()?;
        let used = Use { commit: self.table.state.number + 1, is_dirty: true };
        let live = self.table.live.get(info.name.as_bytes()).map(|live| live.used(used));
        self.append_changes(Draft::commit((self.clock)(), false), live.into_iter().collect())?;
        drop(self.deep_persist_log());
        Ok(())
    }

    /// Makes everything durable again, as deeply as the medium allows, and records that: on a DAX file up to the
    /// medium's own buffers ([`DaxFile::deep_persist`](cachemaint::dax::DaxFile::deep_persist)). The next opening finds
    /// the store [sealed](crate::Opened::was_sealed) if nothing changes afterwards. Returns the number of the commit.
    ///
    /// Regions that this store has handed out are no longer [dirty](crate::Info::is_dirty). Those that an earlier
    /// process left dirty are written back, too, but stay dirty.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] as long as a [`Region`](crate::Region) exists: its bytes can change. If the medium fails:
    /// no blob is lost, and the next opening may or may not find the store sealed; if it does, all bytes in use were
    /// written back.
    ///
    /// # Cost
    /// A write-back of all lines of the store that are in use, and a record.
    pub fn seal(&mut self) -> Result<u64, Error<M::Error>> {
        self.check_is_usable()?;
        let mut clean = Vec::new();
        for live in self.table.live.iter().filter(|live| live.entry.kind == EntryKind::Region) {
            let used = live.entry.last_use();
            let Some(taken) = self.in_use.get(&live.entry.at).filter(|_| used.is_dirty) else {
                continue;
            };
            if taken.is_now() {
                let name = Some(live.info().name.as_str().into());
                return Err(Error(ErrorKind::InUse { name }));
            }
            clean.push(live.used(Use { is_dirty: false, ..used }));
        }
        // Other threads may have stored to regions.
        self.medium.order_observed();
        for range in self.space.used().chain(core::iter::once(0..root::BYTES)) {
            self.medium.deep_persist(range).map_err(Error::medium)?;
        }
        self.append_changes(Draft::commit((self.clock)(), true), clean)?;
        self.in_use.clear();
        // Without this, the next opening may find the previous record, which is not sealed.
        self.deep_persist_log().map_err(Error::medium)?;
        Ok(self.table.state.number)
    }
}

/// Offsets are relative to the region.
impl<M: Medium + Send> Readable for Region<M> {
    type Error = M::Error;

    fn len(&self) -> u64 {
        self.info.len
    }

    #[inline]
    #[track_caller]
    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, M::Error> {
        Ok(self.load(at, order))
    }

    #[inline]
    #[track_caller]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), M::Error> {
        self.medium.read(self.at(at, into.len()), into)
    }

    #[track_caller]
    fn pread(&self, at: u64, into: &mut [u8]) -> Option<Result<(), M::Error>> {
        self.medium.pread(self.at(at, into.len()), into)
    }

    fn check(&self) -> Result<(), M::Error> {
        self.medium.check()
    }
}

/// Offsets are relative to the region. A fence completes the write-backs that this thread issued for the whole medium.
impl<M: Medium + Send> Medium for Region<M> {
    #[inline]
    #[track_caller]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(self.word(at), order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    #[inline]
    #[track_caller]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.medium.store(self.word(at), word, order);
    }

    #[inline]
    #[track_caller]
    fn write(&self, at: u64, from: &[u8]) {
        self.medium.write(self.at(at, from.len()), from);
    }

    #[inline]
    #[track_caller]
    fn issue_writeback(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.issue_writeback(self.on_medium(&range))
    }

    #[inline]
    #[track_caller]
    fn fence(&self) -> Result<(), M::Error> {
        self.medium.fence()
    }

    #[inline]
    #[track_caller]
    fn order_observed(&self) {
        self.medium.order_observed();
    }

    #[track_caller]
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        self.medium.copy_unfenced(&self.parts(parts))
    }

    /// The medium's own call can report the end of the process at its fence.
    #[track_caller]
    fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        self.medium.persist_copy(&self.parts(parts))
    }

    #[inline]
    #[track_caller]
    fn persist(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.persist(self.on_medium(&range))
    }

    #[track_caller]
    fn deep_persist(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.deep_persist(self.on_medium(&range))
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        Some(&self.mark)
    }
}
