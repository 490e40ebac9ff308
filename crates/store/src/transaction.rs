//! Transactions: several puts and deletes that take effect together.

use crate::append::{Areas, Draft, refuse_longer};
use crate::attributes::Attributes;
use crate::blob_writer::BlobWriter;
use crate::error::{Error, ErrorKind};
use crate::format::entry::{Entry, EntryKind};
use crate::format::record::{HEAD, in_lines};
use crate::format::{BlobKey, VALUE};
use crate::info::Content;
use crate::store::{InUse, Store};
use crate::table::{Live, Names};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use cachemaint::medium::Medium;
use core::marker::PhantomData;
use core::ops::Range;

/// Ranges that are closer than this are written back together: a system call costs more than some clean pages.
const NEAR: u64 = 64 << 10;

/// Puts and deletes that take effect together when they are committed. See [`Store::begin`].
///
/// Blobs are written to free space when they are put. Dropping the transaction frees that space and changes nothing. A
/// transaction stays on its thread, since a fence completes only its own thread's write-backs.
#[derive(Debug)]
#[must_use = "dropping it discards the changes"]
pub struct Transaction<'s, M: Medium> {
    store: &'s mut Store<M>,
    /// The entries after the changes, or the ones before them if they are in the table.
    changes: Names,
    /// True between the change of the table and the fence that makes the record durable.
    is_in_doubt: bool,
    /// The time of the changes.
    seconds: u64,
    sums: Sums,
    /// With page granularity, the ranges to be written back.
    written: Vec<Range<u64>>,
    /// True if a write-back was issued or is due that no fence has completed.
    is_unfenced: bool,
    /// True if a name was changed: a deleted entry may exist under another name.
    has_renamed: bool,
    /// The place of the put in progress. If writing it panicked, it stays here until the next change.
    pending: Range<u64>,
    /// Areas for a larger log, if the change in progress needs them.
    pending_growth: Option<Areas>,
    /// Areas for a larger log, if the changes need them.
    growth: Option<Areas>,
    thread: PhantomData<*const ()>,
}

impl<M: Medium> Store<M> {
    /// Begins a transaction. Its puts and deletes take effect together when it is [committed](Transaction::commit).
    /// Dropping it discards them.
    ///
    /// # Errors
    /// [`FormatError::Failed`](crate::FormatError::Failed) after a failed commit; or if the medium has failed.
    pub fn begin(&mut self) -> Result<Transaction<'_, M>, Error<M::Error>> {
        self.check_is_usable()?;
        self.load_end();
        Ok(Transaction {
            sums: Sums { record: 0, live: self.table.bytes },
            changes: core::mem::replace(&mut self.spare, Names::NONE),
            is_in_doubt: false,
            seconds: (self.clock)(),
            store: self,
            written: Vec::new(),
            is_unfenced: false,
            has_renamed: false,
            pending: 0..0,
            pending_growth: None,
            growth: None,
            thread: PhantomData,
        })
    }
}

impl<M: Medium> Transaction<'_, M> {
    /// Puts a blob, replacing any blob of the same name.
    ///
    /// # Errors
    /// [`ErrorKind::Full`], before anything is written; [`ErrorKind::OtherContent`] if the name is a region;
    /// [`ErrorKind::Invalid`] for the attributes; or if the medium fails. An error leaves the transaction unchanged.
    ///
    /// # Cost
    /// The bytes are copied and written back. On some CPUs a long blob takes several fences. Up to 256 bytes without an
    /// alignment are copied by the commit.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn put<'a>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        bytes: &[u8],
    ) -> Result<(), Error<M::Error>> {
        let attributes = attributes.into();
        let len = bytes.len() as u64;
        if !attributes.is_value(len) {
            let claim = self.claim(&attributes, EntryKind::Blob, len)?;
            let tag = self.write_whole(&claim, bytes);
            return self.end(&attributes, claim, tag);
        }
        let (entry, sums) = self.check(&attributes, EntryKind::Value, len)?;
        self.change(sums, Live::new(entry, attributes.name.as_bytes(), attributes.metadata, bytes));
        Ok(())
    }

    /// Puts a blob of `len` bytes that `write` appends piece by piece, replacing any blob of the same name. Returns the
    /// value of `write`.
    ///
    /// If `write` fails, the blob is dropped, the error is returned, and the transaction is unchanged. The error can
    /// have any type to which `?` converts an [`Error`], such as [`std::io::Error`].
    ///
    /// # Errors
    /// Same as [`put`](Self::put); those of `write`; [`ErrorKind::Invalid`] if `write` does not append exactly `len`
    /// bytes.
    ///
    /// # Cost
    /// That of [`put`](Self::put), plus 5 KiB of memory and 8 bytes for each 64 KiB written.
    #[expect(single_use_lifetimes, reason = "an anonymous one is not stable here")]
    pub fn put_with<'a, T, E: From<Error<M::Error>>>(
        &mut self,
        attributes: impl Into<Attributes<'a>>,
        len: u64,
        write: impl FnOnce(&mut BlobWriter<'_, M>) -> Result<T, E>,
    ) -> Result<T, E> {
        let attributes = attributes.into();
        if attributes.is_value(len) {
            let mut writer = BlobWriter::new(self.medium(), None, len);
            let value = write(&mut writer)?;
            let bytes = writer.into_bytes()?;
            self.put(attributes, &bytes)?;
            return Ok(value);
        }
        let claim = self.claim(&attributes, EntryKind::Blob, len)?;
        let mut writer = BlobWriter::new(self.medium(), Some(self.key(&claim)), len);
        let mut value = None;
        let tag = write(&mut writer).and_then(|written| {
            value = Some(written);
            Ok(writer.finish()?)
        });
        self.end(&attributes, claim, tag)?;
        value.map_or_else(|| unreachable!("it was written"), Ok)
    }

    /// Writes a whole blob, and returns its tag.
    pub(crate) fn write_whole(&self, claim: &Claim, bytes: &[u8]) -> Result<u64, Error<M::Error>> {
        let key = self.key(claim);
        let mut writer = BlobWriter::new(self.medium(), Some(key), bytes.len() as u64);
        writer.append(bytes)?;
        writer.finish()
    }

    /// Deletes a blob or a region.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InUse`] as long as a [`Region`](crate::Region) of it exists.
    /// [`ErrorKind::Full`] if the transaction also puts something and its record does not fit into the log: commit
    /// first, then delete the blob.
    pub fn delete(&mut self, name: &str) -> Result<(), Error<M::Error>> {
        let (before, sums) = self.before(name);
        let before = before.ok_or_else(|| Error::not_found(name))?.entry;
        let used = self.store.in_use.get(&before.at).filter(|_| before.kind == EntryKind::Region);
        if used.is_some_and(InUse::is_now) {
            return Err(Error(ErrorKind::InUse { name: Some(name.into()) }));
        }
        let deleted = Live::deleted(name.as_bytes());
        let sums = self.check_room(&[(sums, &deleted.entry)])?;
        self.change(sums, deleted);
        Ok(())
    }

    /// Renames a blob or a region without copying it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NameTaken`], [`ErrorKind::Invalid`], [`ErrorKind::Full`].
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Error<M::Error>> {
        Attributes::new(to).check()?;
        let ((before, of_from), (there, of_to)) = (self.before(from), self.before(to));
        let before = before.ok_or_else(|| Error::not_found(from))?;
        if there.is_some() {
            return Err(Error(ErrorKind::NameTaken { name: to.into() }));
        }
        let entry = Entry { name: to.len(), ..before.entry };
        let renamed = Live::new(entry, to.as_bytes(), before.metadata(), before.value());
        let deleted = Live::deleted(from.as_bytes());
        let sums = self.check_room(&[(of_from, &deleted.entry), (of_to, &entry)])?;
        self.has_renamed = true;
        // The blob itself stays in place.
        self.changes.insert(deleted);
        self.change(sums, renamed);
        Ok(())
    }

    /// Returns true if a blob or a region of this name exists after the changes made so far.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.before(name).0.is_some()
    }

    /// Makes all changes durable atomically: a crash leaves all of them or none. Returns the number of the commit.
    ///
    /// # Errors
    /// [`FormatError::WornOut`](crate::FormatError::WornOut), [`FormatError::AnotherWriter`](crate::FormatError::AnotherWriter);
    /// [`ErrorKind::Full`] if the log is full, the place for the next one has a bad block, and free space has no room;
    /// or if the medium fails. If it fails before any change could become visible, nothing has changed, except that a
    /// seal may be gone. Otherwise every later call returns [`FormatError::Failed`](crate::FormatError::Failed) until the
    /// store is reopened.
    ///
    /// # Cost
    /// One fence if every blob is stored in the record, otherwise two: the blobs are durable before the record. From
    /// time to time all entries are rewritten, which takes two or three more fences. The first commit after a seal is preceded by
    /// an empty one that removes the seal and is as durable as the seal was, if this process is permitted to do that.
    /// With page granularity, one system call for each free piece that was written, and two for the record.
    pub fn commit(mut self) -> Result<u64, Error<M::Error>> {
        if self.changes.len() == 0 {
            return Ok(self.store.table.state.number);
        }
        self.store.unseal()?;
        self.write_back().map_err(Error::medium)?;
        let mut bytes = core::mem::take(&mut self.store.buffer);
        bytes.clear();
        bytes.resize(HEAD, 0);
        let mut draft = Draft { bytes, seconds: self.seconds, is_sealed: false };
        for live in self.changes.iter() {
            live.append(&mut draft.bytes);
        }
        let state = self.store.issue(draft, self.growth)?;
        self.growth = None;
        let kept = self.kept();
        // While the lines are written back. If the fence fails or panics, dropping this takes it back.
        self.is_in_doubt = true;
        self.exchange();
        self.store.complete(state)?;
        self.is_in_doubt = false;
        self.give_replaced(&kept);
        self.store.shrink()?;
        Ok(self.store.table.state.number)
    }

    /// Returns the places that the renamed entries keep.
    fn kept(&self) -> BTreeSet<u64> {
        if !self.has_renamed {
            return BTreeSet::new();
        }
        let entries = self.changes.iter().filter(|live| !live.is_deleted());
        entries.map(|live| live.entry.at).collect()
    }

    /// Exchanges the entries of the table and the changes. A second time takes the first one back.
    fn exchange(&mut self) {
        for change in self.changes.iter_mut() {
            self.store.table.exchange(change);
        }
    }

    /// Makes all puts outside the record durable.
    fn write_back(&mut self) -> Result<(), M::Error> {
        if !self.is_unfenced {
            return Ok(());
        }
        let medium = &*self.store.medium;
        self.written.sort_unstable_by_key(|range| range.start);
        let is_near =
            |one: &Range<u64>, next: &Range<u64>| next.start <= one.end.saturating_add(NEAR);
        for near in self.written.chunk_by(is_near) {
            let end = near.iter().map(|range| range.end).fold(0, u64::max);
            medium.issue_writeback(near[0].start..end)?;
        }
        medium.fence()?;
        self.is_unfenced = false;
        Ok(())
    }

    /// Frees the space of the entries that the commit has replaced.
    fn give_replaced(&mut self, kept: &BTreeSet<u64>) {
        let unit = self.store.unit();
        for Live { entry: before, .. } in self.changes.drain() {
            let (at, bytes) = (before.at, before.occupied(unit));
            if bytes > 0 && !kept.contains(&at) {
                self.store.space.give(&(at..at + bytes));
            }
        }
    }

    pub(crate) fn medium(&self) -> &M {
        &self.store.medium
    }

    /// Adds a blob or a region to the transaction if it was written and has a tag. Otherwise frees its place.
    pub(crate) fn end<E>(
        &mut self,
        attributes: &Attributes<'_>,
        claim: Claim,
        tag: Result<u64, E>,
    ) -> Result<(), E> {
        let Claim { mut entry, place, sums } = claim;
        entry.tag = tag.inspect_err(|_| self.give_back_pending())?;
        self.pending = 0..0;
        self.is_unfenced |= !place.is_empty();
        if self.medium().granularity().is_by_pages() && !place.is_empty() {
            self.written.push(place);
        }
        self.change(sums, Live::new(entry, attributes.name.as_bytes(), attributes.metadata, &[]));
        Ok(())
    }

    /// Returns the entry of a name after the changes so far, and the bytes that another change of it replaces.
    fn before(&self, name: &str) -> (Option<&Live>, Sums) {
        let change = self.changes.get(name.as_bytes());
        let found = change.or_else(|| self.store.table.live.get(name.as_bytes()));
        let live = found.filter(|live| !live.is_deleted());
        let size = |live: Option<&Live>| live.map_or(0, |live| live.entry.size());
        (live, Sums { record: size(change), live: size(live) })
    }

    /// Records a change. The bytes of an earlier put in this transaction are freed.
    fn change(&mut self, sums: Sums, live: Live) {
        self.sums = sums;
        if let Some(growth) = self.pending_growth.take()
            && let Some(before) = self.growth.replace(growth)
        {
            self.store.give_areas(&before);
        }
        if let Some(before) = self.changes.insert(live) {
            let place = self.store.written_by(&before);
            self.give_back(&place);
        }
    }

    /// Frees a place that this transaction has written. Its stores may still be in progress, and another thread may be
    /// the next to write there.
    fn give_back(&mut self, place: &Range<u64>) {
        if !place.is_empty() {
            // The medium remembers a failure, and the commit returns it.
            drop(self.store.medium.fence());
            self.store.space.give(place);
        }
    }

    /// Frees what a change that failed has claimed.
    fn give_back_pending(&mut self) {
        let place = core::mem::replace(&mut self.pending, 0..0);
        self.give_back(&place);
        if let Some(growth) = self.pending_growth.take() {
            self.store.give_areas(&growth);
        }
    }

    /// Claims a place for a blob or a region, and room for its entry.
    pub(crate) fn claim(
        &mut self,
        attributes: &Attributes<'_>,
        kind: EntryKind,
        len: u64,
    ) -> Result<Claim, Error<M::Error>> {
        let (mut entry, sums) = self.check(attributes, kind, len)?;
        let unit = self.store.unit();
        let bytes = entry.occupied(unit);
        let claimed = self.store.space.claim(bytes, attributes.alignment.max(unit));
        let place = claimed.map_err(|largest| {
            self.give_back_pending();
            Error(ErrorKind::Full { pieces: 1, needed: bytes, largest })
        })?;
        entry.at = place.start;
        self.pending = place.clone();
        Ok(Claim { entry, place, sums })
    }

    /// Returns the key of a blob to be written.
    pub(crate) const fn key(&self, claim: &Claim) -> BlobKey {
        let Entry { commit, at, .. } = claim.entry;
        BlobKey { identity: self.store.identity(), commit, at }
    }

    /// Returns the entry of a put, without its place and tag. Refuses impossible puts.
    fn check(
        &mut self,
        attributes: &Attributes<'_>,
        kind: EntryKind,
        len: u64,
    ) -> Result<(Entry, Sums), Error<M::Error>> {
        attributes.check()?;
        let state = &self.store.table.state;
        let entry = Entry {
            kind,
            name: attributes.name.len(),
            metadata: attributes.metadata.len(),
            version: attributes.version,
            len,
            at: 0,
            tag: 0,
            // A commit that removes a seal comes first.
            commit: state.number + 1 + u64::from(state.is_sealed),
            seconds: self.seconds,
        };
        let (before, sums) = self.before(attributes.name);
        match (before.map(|live| Content::of(live.entry.kind)), Content::of(kind)) {
            (None, _) | (Some(Content::Blob), Content::Blob) => {}
            (Some(found), Content::Blob) => {
                return Err(Error::other_content(attributes.name, found));
            }
            (Some(_), Content::Region) => {
                return Err(Error(ErrorKind::NameTaken { name: attributes.name.into() }));
            }
        }
        Ok((entry, self.check_room(&[(sums, &entry)])?))
    }

    /// Refuses changes that do not fit into the log if it cannot grow. A transaction that only deletes always fits, up to
    /// the length of a record.
    fn check_room(&mut self, changes: &[(Sums, &Entry)]) -> Result<Sums, Error<M::Error>> {
        self.give_back_pending();
        let Sums { mut record, mut live } = self.sums;
        for (before, entry) in changes {
            let of_new = if entry.kind == EntryKind::Deleted { 0 } else { entry.size() };
            record = record - before.record + entry.size();
            live = live - before.live + of_new;
        }
        refuse_longer(in_lines(record))?;
        let sums = Sums { record, live };
        let capacity = self.growth.map_or(self.store.log.places.capacity, |growth| growth.capacity);
        let Some(missing) = self.store.missing_capacity(capacity, record, live) else {
            return Ok(sums);
        };
        self.pending_growth = Some(self.store.claim_areas(missing, capacity)?);
        Ok(sums)
    }
}

/// Bytes of entries: in the record, and in the table after it.
#[derive(Clone, Copy, Debug)]
struct Sums {
    record: u64,
    live: u64,
}

/// A place for a blob or a region, and its entry.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) entry: Entry,
    pub(crate) place: Range<u64>,
    sums: Sums,
}

impl<M: Medium> Store<M> {
    /// Returns the place that a change has written; empty if the last commit has it under another name.
    fn written_by(&self, entry: &Entry) -> Range<u64> {
        let is_new = entry.commit > self.table.state.number;
        let bytes = if is_new { entry.occupied(self.unit()) } else { 0 };
        entry.at..entry.at + bytes
    }
}

impl Attributes<'_> {
    /// Returns true if a blob of this length is stored in a record.
    pub(crate) const fn is_value(&self, len: u64) -> bool {
        len <= VALUE && self.alignment == 1
    }
}

/// Frees the written bytes, unless they were committed.
impl<M: Medium> Drop for Transaction<'_, M> {
    fn drop(&mut self) {
        if self.is_in_doubt {
            self.exchange();
        }
        self.give_back_pending();
        if self.is_unfenced {
            drop(self.store.medium.fence());
        }
        for change in self.changes.drain() {
            let place = self.store.written_by(&change.entry);
            self.store.space.give(&place);
        }
        self.store.spare = core::mem::replace(&mut self.changes, Names::NONE).emptied();
        if let Some(growth) = self.growth.take() {
            self.store.give_areas(&growth);
        }
    }
}
