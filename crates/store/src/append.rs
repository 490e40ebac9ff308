//! Writing the log of a store: records at its end, and its compaction into the other area.

use crate::blob_writer::is_by_pages;
use crate::error::{Error, ErrorKind};
use crate::format::record::{FULL, HEAD, Head, NUMBERS, RecordKind, in_lines};
use crate::format::{
    CAPACITY, FORMAT, LINE, PAGE, Places, Root, UNIT, compacted, needed, new_salt,
};
use crate::log::Log;
use crate::store::Store;
use crate::table::{Live, Table};
use alloc::vec::Vec;
use cachemaint::medium::Medium;
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use cachemaint_format::root;
use cachemaint_format::unreadable::{is_lost, readable};
use core::sync::atomic::Ordering::Relaxed;

/// A record to be appended: its bytes without a head, and the fields of the head.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: RecordKind,
    pub(crate) is_sealed: bool,
}

impl Draft {
    /// Returns a commit without changes.
    pub(crate) fn commit(is_sealed: bool) -> Self {
        Self { bytes: alloc::vec![0; HEAD], kind: RecordKind::Commit, is_sealed }
    }
}

/// Areas for a log that needs a larger capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) capacity: u64,
    /// Both mirrors of each area.
    pub(crate) areas: [[u64; 2]; 2],
}

/// Returns the capacity of the log of a new store of `size` bytes, in whole units.
pub(crate) fn first_capacity(size: u64, unit: u64) -> u64 {
    let capacity = (size / 64).clamp(CAPACITY, 16 * CAPACITY) / PAGE * PAGE;
    capacity.next_multiple_of(unit.min(*UNIT.end()))
}

impl<M: Medium> Store<M> {
    /// Returns the capacity that the log needs for a record with `record` bytes of entries that leaves `live` bytes, or
    /// `None` if the log is large enough.
    pub(crate) fn missing_capacity(&self, capacity: u64, record: u64, live: u64) -> Option<u64> {
        // It follows the base and the compaction of the present entries.
        let needed = needed(live).max(LINE + compacted(self.table.bytes) + in_lines(record));
        (needed > capacity).then(|| needed.next_multiple_of(PAGE))
    }

    /// Claims areas for a log with at least `least` bytes per mirror, or twice its previous capacity if there is room.
    pub(crate) fn claim_areas(
        &mut self,
        least: u64,
        capacity: u64,
    ) -> Result<Growth, Error<M::Error>> {
        let twice = capacity.saturating_mul(2).max(least);
        self.claim_areas_of(twice).or_else(|_| self.claim_areas_of(least))
    }

    fn claim_areas_of(&mut self, capacity: u64) -> Result<Growth, Error<M::Error>> {
        let unit = self.unit();
        let (bytes, alignment) = (capacity.next_multiple_of(unit), unit.max(PAGE));
        let mut areas = [[0; 2]; 2];
        for place in 0..4 {
            match self.space.claim(bytes, alignment) {
                Ok(range) => areas.as_flattened_mut()[place] = range.start,
                Err(largest) => {
                    self.give_areas(&areas.as_flattened()[..place], capacity);
                    return Err(Error(ErrorKind::Full { pieces: 4, needed: bytes, largest }));
                }
            }
        }
        Ok(Growth { capacity, areas })
    }

    /// Frees areas.
    pub(crate) fn give_areas(&mut self, areas: &[u64], capacity: u64) {
        let unit = self.unit();
        for at in areas {
            self.space.give(&Places::occupied(*at, capacity, unit));
        }
    }

    /// Appends a record, which is durable on return. Compacts the log first if there is no room, or if it grows.
    ///
    /// After an error it is unknown whether the record is there, so nothing may be appended until the store is
    /// reopened.
    pub(crate) fn append(
        &mut self,
        draft: Draft,
        growth: Option<Growth>,
    ) -> Result<(), Error<M::Error>> {
        let number = self.table.state.number + 1;
        if number >= NUMBERS - 1 || self.log.root.generation >= (1 << 63) - 1 {
            return Err(Error::format(FormatError::WornOut));
        }
        let Draft { mut bytes, kind, is_sealed } = draft;
        bytes.resize(bytes.len().next_multiple_of(LINE as usize), 0);
        self.has_failed = true;
        self.refuse_left()?;
        self.refuse_continued()?;
        let len = bytes.len() as u64;
        if growth.is_some() || len > self.log.places.capacity - self.table.state.end {
            self.compact(growth)?;
        }
        let at = self.table.state.end;
        let seconds = (self.clock)();
        let (before, tag) = (self.table.state.tag, 0);
        let head = Head { tag, before, number, seconds, len, kind, is_sealed };
        let tag = head.write(self.log.identity(), self.log.places.salt, at, &mut bytes);
        self.write_mirrors(self.log.places.current, at, &bytes).map_err(Error::medium)?;
        self.table.state.number = number;
        self.table.state.is_sealed = is_sealed;
        self.table.state.seconds = seconds;
        (self.table.state.end, self.table.state.tag) = (at + len, tag);
        self.has_failed = false;
        self.buffer = bytes;
        Ok(())
    }

    /// Writes bytes to both mirrors and makes them durable. With page granularity, the first mirror is durable before
    /// the second is written, since a drive may lose the block that it is writing.
    fn write_mirrors(&self, mirrors: [u64; 2], at: u64, bytes: &[u8]) -> Result<(), M::Error> {
        let [one, other] = mirrors.map(|mirror| (mirror + at, bytes));
        if !is_by_pages(&*self.medium) {
            return self.medium.persist_copy(&[one, other]);
        }
        self.medium.persist_copy(&[one])?;
        self.medium.persist_copy(&[other])
    }

    /// Writes the live entries to the other area, or to a larger one, and makes it the log.
    fn compact(&mut self, growth: Option<Growth>) -> Result<(), Error<M::Error>> {
        self.refuse_another()?;
        let before = self.log;
        let generation = before.root.generation + 1;
        let [mirror, _] = growth.map_or(before.places.other, |growth| growth.areas[0]);
        // If it cannot be read, nothing there can be taken for a record.
        let there = self.medium.try_load(mirror, Relaxed).unwrap_or(0);
        let salt = new_salt(before.identity(), generation, there, self.entropy);
        let (capacity, [current, other]) = match growth {
            Some(Growth { capacity, areas }) => (capacity, areas),
            None => (before.places.capacity, [before.places.other, before.places.current]),
        };
        let (bytes, tag) = compaction(before.identity(), salt, &self.table);
        let end = bytes.len() as u64;
        let places = Places { unit: self.unit(), capacity, current, other, salt, end };
        self.write_mirrors(current, 0, &bytes).map_err(Error::medium)?;
        let root = Root { generation, own: places.bytes(), ..before.root };
        root.store(&*self.medium, FORMAT).map_err(Error::medium)?;
        (self.log, self.watched) = (Log { root, places }, current[0]);
        self.table.begin(&bytes, tag);
        // The fence of the next record completes this.
        leave(&*self.medium, &before, [0, 1]).map_err(Error::medium)?;
        if growth.is_some() {
            let Places { current, other, capacity, .. } = before.places;
            self.give_areas([current, other].as_flattened(), capacity);
        }
        Ok(())
    }

    /// Appends a record of entries that need no other space, and puts them into the table.
    pub(crate) fn append_changes(
        &mut self,
        mut draft: Draft,
        changed: Vec<Live>,
    ) -> Result<(), Error<M::Error>> {
        for live in &changed {
            live.append(&mut draft.bytes);
        }
        self.append(draft, None)?;
        for live in changed {
            self.table.change(live);
        }
        Ok(())
    }

    /// Records an opening, or the new size of a store that has grown.
    pub(crate) fn append_opening(&mut self, is_sealed: bool) -> Result<(), Error<M::Error>> {
        let mut draft = Draft { kind: RecordKind::Opening, ..Draft::commit(is_sealed) };
        draft.bytes.extend(self.table.state.size.to_le_bytes());
        self.append(draft, None)
    }

    /// Removes the seal with a record without changes, which is made as deeply durable as the seal. The record of the
    /// changes must not be: it would outlive the bytes of its blobs.
    pub(crate) fn unseal(&mut self) -> Result<(), Error<M::Error>> {
        if self.table.state.is_sealed {
            self.append(Draft::commit(false), None)?;
            drop(self.deep_persist_log());
        }
        Ok(())
    }

    /// Makes the whole log as deeply durable as the medium allows: an intact record after a lost one is damage.
    pub(crate) fn deep_persist_log(&self) -> Result<(), M::Error> {
        // The system's page write-back goes through all buffers.
        if is_by_pages(&*self.medium) {
            return Ok(());
        }
        let mirrors = self.log.places.current.map(|at| at..at + self.table.state.end);
        let mut done = Ok(());
        let ranges = mirrors.into_iter().chain(core::iter::once(0..root::BYTES));
        for range in ranges.flat_map(|range| readable(&*self.medium, range)) {
            done = done.and(self.medium.deep_persist(range));
        }
        done
    }
}

/// Marks a log as left for a newer one, once the newer root is durable. If both copies of that root are lost, the older
/// root then leads to a log that is known to be old. A copy that cannot be read leads nowhere. Issues the write-backs.
pub(crate) fn leave<M: Medium>(
    medium: &M,
    log: &Log,
    mirrors: impl IntoIterator<Item = usize>,
) -> Result<(), M::Error> {
    let places = mirrors.into_iter().map(|mirror| log.places.current[mirror]);
    for at in places.filter(|at| !is_lost(medium, *at)) {
        medium.store(at, log.left(), Relaxed);
        medium.issue_writeback(at..at + 8)?;
    }
    Ok(())
}

/// Returns the records of a compaction, with which the new log begins, and the tag of the last one.
pub(crate) fn compaction(identity: Identity, salt: u64, table: &Table) -> (Vec<u8>, u64) {
    let state = &table.state;
    let mut bytes = Vec::with_capacity((LINE + compacted(table.bytes)) as usize);
    bytes.resize(HEAD, 0);
    let (mut start, mut before) = (0, 0);
    bytes.extend(state.size.to_le_bytes());
    let mut end = |bytes: &mut Vec<u8>, start, kind| {
        bytes.resize(bytes.len().next_multiple_of(LINE as usize), 0);
        let head = Head {
            tag: 0,
            before,
            number: state.number,
            seconds: state.seconds,
            len: 0,
            kind,
            is_sealed: state.is_sealed,
        };
        before = head.write(identity, salt, start as u64, &mut bytes[start..]);
        before
    };
    let mut tag = end(&mut bytes, start, RecordKind::Base);
    start = bytes.len();
    for live in table.live.iter() {
        let has_entries = bytes.len() > start;
        if has_entries && bytes.len() - start + live.entry.size() as usize > FULL {
            tag = end(&mut bytes, start, RecordKind::Snapshot);
            start = bytes.len();
        }
        if bytes.len() == start {
            bytes.resize(start + HEAD, 0);
        }
        live.append(&mut bytes);
    }
    if bytes.len() > start {
        tag = end(&mut bytes, start, RecordKind::Snapshot);
    }
    (bytes, tag)
}
