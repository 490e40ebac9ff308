//! Transactions: several puts and deletes that come about together.

use super::error::Error;
use super::format::key::BlobKey;
use super::format::table::size;
use super::format::{METADATA, NAME, UNIT, occupied};
use super::space::From;
use super::store::{Item, Items, Store};
use super::writer::{Writer, write_whole};
use crate::medium::Medium;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

/// What a blob is put with: its name, and what else there is to say of it.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    name: &'a str,
    version: u64,
    metadata: &'a [u8],
    alignment: u64,
}

impl<'a> Attributes<'a> {
    /// A name of 1 to 255 bytes, version 0, no metadata.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self { name, version: 0, metadata: &[], alignment: 1 }
    }

    /// A number of the caller's: of its layout, say, so that an older program does not misread it.
    #[must_use]
    pub const fn version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Up to 4096 bytes that are listed without reading the blob.
    #[must_use]
    pub const fn metadata(self, metadata: &'a [u8]) -> Self {
        Self { metadata, ..self }
    }

    /// What the blob begins at a multiple of in the medium, in bytes: a page, say, for what maps it. On a DAX
    /// file that is an offset in the file; where its pages are, [`Placement`](crate::dax::Placement) says.
    #[must_use]
    pub const fn alignment(self, bytes: u64) -> Self {
        Self { alignment: bytes, ..self }
    }

    fn check<E>(&self) -> Result<(), Error<E>> {
        let (len, alignment) = (self.name.len(), self.alignment);
        if !(1..=NAME).contains(&len) {
            return Err(Error::Name { len });
        }
        if self.metadata.len() > METADATA {
            return Err(Error::Metadata { len: self.metadata.len() });
        }
        if !alignment.is_power_of_two() || alignment > *UNIT.end() {
            return Err(Error::Alignment { alignment });
        }
        Ok(())
    }
}

/// A name alone.
impl<'a> core::convert::From<&'a str> for Attributes<'a> {
    fn from(name: &'a str) -> Self {
        Self::new(name)
    }
}

/// What becomes of a name.
#[derive(Debug)]
enum Change {
    Put(Item),
    Delete,
}

/// Puts and deletes that come about together, when they are committed. See [`Store::begin`].
///
/// Blobs are written to free space when they are put. If the transaction is dropped, that is free again, and
/// nothing has happened. It stays on its thread, as a fence completes the write-backs of its thread alone.
#[derive(Debug)]
pub struct Transaction<'s, M: Medium> {
    store: &'s mut Store<M>,
    changes: BTreeMap<Box<str>, Change>,
    /// Where the table will be.
    tables: Option<[Range<u64>; 2]>,
    /// Its bytes.
    table_len: u64,
    thread: PhantomData<*const ()>,
}

impl<'s, M: Medium> Transaction<'s, M> {
    pub(super) fn new(store: &'s mut Store<M>) -> Self {
        let (changes, table_len) = (BTreeMap::new(), store.header.len);
        Self { store, changes, tables: None, table_len, thread: PhantomData }
    }

    /// Puts a blob, in place of one of the same name.
    ///
    /// ```
    /// # use cachemaint::{Cache, medium::Memory, preserve::{Attributes, Options}};
    /// # use std::sync::atomic::AtomicU64;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let words: Vec<AtomicU64> = (0..8192).map(AtomicU64::new).collect();
    /// # let mut store = Options::with_entropy([1, 2]).create(Memory::new(&words, Cache::host()?))?;
    /// let mut transaction = store.begin()?;
    /// transaction.put("cpu", b"registers")?;
    /// transaction.put(Attributes::new("ram").version(3).alignment(4096), &[7; 10_000])?;
    /// transaction.commit()?; // both, or none
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Full`], before anything is written; [`Error::Name`], [`Error::Metadata`], [`Error::Alignment`],
    /// [`Error::TooMany`]; if the medium fails. The transaction is as it was then.
    ///
    /// # Cost
    /// The bytes are copied and written back. No fence.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn put<'a>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        bytes: &[u8],
    ) -> Result<(), Error<M::Error>> {
        let attributes = attributes.into();
        let len = bytes.len() as u64;
        let place = self.place(&attributes, Some(len))?;
        let written = write_whole(self.medium(), self.key(place.start), place.start, bytes);
        let tag = written.inspect_err(|_| self.store.space.give(&place))?;
        self.insert(&attributes, place.start, len, tag);
        Ok(())
    }

    /// A blob that is written piece by piece; it is put when it is [finished](Writer::finish).
    ///
    /// If its length is not known, it takes the largest free piece until then: so of several that are written at
    /// once say the length.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn writer<'t, 'a>(
        &'t mut self,
        attributes: impl Into<Attributes<'a>>,
        len: Option<u64>,
    ) -> Result<Writer<'t, 's, 'a, M>, Error<M::Error>> {
        let attributes = attributes.into();
        let place = self.place(&attributes, len)?;
        Ok(Writer::new(self, attributes, place, len))
    }

    /// Deletes a blob.
    ///
    /// # Errors
    /// [`Error::NotFound`]; if the medium fails.
    pub fn delete(&mut self, name: &str) -> Result<(), Error<M::Error>> {
        let item = self.find(name).ok_or(Error::NotFound)?;
        let len = self.table_len - size(name.len(), item.metadata.len());
        self.keep_tables(len)?;
        self.table_len = len;
        self.change(name, Change::Delete);
        Ok(())
    }

    /// Gives a blob another name; it is not copied.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NameTaken`], [`Error::Name`], [`Error::Full`]; if the medium fails.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Error<M::Error>> {
        Attributes::new(to).check()?;
        let item = self.find(from).ok_or(Error::NotFound)?.clone();
        if self.find(to).is_some() {
            return Err(Error::NameTaken);
        }
        let metadata = item.metadata.len();
        let len = self.table_len - size(from.len(), metadata) + size(to.len(), metadata);
        self.keep_room(len, |_| Ok(()))?;
        self.table_len = len;
        // The blob itself stays where it is.
        self.changes.insert(from.into(), Change::Delete);
        self.changes.insert(to.into(), Change::Put(item));
        Ok(())
    }

    /// Whether there is a blob of this name, with what was done so far.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Makes it all durable, at once: after a crash everything is there or nothing. Returns the number of
    /// the commit.
    ///
    /// # Errors
    /// [`Error::Full`], if there is no room for the table; [`Error::WornOut`]; if the medium fails. If that was so
    /// before anything of it could be seen, nothing has happened; else the store must be opened again
    /// ([`Error::Failed`]).
    ///
    /// # Cost
    /// Two fences, however many blobs. The table is written twice, and a header.
    pub fn commit(mut self) -> Result<u64, Error<M::Error>> {
        if !self.changes.is_empty() {
            self.write(false)?;
        }
        Ok(self.store.header.generation)
    }

    /// The same, sealed, and if nothing was changed too.
    pub(super) fn commit_sealed(mut self) -> Result<u64, Error<M::Error>> {
        self.write(true)?;
        Ok(self.store.header.generation)
    }

    fn write(&mut self, is_sealed: bool) -> Result<(), Error<M::Error>> {
        let tables = self.keep_tables(self.table_len)?;
        let preamble = self.store.preamble;
        let preamble = super::format::table::Preamble { stamp: self.store.stamp(), ..preamble };
        let items = merged(&self.store.items, &self.changes);
        let table = Store::<M>::table(&preamble, items, self.table_len);
        self.store.publish(table, &tables, is_sealed)?;
        self.store.preamble = preamble;
        self.tables = None;
        self.apply();
        Ok(())
    }

    /// What was committed is there, and what it replaced is free.
    fn apply(&mut self) {
        let (unit, generation) = (self.store.unit(), self.store.header.generation);
        let Store { items, space, .. } = &mut *self.store;
        let mut free = BTreeMap::new();
        let mut renamed = Vec::new();
        for (name, change) in core::mem::take(&mut self.changes) {
            let old = match change {
                Change::Put(item) => {
                    let is_old = item.len > 0 && item.generation < generation;
                    renamed.extend(Some(item.at).filter(|_| is_old));
                    items.insert(name, item)
                }
                Change::Delete => items.remove(&name),
            };
            // An empty one has no place of its own: another may begin there.
            let old = old.filter(|item| item.len > 0);
            free.extend(old.map(|item| (item.at, item.range(unit))));
        }
        free.retain(|at, _| !renamed.contains(at));
        for range in free.values() {
            space.give(range);
        }
    }

    pub(super) fn medium(&self) -> &M {
        &self.store.medium
    }

    pub(super) const fn unit(&self) -> u64 {
        self.store.unit()
    }

    /// Returns the generation that the commit will have.
    const fn generation(&self) -> u64 {
        self.store.header.generation + 1
    }

    /// Returns the key of a blob that is put at an offset.
    pub(super) fn key(&self, at: u64) -> BlobKey {
        BlobKey::new(self.store.identity(), self.generation(), at)
    }

    /// Gives back where a blob was to be written.
    pub(super) fn give(&mut self, place: &Range<u64>) {
        self.store.space.give(place);
    }

    /// Gives back what a blob does not need of its place.
    pub(super) fn shorten(&mut self, place: &Range<u64>, end: u64) {
        self.store.space.shorten(place, end);
    }

    /// Takes a blob that was written into the transaction.
    pub(super) fn insert(&mut self, attributes: &Attributes<'_>, at: u64, len: u64, tag: u64) {
        let Attributes { name, version, metadata, .. } = *attributes;
        self.table_len = self.table_len_with(attributes);
        let item = Item {
            at,
            len,
            version,
            generation: self.generation(),
            seconds: self.store.stamp().seconds,
            tag,
            metadata: metadata.into(),
        };
        self.change(name, Change::Put(item));
    }

    fn find(&self, name: &str) -> Option<&Item> {
        match self.changes.get(name) {
            Some(Change::Put(item)) => Some(item),
            Some(Change::Delete) => None,
            None => self.store.items.get(name),
        }
    }

    /// Notes a change. What was put before in this transaction is free again.
    fn change(&mut self, name: &str, change: Change) {
        if let Some(before) = self.changes.insert(name.into(), change) {
            self.forget(before);
        }
    }

    /// Gives back what a change has written, unless the last commit has it under another name.
    fn forget(&mut self, change: Change) {
        let (unit, last) = (self.unit(), self.store.header.generation);
        if let Change::Put(item) = change
            && item.generation > last
        {
            self.store.space.give(&item.range(unit));
        }
    }

    /// Bytes of the table with another blob.
    fn table_len_with(&self, attributes: &Attributes<'_>) -> u64 {
        let name = attributes.name;
        let before = self.find(name).map_or(0, |item| size(name.len(), item.metadata.len()));
        self.table_len - before + size(name.len(), attributes.metadata.len())
    }

    /// Finds room for a blob, and for the tables that it needs, before anything is written.
    fn place(
        &mut self,
        attributes: &Attributes<'_>,
        len: Option<u64>,
    ) -> Result<Range<u64>, Error<M::Error>> {
        attributes.check()?;
        let unit = self.unit();
        let alignment = attributes.alignment.max(unit);
        let table_len = self.table_len_with(attributes);
        self.keep_room(table_len, |store| match len {
            Some(len) => {
                let bytes = occupied(len, unit);
                let full = Error::Full { needed: len, largest: store.space.len() };
                store.claim(bytes.ok_or(full)?, alignment, From::Begin)
            }
            None => store.claim_largest(alignment),
        })
    }

    /// Sees to it that there is room for a table of so many bytes, and says where.
    fn keep_tables(&mut self, len: u64) -> Result<[Range<u64>; 2], Error<M::Error>> {
        let bytes = len.next_multiple_of(self.unit());
        let before = self.tables.clone();
        if let Some(tables) = &before
            && tables[0].end - tables[0].start >= bytes
        {
            return Ok(tables.clone());
        }
        // Where they are may be a part of what is needed.
        self.give_tables();
        let claimed = self.store.claim_tables(len);
        let tables = claimed.inspect_err(|_| self.take_tables(before))?;
        self.tables = Some(tables.clone());
        Ok(tables)
    }

    /// Does something beside a table of so many bytes. If that fails, the room for the table is what it was: a
    /// larger one would take from what is spare.
    fn keep_room<T>(
        &mut self,
        len: u64,
        work: impl FnOnce(&mut Store<M>) -> Result<T, Error<M::Error>>,
    ) -> Result<T, Error<M::Error>> {
        let before = self.tables.clone();
        self.keep_tables(len)?;
        let done = self.keep_spare(len, work);
        if done.is_err() {
            self.give_tables();
            self.take_tables(before);
        }
        done
    }

    fn give_tables(&mut self) {
        if let Some(tables) = self.tables.take() {
            self.store.give_tables(&tables);
        }
    }

    /// Takes places again that were given.
    fn take_tables(&mut self, tables: Option<[Range<u64>; 2]>) {
        for table in tables.iter().flatten() {
            self.store.space.take(table.clone());
        }
        self.tables = tables;
    }

    /// Does something, and leaves room for a table of so many bytes besides: so a store that is full can always
    /// have something deleted.
    fn keep_spare<T>(
        &mut self,
        len: u64,
        work: impl FnOnce(&mut Store<M>) -> Result<T, Error<M::Error>>,
    ) -> Result<T, Error<M::Error>> {
        let spare = self.store.claim_tables(len)?;
        let done = work(self.store);
        self.store.give_tables(&spare);
        done
    }
}

/// Items with the changes, in the order of names.
fn merged<'i>(
    items: &'i Items,
    changes: &'i BTreeMap<Box<str>, Change>,
) -> impl Iterator<Item = (&'i str, &'i Item)> {
    let mut kept = items.iter().filter(|(name, _)| !changes.contains_key(*name)).peekable();
    let put = changes.iter().filter_map(|(name, change)| match change {
        Change::Put(item) => Some((name, item)),
        Change::Delete => None,
    });
    let mut put = put.peekable();
    core::iter::from_fn(move || {
        let next = match (kept.peek(), put.peek()) {
            (Some((kept_name, _)), Some((put_name, _))) if kept_name < put_name => kept.next(),
            (_, Some(_)) => put.next(),
            (_, None) => kept.next(),
        };
        next.map(|(name, item)| (&**name, item))
    })
}

/// What was written is free again, unless it was committed.
impl<M: Medium> Drop for Transaction<'_, M> {
    fn drop(&mut self) {
        self.give_tables();
        for change in core::mem::take(&mut self.changes).into_values() {
            self.forget(change);
        }
    }
}
