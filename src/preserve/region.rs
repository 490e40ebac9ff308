//! Regions: bytes of a store that are used in place.
//!
//! A store knows the regions that this process uses: of these it counts the references to a mark that each [`Region`]
//! holds. A region in use is neither deleted nor sealed.

use super::error::{Error, ErrorKind};
use super::format::table::Entry;
use super::info::{Content, Info, ShortName};
use super::store::Store;
use crate::medium::words::WORD;
use crate::medium::{Granularity, Medium, Readable};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// Parts that are passed on to the medium at once, without an allocation.
const PARTS: usize = 8;

/// The regions that this process uses, by their offsets.
#[derive(Debug, Default)]
pub(super) struct InUse(Vec<(u64, Weak<()>)>);

impl InUse {
    /// Returns true if an entry is one of a region that is in use.
    pub(super) fn contains(&self, entry: &Entry) -> bool {
        entry.content == Content::Region && self.mark(entry.at).is_some()
    }

    /// Returns the offset of a region that is in use, if there is one.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.iter().find(|(_, mark)| mark.strong_count() > 0).map(|(at, _)| *at)
    }

    fn mark(&self, at: u64) -> Option<Arc<()>> {
        self.0.iter().filter(|(of, _)| *of == at).find_map(|(_, mark)| mark.upgrade())
    }

    fn take(&mut self, at: u64) -> Arc<()> {
        self.0.retain(|(_, mark)| mark.strong_count() > 0);
        let mark = self.mark(at).unwrap_or_default();
        self.0.push((at, Arc::downgrade(&mark)));
        mark
    }
}

/// A region of a store, to be used in place: a [`Medium`], whose offsets begin at 0.
///
/// [`Store::region`] returns it. It holds the store's medium, and can outlive the store. Threads can share it, and the store
/// can be written meanwhile. While it exists, its bytes belong to its users: what is stored survives as on the medium
/// alone, when it was written back. See [Regions](super#regions).
///
/// Another store that is opened in the same medium does not know of it, and could delete the region or be sealed. A file is
/// locked as long as a [`Region`] holds it; share other media only when each has been dropped.
#[derive(Clone, Debug)]
pub struct Region<M: Medium> {
    medium: Arc<M>,
    info: Info,
    /// As long as it exists, the region is in use.
    _mark: Arc<()>,
}

impl<M: Medium> Store<M> {
    /// Returns a region of the last commit, to be used in place.
    ///
    /// If the store is sealed, a commit removes the seal first, as the bytes can change from now on.
    ///
    /// ```
    /// # #[cfg(feature = "dax")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cachemaint::medium::Medium as _;
    /// use cachemaint::{dax, preserve::{Attributes, Store}};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("state");
    /// let file = dax::Options::new().allow_page_granularity().open_or_create(&path, 16 << 20)?;
    /// let (mut store, opened) = Store::open_or_create(file)?;
    /// if store.reader().stat("ram")?.is_none() {
    ///     let mut transaction = store.begin()?;
    ///     transaction.create_region(Attributes::new("ram").alignment(2 << 20), 4 << 20)?;
    ///     transaction.commit()?;
    /// }
    /// // After a seal the bytes are those of its moment. Otherwise they can be of different moments.
    /// let is_whole = opened.is_some_and(|opened| opened.was_sealed);
    /// let ram = store.region("ram")?;
    /// ram.write(4096, b"in place");
    /// ram.persist(4096..4104)?;
    /// drop(ram);
    /// store.seal()?; // before a planned restart: writes everything back
    /// # assert!(!is_whole);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "dax"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotARegion`]; as [`begin`](Self::begin), and if the seal cannot be removed, as
    /// [`commit`](super::Transaction::commit).
    ///
    /// # Cost
    /// A page of each level of the table is read. Nothing of the region is read. If the store is sealed, two fences.
    pub fn region(&mut self, name: &str) -> Result<Region<M>, Error<M::Error>> {
        let info = self.snapshot()?.find(name)?.ok_or_else(|| Error::not_found(name))?;
        if info.content != Content::Region {
            return Err(Error(ErrorKind::NotARegion { name: ShortName::of(name) }));
        }
        // After a commit that failed, the medium may have a seal that is not known here.
        let is_sealed = self.header.is_sealed;
        let transaction = self.begin()?;
        if is_sealed {
            transaction.commit_seal(false)?;
        } else {
            drop(transaction);
        }
        let (medium, mark) = (Arc::clone(&self.medium), self.in_use.take(info.offset));
        Ok(Region { medium, info, _mark: mark })
    }

    /// Refuses to go on as long as a region is in use.
    pub(super) fn require_no_region_in_use(&self) -> Result<(), Error<M::Error>> {
        let Some(at) = self.in_use.first() else { return Ok(()) };
        for info in self.snapshot()?.entries() {
            let info = info?;
            if info.content == Content::Region && info.offset == at {
                let name = ShortName::of(info.name.as_str());
                return Err(Error(ErrorKind::RegionInUse { name }));
            }
        }
        Ok(())
    }
}

impl<M: Medium> Region<M> {
    /// Returns its entry in the table, as it was when it was returned by the store.
    #[must_use]
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// Returns the medium of the store. The region has its [range](Info::range).
    #[must_use]
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns a range of the region as one of the medium.
    #[inline]
    #[track_caller]
    pub(super) fn on_medium(&self, range: &Range<u64>) -> Range<u64> {
        let len = self.info.len;
        assert!(
            range.start <= range.end && range.end <= len,
            "the range {range:?} is out of range: the region has {len} bytes"
        );
        self.info.offset + range.start..self.info.offset + range.end
    }

    #[inline]
    #[track_caller]
    fn at(&self, at: u64, len: usize) -> u64 {
        self.on_medium(&(at..at.saturating_add(len as u64))).start
    }
}

/// Offsets are those in the region.
impl<M: Medium + Send> Readable for Region<M> {
    type Error = M::Error;

    fn len(&self) -> u64 {
        self.info.len
    }

    #[inline]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(self.at(at, WORD), order)
    }

    #[inline]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), M::Error> {
        self.medium.read(self.at(at, into.len()), into)
    }
}

/// Offsets are those in the region.
impl<M: Medium + Send> Medium for Region<M> {
    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    #[inline]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.medium.store(self.at(at, WORD), word, order);
    }

    #[inline]
    fn write(&self, at: u64, from: &[u8]) {
        self.medium.write(self.at(at, from.len()), from);
    }

    #[inline]
    fn writeback(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.writeback(self.on_medium(&range))
    }

    #[inline]
    fn fence(&self) {
        self.medium.fence();
    }

    #[inline]
    fn order_observed(&self) {
        self.medium.order_observed();
    }

    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        for (at, bytes) in parts {
            self.at(*at, bytes.len());
        }
        for some in parts.chunks(PARTS) {
            let mut on_medium = [(0, [].as_slice()); PARTS];
            for (part, (at, bytes)) in on_medium.iter_mut().zip(some) {
                *part = (self.info.offset + at, bytes);
            }
            self.medium.copy_unfenced(&on_medium[..some.len()])?;
        }
        Ok(())
    }

    #[inline]
    fn persist(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.persist(self.on_medium(&range))
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.deep_persist(self.on_medium(&range))
    }
}
