//! The store that is written: what is in it, and how a table is put in place of another.

use super::Identity;
use super::error::{Damage, Error, Part};
use super::format::header::{BYTES, Header};
use super::format::table::{Entry, PREAMBLE, Preamble, seal};
use super::format::{TABLE, data, headers as places_of, occupied};
use super::headers;
use super::lease::Leases;
use super::reader::{Info, Reader, Snapshot};
use super::space::{From, Space};
use super::stamp::Stamp;
use super::transaction::Transaction;
use crate::medium::Medium;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Asks for the first part of a range that a reader elsewhere holds a lease on.
pub(super) type Leased<M> = fn(&M, Range<u64>) -> Result<Option<Range<u64>>, <M as Medium>::Error>;

/// What a store can do that depends on its medium.
pub(super) struct Ways<M: Medium> {
    /// Makes a range durable as far as the medium's own buffers, and out of the caches.
    pub(super) deep_persist: fn(&M, Range<u64>) -> Result<(), M::Error>,
    pub(super) leased: Leased<M>,
    /// The time, in seconds since 1970-01-01 UTC.
    pub(super) seconds: Option<fn() -> u64>,
}

impl<M: Medium> Ways<M> {
    /// Those of any medium.
    pub(super) const ANY: Self =
        Self { deep_persist: M::persist, leased: |_, _| Ok(None), seconds: None };
}

impl<M: Medium> Clone for Ways<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Medium> Copy for Ways<M> {}

impl<M: Medium> fmt::Debug for Ways<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways").finish_non_exhaustive()
    }
}

/// A blob, as the table has it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) at: u64,
    pub(super) len: u64,
    pub(super) version: u64,
    pub(super) generation: u64,
    pub(super) seconds: u64,
    pub(super) tag: u64,
    pub(super) metadata: Box<[u8]>,
}

impl Item {
    fn new(info: &Info, metadata: Box<[u8]>) -> Self {
        let Info { version, len, generation, seconds, offset, tag, .. } = *info;
        Self { at: offset, len, version, generation, seconds, tag, metadata }
    }

    /// All that belongs to it.
    pub(super) fn range(&self, unit: u64) -> Range<u64> {
        // There was room for it.
        self.at..self.at + occupied(self.len, unit).unwrap_or(0)
    }

    const fn entry(&self, name: &str) -> Entry {
        let Self { at, len, version, generation, seconds, tag, .. } = *self;
        let (name, metadata) = (name.len(), self.metadata.len());
        Entry { at, len, version, generation, seconds, tag, name, metadata }
    }
}

/// What a table is made of.
pub(super) type Items = BTreeMap<Box<str>, Item>;

/// A store of named blobs that is written. See the [module](super).
#[derive(Debug)]
pub struct Store<M: Medium> {
    pub(super) medium: Arc<M>,
    pub(super) ways: Ways<M>,
    pub(super) leases: Leases,
    /// The last commit's, as it is in the medium.
    pub(super) header: Header,
    /// Bytes that the next commit has.
    pub(super) size: u64,
    pub(super) preamble: Preamble,
    pub(super) items: Items,
    pub(super) space: Space,
    /// Whether a commit failed where it is not known what it left.
    pub(super) has_failed: bool,
}

/// How much room there is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Capacity {
    /// For blobs and tables in all.
    pub total: u64,
    /// What nothing is in. What readers hold leases on is counted, too.
    pub free: u64,
    /// The largest blob that there would be room for now, but for the space of its name and its tags.
    pub largest: u64,
}

impl<M: Medium> Store<M> {
    /// Takes up what a snapshot holds, in a medium that may have another size now.
    pub(super) fn take_up(
        medium: Arc<M>,
        ways: Ways<M>,
        size: u64,
    ) -> Result<(Self, Vec<Damage>), Error<M::Error>> {
        let snapshot = Snapshot::of(&*medium)?;
        let (header, preamble) = (snapshot.header, snapshot.preamble);
        let mut space = Space::new(data(header.unit)..size, header.unit);
        let mut items = Items::new();
        let mut take = |range: Range<u64>, part: Part| {
            let (offset, len, needed) = (range.start, range.end - range.start, range.end);
            if needed > size {
                return Err(Error::Truncated { size, needed });
            }
            if space.take(range) {
                Ok(())
            } else {
                Err(Error::Damaged(Damage { part, offset, len }))
            }
        };
        let mut damage: Vec<Damage> = headers::damaged(&*medium, &header)?.collect();
        for offset in header.tables {
            let (part, len) = (Part::TableCopy, header.len);
            take(offset..offset + len.next_multiple_of(header.unit), part)?;
            if !snapshot.is_whole(offset)? {
                damage.push(Damage { part, offset, len });
            }
        }
        for info in snapshot.entries() {
            let info = info?;
            let mut metadata = alloc::vec![0; info.metadata];
            snapshot.metadata(&info, &mut metadata)?;
            let item = Item::new(&info, metadata.into());
            take(item.range(header.unit), Part::Entry)?;
            items.insert(info.name.as_str().into(), item);
        }
        let (leases, has_failed) = (Leases::default(), false);
        let store = Self { medium, ways, leases, header, size, preamble, items, space, has_failed };
        Ok((store, damage))
    }

    /// Begins a transaction. What it puts and deletes is there as a whole when it is
    /// [committed](Transaction::commit), and not at all if it is dropped.
    ///
    /// # Errors
    /// [`Error::Failed`], after a commit that failed; [`Error::Overtaken`], if somebody else wrote the store
    /// without a lock.
    pub fn begin(&mut self) -> Result<Transaction<'_, M>, Error<M::Error>> {
        if self.has_failed {
            return Err(Error::Failed);
        }
        let (ours, found) = (self.header.generation, headers::load(&*self.medium)?.generation);
        if ours != found {
            return Err(Error::Overtaken { ours, found });
        }
        Ok(Transaction::new(self))
    }

    /// A reader of this store, which can be given to another thread and holds leases that this store honours.
    #[must_use]
    pub fn reader(&self) -> Reader<Arc<M>>
    where
        M: Send,
    {
        self.leases.reader(Arc::clone(&self.medium))
    }

    /// The last commit.
    ///
    /// # Errors
    /// If the medium fails, or was damaged since.
    pub fn snapshot(&self) -> Result<Snapshot<'_, M>, Error<M::Error>> {
        Snapshot::of(&self.medium)
    }

    /// What it is known by.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.preamble.identity
    }

    /// The number of the last commit.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.header.generation
    }

    /// The medium.
    #[must_use]
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// How much room there is.
    ///
    /// # Errors
    /// If the medium cannot tell which leases there are.
    pub fn capacity(&self) -> Result<Capacity, Error<M::Error>> {
        let (free, _) = self.space.free(&|range| self.leased(range))?;
        // Room is kept for two copies of the next table, and for two of the one after it.
        let mut space = self.space.clone();
        for _ in 0..4 {
            let (bytes, unit) = (self.header.len.next_multiple_of(self.unit()), self.unit());
            if space.claim(bytes, unit, From::End, &|range| self.leased(range))?.is_err() {
                return Ok(Capacity { total: space.len(), free, largest: 0 });
            }
        }
        let (_, largest) = space.free(&|range| self.leased(range))?;
        Ok(Capacity { total: space.len(), free, largest })
    }

    pub(super) const fn unit(&self) -> u64 {
        self.header.unit
    }

    /// The first part of a range that a lease is on.
    pub(super) fn leased(&self, range: &Range<u64>) -> Result<Option<Range<u64>>, M::Error> {
        leased(&*self.medium, &self.ways, &self.leases)(range)
    }

    pub(super) fn stamp(&self) -> Stamp {
        let stamp = self.preamble.stamp;
        Stamp { seconds: self.ways.seconds.map_or(stamp.seconds, |now| now()), ..stamp }
    }

    /// Takes two places for a table of so many bytes.
    pub(super) fn claim_tables(&mut self, len: u64) -> Result<[Range<u64>; 2], Error<M::Error>> {
        if len > TABLE {
            return Err(Error::TooMany);
        }
        let (bytes, unit) = (len.next_multiple_of(self.unit()), self.unit());
        let first = self.claim(bytes, unit, From::End)?;
        let second = self.claim(bytes, unit, From::End);
        let second = second.inspect_err(|_| self.space.give(&first))?;
        Ok([first, second])
    }

    pub(super) fn give_tables(&mut self, tables: &[Range<u64>; 2]) {
        for table in tables {
            self.space.give(table);
        }
    }

    pub(super) fn claim(
        &mut self,
        bytes: u64,
        alignment: u64,
        from: From,
    ) -> Result<Range<u64>, Error<M::Error>> {
        let Self { medium, ways, leases, space, .. } = self;
        let leased = leased(&**medium, ways, leases);
        let claimed = space.claim(bytes, alignment, from, &leased)?;
        claimed.map_err(|largest| Error::Full { needed: bytes, largest })
    }

    pub(super) fn claim_largest(&mut self, alignment: u64) -> Result<Range<u64>, Error<M::Error>> {
        let Self { medium, ways, leases, space, .. } = self;
        let leased = leased(&**medium, ways, leases);
        Ok(space.claim_largest(alignment, &leased)?)
    }

    /// Returns the bytes of a table, without its tag.
    pub(super) fn table<'i>(
        preamble: &Preamble,
        items: impl Iterator<Item = (&'i str, &'i Item)>,
        len: u64,
    ) -> Vec<u8> {
        let mut table = Vec::with_capacity(len as usize);
        table.resize(PREAMBLE, 0);
        let mut blobs = 0;
        for (name, item) in items {
            let entry = item.entry(name);
            let end = table.len() + entry.size() as usize;
            table.extend_from_slice(&entry.bytes());
            table.extend_from_slice(name.as_bytes());
            table.extend_from_slice(&item.metadata);
            table.resize(end, 0);
            blobs += 1;
        }
        table[..PREAMBLE].copy_from_slice(&Preamble { blobs, ..*preamble }.bytes());
        table
    }

    /// Puts a table in place of the last one: two fences. What was written for it before is durable then, too.
    ///
    /// Nothing has changed if the first round fails; what is there when the second one does is not known.
    pub(super) fn publish(
        &mut self,
        mut table: Vec<u8>,
        places: &[Range<u64>; 2],
        is_sealed: bool,
    ) -> Result<(), Error<M::Error>> {
        let tables = [places[0].start, places[1].start];
        let generation = self.header.next_generation().ok_or(Error::WornOut)?;
        let header = Header {
            generation,
            size: self.size,
            tables,
            len: table.len() as u64,
            table_tag: seal(&mut table, generation),
            is_sealed,
            ..self.header
        };
        self.medium.copy_unfenced(&[(tables[0], &table), (tables[1], &table)])?;
        self.medium.fence();
        if is_sealed {
            places.iter().try_for_each(|place| {
                (self.ways.deep_persist)(&self.medium, place.start..place.start + header.len)
            })?;
        }
        headers::store(&*self.medium, &header).inspect_err(|_| self.has_failed = true)?;
        self.medium.fence();
        self.replace(header, places);
        Ok(())
    }

    /// Makes the header that holds durable as far as the medium goes.
    pub(super) fn deep_persist_header(&self) -> Result<(), M::Error> {
        places_of(self.header.generation)
            .into_iter()
            .try_for_each(|at| (self.ways.deep_persist)(&self.medium, at..at + BYTES as u64))
    }

    /// Takes up what the medium has grown by.
    #[cfg(feature = "dax")]
    pub(super) fn extend_to(&mut self, bytes: u64) {
        self.size = bytes / self.unit() * self.unit();
        self.space.extend_to(self.size);
    }

    /// Takes a table for the one that holds.
    fn replace(&mut self, header: Header, places: &[Range<u64>; 2]) {
        let bytes = self.header.len.next_multiple_of(self.unit());
        for old in self.header.tables {
            self.space.give(&(old..old + bytes));
        }
        let bytes = header.len.next_multiple_of(header.unit);
        for place in places {
            self.space.shorten(place, place.start + bytes);
        }
        self.header = header;
    }
}

/// Returns a function that finds the first leased part of a range, whoever holds the lease.
fn leased<'l, M: Medium>(
    medium: &'l M,
    ways: &'l Ways<M>,
    leases: &'l Leases,
) -> impl Fn(&Range<u64>) -> Result<Option<Range<u64>>, M::Error> + 'l {
    |range| {
        let ours = leases.first_in(range);
        // A lease of another process counts where it begins before ours.
        let before = range.start..ours.as_ref().map_or(range.end, |lease| lease.start);
        Ok((ways.leased)(medium, before)?.or(ours))
    }
}

#[cfg(test)]
#[cfg(all(feature = "std", not(loom), not(miri)))]
mod tests {
    use super::{Leased, Store, Ways};
    use crate::cache::Cache;
    use crate::medium::{Medium, Memory};
    use crate::preserve::Options;
    use crate::skip::skip;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::ops::Range;
    use core::sync::atomic::AtomicU64;

    /// Bytes of each blob, which are whole units.
    const LEN: usize = 640;
    /// The places of the first blobs of a store with units of 64 bytes, in their order.
    const PLACES: [Range<u64>; 3] = [25_600..26_240, 26_240..26_880, 26_880..27_520];

    fn put<M: Medium>(store: &mut Store<M>, name: &str, byte: u8) {
        let mut transaction = store.begin().unwrap();
        transaction.put(name, &[byte; LEN]).unwrap();
        transaction.commit().unwrap();
    }

    fn part(range: &Range<u64>, lease: &Range<u64>) -> Option<Range<u64>> {
        let part = range.start.max(lease.start)..range.end.min(lease.end);
        (!part.is_empty()).then_some(part)
    }

    /// Replaces three blobs again and again while another process leases as `theirs` says, and this one the blob of
    /// the name `ours`. The blobs of the numbers `kept` must stay as they were.
    fn leased_blobs_are_kept(
        theirs: Leased<Memory<'static>>,
        ours: &str,
        kept: &[usize],
        test: &str,
    ) {
        let cache = match Cache::host() {
            Ok(cache) => cache,
            Err(why) => return skip(test, why),
        };
        let words = (0..1 << 13).map(AtomicU64::new).collect::<Vec<_>>().leak();
        let memory = || Memory::new(words, cache);
        let mut store = Options::with_entropy([1, 2]).unit(64).create(memory()).unwrap();
        ["a", "b", "c"].iter().zip(1..).for_each(|(name, byte)| put(&mut store, name, byte));
        drop(store);

        let ways = Ways { leased: theirs, ..Ways::ANY };
        let (mut store, _) =
            Store::take_up(Arc::new(memory()), ways, Medium::len(&memory())).unwrap();
        let reader = store.reader();
        let lease = reader.lease(ours).unwrap();
        for (name, byte) in ["a", "b", "c", "d"].into_iter().cycle().zip(4..40) {
            put(&mut store, name, byte);
            for number in kept {
                let mut bytes = vec![0; LEN];
                memory().read(PLACES[*number].start, &mut bytes).unwrap();
                assert!(bytes == [*number as u8 + 1; LEN], "blob {number}, when {name} was put");
            }
        }
        drop(lease);
    }

    #[test]
    fn a_lease_of_another_process_before_one_of_this_process_is_honoured() {
        let test = "a_lease_of_another_process_before_one_of_this_process_is_honoured";
        leased_blobs_are_kept(|_, range| Ok(part(&range, &PLACES[0])), "b", &[0, 1], test);
    }

    #[test]
    fn a_lease_of_another_process_behind_one_of_this_process_is_honoured() {
        let test = "a_lease_of_another_process_behind_one_of_this_process_is_honoured";
        leased_blobs_are_kept(|_, range| Ok(part(&range, &PLACES[1])), "a", &[0, 1], test);
    }

    /// The first and the last blob are leased by the other process, and the one between them by this one.
    #[test]
    fn leases_of_another_process_around_one_of_this_process_are_honoured() {
        let test = "leases_of_another_process_around_one_of_this_process_are_honoured";
        let theirs = |_: &Memory<'static>, range: Range<u64>| {
            Ok(part(&range, &PLACES[0]).or_else(|| part(&range, &PLACES[2])))
        };
        leased_blobs_are_kept(theirs, "b", &[0, 1, 2], test);
    }

    /// Both processes lease the same blob, and theirs begins later.
    #[test]
    fn leases_of_both_processes_on_the_same_bytes_are_honoured() {
        let test = "leases_of_both_processes_on_the_same_bytes_are_honoured";
        let theirs = |_: &Memory<'static>, range: Range<u64>| Ok(part(&range, &(25_900..26_880)));
        leased_blobs_are_kept(theirs, "a", &[0, 1], test);
    }
}
