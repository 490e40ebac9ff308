//! Transactions: several puts and deletes that take effect together.

use super::attributes::Attributes;
use super::reserve::{Claim, Held, Pair, Undo};
use super::room::{Kind, Resized, Touched};
use super::store::Store;
use super::stream::{write_whole, write_zeros};
use super::tree::{Changes, Tree};
use crate::medium::Medium;
use crate::preserve::error::{Error, ErrorKind};
use crate::preserve::format::REGION;
use crate::preserve::format::header::Header;
use crate::preserve::format::key::BlobKey;
use crate::preserve::format::table::{ENTRY, Entry, Preamble, Use, size};
use crate::preserve::headers;
use crate::preserve::info::{Content, ShortName};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

/// Returns the bytes of an entry.
fn bytes_of(entry: &Entry, name: &[u8], metadata: &[u8]) -> Box<[u8]> {
    let entry = Entry { name: name.len(), metadata: metadata.len(), ..*entry };
    let mut bytes = Vec::with_capacity(entry.size() as usize);
    bytes.extend_from_slice(&entry.bytes());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(metadata);
    bytes.resize(entry.size() as usize, 0);
    bytes.into()
}

/// Returns true if an entry is one of a region.
fn is_region(entry: &[u8]) -> bool {
    read(entry).is_some_and(|entry| entry.content == Content::Region)
}

/// Returns an entry with other fields or under another name, and with its metadata.
fn rewritten(entry: &[u8], name: &[u8], edit: impl FnOnce(Entry) -> Entry) -> Option<Box<[u8]>> {
    let before = read(entry)?;
    let metadata = &entry[ENTRY + before.name..][..before.metadata];
    Some(bytes_of(&edit(before), name, metadata))
}

/// Returns the fields of an entry that is in the table or was made here.
fn read(bytes: &[u8]) -> Option<Entry> {
    Entry::read(bytes.first_chunk()?)
}

/// Returns the places of the blobs that a commit after generation `last` removes.
fn replaced(changes: &Changes, tree: &Tree, last: u64, unit: u64) -> BTreeMap<u64, u64> {
    // An empty one has no place of its own: another may begin there.
    let blob = |bytes: &[u8]| read(bytes).filter(|entry| entry.len > 0);
    let renamed = changes.values().flatten().filter_map(|entry| blob(entry));
    let renamed: BTreeSet<u64> =
        renamed.filter(|entry| entry.generation <= last).map(|entry| entry.at).collect();
    let before = changes.keys().filter_map(|name| blob(tree.find(name)?));
    let replaced = before.filter(|entry| !renamed.contains(&entry.at));
    replaced.map(|entry| (entry.at, entry.occupied(unit).unwrap_or(0))).collect()
}

/// Puts and deletes that take effect together, when they are committed. See [`Store::begin`].
///
/// Blobs are written to free space when they are put. If the transaction is dropped, that space is free again, and
/// nothing has changed. A transaction stays on its thread, as a fence completes the write-backs of its thread alone.
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::Store;
///
/// let mut store = Store::create_new(medium)?;
/// let mut transaction = store.begin()?;
/// transaction.put("new", b"registers")?;
/// transaction.commit()?;
///
/// let mut transaction = store.begin()?;
/// transaction.rename("new", "cpu")?;
/// transaction.put("ram", &[7; 1000])?;
/// drop(transaction); // nothing has changed
/// assert!(store.begin()?.contains("new"));
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
#[must_use = "dropping it discards the changes"]
pub struct Transaction<'s, M: Medium> {
    store: &'s mut Store<M>,
    changes: Changes,
    /// Blobs after the changes.
    blobs: u64,
    touched: Touched,
    /// The places that the store held before, unless it was committed.
    reserve: Option<Held>,
    /// The places of the root that has no seal any more, if the store is sealed and something is to change.
    unsealed: Option<Pair>,
    thread: PhantomData<*const ()>,
}

impl<M: Medium> Store<M> {
    /// Begins a transaction. Its puts and deletes take effect together when it is [committed](Transaction::commit), and
    /// not at all if it is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`], after a commit that failed; [`ErrorKind::Overtaken`], if another writer has written the
    /// store without a lock.
    pub fn begin(&mut self) -> Result<Transaction<'_, M>, Error<M::Error>> {
        if self.has_failed {
            return Err(Error(ErrorKind::Failed));
        }
        let (ours, found) = (self.header.generation, headers::load(&*self.medium)?.generation);
        if ours != found {
            return Err(Error(ErrorKind::Overtaken { ours, found }));
        }
        Ok(Transaction::new(self))
    }
}

impl<'s, M: Medium> Transaction<'s, M> {
    fn new(store: &'s mut Store<M>) -> Self {
        let blobs = store.preamble.blobs;
        let (touched, reserve) = (Touched::default(), Some(store.held.clone()));
        let (changes, thread) = (Changes::new(), PhantomData);
        Self { store, changes, blobs, touched, reserve, unsealed: None, thread }
    }

    /// Puts a blob, which replaces one of the same name.
    ///
    /// ```
    /// # use cachemaint::{Cache, medium::Memory, preserve::{Attributes, Options}};
    /// # use cachemaint::survival::Backing;
    /// # use std::sync::atomic::AtomicU64;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let words: Vec<AtomicU64> = (0..8192).map(AtomicU64::new).collect();
    /// # let memory = Memory::new(&words, Cache::host()?, Backing::Ram);
    /// # let mut store = Options::with_entropy([1, 2]).create_new(memory).map_err(|failed| failed.error)?;
    /// let mut transaction = store.begin()?;
    /// transaction.put("cpu", b"registers")?;
    /// transaction.put(Attributes::new("ram").version(3).alignment(4096), &[7; 10_000])?;
    /// transaction.commit()?; // both, or none
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Full`], before anything is written; [`ErrorKind::NotABlob`], if the name has a region;
    /// [`ErrorKind::Name`], [`ErrorKind::Metadata`], [`ErrorKind::Alignment`], [`ErrorKind::TooMany`]; if the medium
    /// fails. An error leaves the transaction as it was.
    ///
    /// # Cost
    /// The bytes are copied and written back. Parts of a long blob take a fence each on some CPUs.
    /// By pages each blob takes one or two flushes.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn put<'a>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        bytes: &[u8],
    ) -> Result<(), Error<M::Error>> {
        self.put_whole(&attributes.into(), bytes)
    }

    fn put_whole(
        &mut self,
        attributes: &Attributes<'_>,
        bytes: &[u8],
    ) -> Result<(), Error<M::Error>> {
        let len = bytes.len() as u64;
        let (medium, key, claim) = self.claim(attributes, Content::Blob, len)?;
        let tag = write_whole(medium, key, claim.place.start, bytes).map_err(Error::medium)?;
        let place = claim.keep(Content::Blob, len);
        self.insert(attributes, Content::Blob, &place, tag);
        Ok(())
    }

    /// Creates a region of `len` zero bytes, which is used in place once the transaction is committed: see
    /// [`Store::region`].
    ///
    /// It begins at a multiple of the alignment that [`Attributes::alignment`] sets, and of 4096 bytes at least. For a
    /// region that is mapped by pages, that is a page, and for one that is mapped by huge pages a huge page. It shares none
    /// of them with anything else.
    ///
    /// # Errors
    /// [`ErrorKind::RegionLength`], if `len` is 0 or not a multiple of the alignment; [`ErrorKind::NameTaken`], if there is
    /// a blob or a region of this name. Otherwise as [`put`](Self::put).
    ///
    /// # Cost
    /// The zeros are written and written back. Parts of a long region take a fence each on some CPUs.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn create_region<'a>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        len: u64,
    ) -> Result<(), Error<M::Error>> {
        let attributes = attributes.into();
        attributes.check()?;
        let alignment = attributes.alignment.max(REGION);
        let attributes = attributes.alignment(alignment);
        if len == 0 || !len.is_multiple_of(alignment) {
            return Err(Error(ErrorKind::RegionLength { len, alignment }));
        }
        let created = Use { generation: self.generation(), is_dirty: false };
        let (medium, _, claim) = self.claim(&attributes, Content::Region, len)?;
        let start = claim.place.start;
        write_zeros(medium, start..start + len).map_err(Error::medium)?;
        let place = claim.keep(Content::Region, len);
        self.insert(&attributes, Content::Region, &place, created.word());
        Ok(())
    }

    /// Deletes a blob or a region.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::RegionInUse`], as long as there is a [`Region`](crate::preserve::Region)
    /// of it. [`ErrorKind::Full`], if the transaction has made another change before, and there is no room for another
    /// page of the table: commit first, and delete the blob afterwards. A store that an earlier program has filled can
    /// refuse the first change as well: see [Limits](crate::preserve#limits). If the medium fails.
    pub fn delete(&mut self, name: &str) -> Result<(), Error<M::Error>> {
        let before = self.find(name).ok_or_else(|| Error::not_found(name))?;
        if read(before).is_some_and(|entry| self.store.taken.is_in_use(&entry)) {
            return Err(Error(ErrorKind::RegionInUse { name: ShortName::of(name) }));
        }
        let before = before.len() as u64;
        self.hold_unsealed()?;
        self.check_room(&[(name.as_bytes(), before, 0)], false)?;
        self.change(name, None);
        Ok(())
    }

    /// Gives a blob or a region another name; it is not copied.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NameTaken`], [`ErrorKind::Name`], [`ErrorKind::Full`]; if the medium fails.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Error<M::Error>> {
        Attributes::new(to).check()?;
        let not_found = || Error::not_found(from);
        let before = self.find(from).ok_or_else(not_found)?;
        if self.find(to).is_some() {
            return Err(Error(ErrorKind::NameTaken { name: ShortName::of(to) }));
        }
        let renamed = rewritten(before, to.as_bytes(), |entry| entry).ok_or_else(not_found)?;
        let resized =
            [(from.as_bytes(), before.len() as u64, 0), (to.as_bytes(), 0, renamed.len() as u64)];
        self.hold_unsealed()?;
        self.check_room(&resized, true)?;
        for resized in resized {
            self.touched.resize(&self.store.tree, self.store.unit(), resized);
        }
        // The blob itself stays where it is.
        self.changes.insert(from.as_bytes().into(), None);
        self.changes.insert(to.as_bytes().into(), Some(renamed));
        Ok(())
    }

    /// Returns true if there is a blob or a region of this name, after the changes made so far.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Makes all changes durable at once: a crash leaves all of them or none. Returns the number of the commit.
    ///
    /// # Errors
    /// [`ErrorKind::Full`], if there is no room for the table; [`ErrorKind::TooMany`]; [`ErrorKind::WornOut`]; if the
    /// medium fails. After a failure before any change could be seen, nothing has changed, but a seal may be gone;
    /// otherwise the store must be opened again ([`ErrorKind::Failed`]).
    ///
    /// # Cost
    /// Two or three fences, for any number of blobs. The pages of the table in which names have changed, and those above
    /// them, are written twice, and a header. The first commit after a seal makes another one before, without changes, which
    /// removes the seal. That one is as durable as the seal was, where this process is permitted to.
    /// By pages each copy of a page and of the header is a flush: four in a small store.
    pub fn commit(mut self) -> Result<u64, Error<M::Error>> {
        if !self.changes.is_empty() {
            self.unseal()?;
            self.write(false)?;
        }
        Ok(self.store.header.generation)
    }

    /// Removes the seal, by a commit without changes that is made as deep as the seal was. The commit of the changes is not:
    /// if its header were, it would outlive the bytes of its blobs.
    fn unseal(&mut self) -> Result<(), Error<M::Error>> {
        let Some(root) = self.unsealed.take() else { return Ok(()) };
        self.store.held.keep_first(Kind::Root, root);
        self.store.publish_unsealed()?;
        // The root before has left its places to the commit of the changes.
        self.reserve = None;
        Ok(())
    }

    /// Notes that a region is handed out, or that it was sealed. Only the table changes, so its commit removes the seal.
    pub(super) fn note_use(&mut self, name: &str, is_dirty: bool) -> Result<(), Error<M::Error>> {
        let not_found = || Error::not_found(name);
        let before = self.find(name).ok_or_else(not_found)?;
        let next = self.store.header.generation + 1;
        let noted = |entry: Entry| {
            let last = entry.last_use().generation;
            let generation = if is_dirty { next } else { last };
            Entry { tag: Use { generation, is_dirty }.word(), ..entry }
        };
        let after = rewritten(before, name.as_bytes(), noted).ok_or_else(not_found)?;
        let len = after.len() as u64;
        self.check_room(&[(name.as_bytes(), len, len)], false)?;
        self.change(name, Some(after));
        Ok(())
    }

    /// Commits with a seal or without one, even if nothing was changed. A seal reaches as deep as the medium allows.
    pub(super) fn commit_seal(mut self, is_sealed: bool) -> Result<u64, Error<M::Error>> {
        self.write(is_sealed)?;
        if is_sealed {
            // Everything that the header refers to is durable already. Without this write-back the next opening may find
            // an older header, which is not sealed or whose places are used again.
            self.store.deep_persist_header().map_err(Error::medium)?;
        }
        Ok(self.store.header.generation)
    }

    fn write(&mut self, is_sealed: bool) -> Result<(), Error<M::Error>> {
        let plan =
            self.store.tree.plan(&self.changes, self.unit()).ok_or(Error(ErrorKind::TooMany))?;
        let (stamp, blobs) = (self.store.stamp(), self.blobs);
        let preamble = Preamble { blobs, stamp, ..self.store.preamble };
        let last = self.store.header.generation;
        let replaced = replaced(&self.changes, &self.store.tree, last, self.unit());
        self.store.publish(plan, &preamble, is_sealed)?;
        for (at, bytes) in replaced {
            self.store.space.give(&(at..at + bytes));
        }
        self.changes.clear();
        self.store.settle();
        self.reserve = None;
        Ok(())
    }

    pub(super) const fn unit(&self) -> u64 {
        self.store.unit()
    }

    /// Returns the generation that the commit will have. One that removes a seal comes before.
    const fn generation(&self) -> u64 {
        let Header { generation, is_sealed, .. } = self.store.header;
        generation + 1 + is_sealed as u64
    }

    /// Adds a blob or a region that was written to the transaction.
    pub(super) fn insert(
        &mut self,
        attributes: &Attributes<'_>,
        content: Content,
        place: &Range<u64>,
        tag: u64,
    ) {
        let (at, len) = (place.start, place.end - place.start);
        let Attributes { name, version, metadata, .. } = *attributes;
        let (generation, seconds) = (self.generation(), self.store.stamp().seconds);
        let (of_name, of_metadata) = (name.len(), metadata.len());
        let entry = Entry {
            at,
            len,
            version,
            generation,
            seconds,
            tag,
            content,
            name: of_name,
            metadata: of_metadata,
        };
        self.change(name, Some(bytes_of(&entry, name.as_bytes(), metadata)));
    }

    /// Returns the bytes of an entry.
    fn find(&self, name: &str) -> Option<&[u8]> {
        match self.changes.get(name.as_bytes()) {
            Some(change) => change.as_deref(),
            None => self.store.tree.find(name.as_bytes()),
        }
    }

    /// Records a change. The bytes of an earlier put in this transaction are free again.
    fn change(&mut self, name: &str, change: Option<Box<[u8]>>) {
        let len = |entry: &[u8]| entry.len() as u64;
        let (before, after) = (self.find(name).map(len), change.as_deref().map(len));
        let resized = (name.as_bytes(), before.unwrap_or(0), after.unwrap_or(0));
        self.touched.resize(&self.store.tree, self.store.unit(), resized);
        self.blobs -= u64::from(before.is_some());
        self.blobs += u64::from(after.is_some());
        if let Some(before) = self.changes.insert(name.as_bytes().into(), change) {
            self.forget(before.as_deref());
        }
    }

    /// Frees the bytes that a change has written, unless the last commit has them under another name.
    fn forget(&mut self, change: Option<&[u8]>) {
        let last = self.store.header.generation;
        if let Some(entry) = change.and_then(read)
            && entry.generation > last
            && let Some(bytes) = entry.occupied(self.unit())
        {
            self.store.space.give(&(entry.at..entry.at + bytes));
        }
    }

    /// Claims a place for a blob or a region, and those for the pages of the table that it needs. Returns the medium and
    /// the key of the bytes besides. An error changes nothing.
    pub(super) fn claim(
        &mut self,
        attributes: &Attributes<'_>,
        content: Content,
        len: u64,
    ) -> Result<(&M, BlobKey, Claim<'_>), Error<M::Error>> {
        attributes.check()?;
        let (unit, name) = (self.unit(), attributes.name);
        let alignment = attributes.alignment.max(unit);
        let before = self.find(name);
        if before.is_some_and(is_region) && content == Content::Blob {
            return Err(Error(ErrorKind::NotABlob { name: ShortName::of(name) }));
        }
        if before.is_some() && content == Content::Region {
            return Err(Error(ErrorKind::NameTaken { name: ShortName::of(name) }));
        }
        let before = before.map(|entry| entry.len() as u64);
        if before.is_none() && self.blobs >= u32::MAX.into() {
            return Err(Error(ErrorKind::TooMany));
        }
        let after = size(name.len(), attributes.metadata.len());
        self.hold_unsealed()?;
        let undo = self.fill(&[(name.as_bytes(), before.unwrap_or(0), after)], true)?;
        let (identity, generation) = (self.store.identity(), self.generation());
        let place = self.store.claim(content, len, alignment);
        let Store { medium, space, held, .. } = &mut *self.store;
        match place {
            Ok(place) => {
                let key = BlobKey::new(identity, generation, place.start);
                Ok((&**medium, key, Claim { space, held, place, undo: Some(undo) }))
            }
            Err(full) => {
                held.undo(undo, space);
                Err(full.into())
            }
        }
    }

    /// Refuses these changes where there is no room for them.
    fn check_room(&mut self, resized: &[Resized<'_>], spare: bool) -> Result<(), Error<M::Error>> {
        self.fill(resized, spare).map(drop)
    }

    /// Holds the places of the pages that the commit needs after these changes. A `spare` requires room for a deletion
    /// after the commit, so that a blob can be deleted from a full store. Returns the means to undo that.
    fn fill(&mut self, resized: &[Resized<'_>], spare: bool) -> Result<Undo, Error<M::Error>> {
        let places = self.touched.places_after(resized, &self.store.tree, self.unit(), spare);
        let left = self.unsealed.as_ref().map_or(0, |[root, _]| root.end - root.start);
        Ok(self.store.fill(&places.without_root(left))?)
    }

    /// Holds the places of a root without the seal, if the store is sealed.
    fn hold_unsealed(&mut self) -> Result<(), Error<M::Error>> {
        if self.store.header.is_sealed && self.unsealed.is_none() {
            self.unsealed = Some(self.store.hold_root()?);
        }
        Ok(())
    }
}

/// Frees the written bytes, unless they were committed.
impl<M: Medium> Drop for Transaction<'_, M> {
    fn drop(&mut self) {
        for change in core::mem::take(&mut self.changes).into_values() {
            self.forget(change.as_deref());
        }
        for place in self.unsealed.take().iter().flatten() {
            self.store.space.give(place);
        }
        if let Some(before) = self.reserve.take() {
            self.store.held.reset(before, &mut self.store.space);
        }
    }
}
