//! Writing the log of a store: records at its end, and its compaction into the other area.

use crate::error::{Error, ErrorKind};
use crate::format::record::{FULL, HEAD, Head, NUMBERS, RecordKind, in_lines};
use crate::format::{
    CAPACITY, FORMAT, LINE, PAGE, Places, Root, UNIT, compacted, needed, new_salt,
};
use crate::log::Log;
use crate::store::Store;
use crate::table::{Live, State, Table};
use alloc::vec::Vec;
use cachemaint::medium::{Medium, Readable as _};
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use cachemaint_format::root::{self, GENERATIONS};
use cachemaint_format::unreadable::{ThroughKernel, is_readable, readable};
use core::sync::atomic::Ordering::Relaxed;

/// A commit to be appended: its bytes without a head, and the fields of the head.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) bytes: Vec<u8>,
    pub(crate) seconds: u64,
    pub(crate) is_sealed: bool,
}

impl Draft {
    /// Returns a commit without changes.
    pub(crate) fn commit(seconds: u64, is_sealed: bool) -> Self {
        Self { bytes: alloc::vec![0; HEAD], seconds, is_sealed }
    }
}

/// Areas for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) capacity: u64,
    /// Both mirrors of each area.
    pub(crate) mirrors: [[u64; 2]; 2],
}

/// Bytes of the records that most commits append.
const NEXT: u64 = 4 * LINE;

/// Returns the capacity of the log of a new store of `size` bytes, in whole units.
pub(crate) fn first_capacity(size: u64, unit: u64) -> u64 {
    smallest_capacity(size).next_multiple_of(unit.min(*UNIT.end()))
}

fn smallest_capacity(size: u64) -> u64 {
    (size / 64).clamp(CAPACITY, 16 * CAPACITY) / PAGE * PAGE
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
    ) -> Result<Areas, Error<M::Error>> {
        let twice = capacity.saturating_mul(2).max(least);
        self.claim_areas_of(twice).or_else(|_| self.claim_areas_of(least))
    }

    fn claim_areas_of(&mut self, capacity: u64) -> Result<Areas, Error<M::Error>> {
        let unit = self.unit();
        let (bytes, alignment) = (capacity.next_multiple_of(unit), unit.max(PAGE));
        let mut mirrors = [[0; 2]; 2];
        for place in 0..4 {
            match self.space.claim(bytes, alignment) {
                Ok(range) => mirrors.as_flattened_mut()[place] = range.start,
                Err(largest) => {
                    self.give_mirrors(&mirrors.as_flattened()[..place], capacity);
                    return Err(Error(ErrorKind::Full { pieces: 4, needed: bytes, largest }));
                }
            }
        }
        Ok(Areas { capacity, mirrors })
    }

    /// Frees areas.
    pub(crate) fn give_areas(&mut self, areas: &Areas) {
        self.give_mirrors(areas.mirrors.as_flattened(), areas.capacity);
    }

    fn give_mirrors(&mut self, mirrors: &[u64], capacity: u64) {
        let unit = self.unit();
        for at in mirrors {
            self.space.give(&Places::occupied(*at, capacity, unit));
        }
    }

    /// Returns areas for a smaller log if a quarter of the capacity has room for twice the entries. They begin where the
    /// other area does: a full store has no other place.
    fn smaller_areas(&self) -> Option<Areas> {
        let Places { unit, capacity, other, .. } = self.log.places;
        let least = 2 * needed(self.table.bytes);
        let least = least.max(smallest_capacity(self.table.state.size));
        if least > capacity / 4 {
            return None;
        }
        let least = least.next_multiple_of(unit.max(PAGE));
        let mirror = |number| other[0] + number * least;
        let mirrors = [[mirror(0), mirror(1)], [mirror(2), mirror(3)]];
        (least <= capacity / 4).then_some(Areas { capacity: least, mirrors })
    }

    /// Returns the number of the next commit.
    fn next_number(&self) -> Result<u64, Error<M::Error>> {
        let number = self.table.state.number + 1;
        if number >= NUMBERS - 1 || self.log.root.generation >= GENERATIONS - 1 {
            return Err(Error::format(FormatError::WornOut));
        }
        Ok(number)
    }

    /// Appends a commit, which is durable on return. Compacts the log first if there is no room, or into other areas.
    ///
    /// After an error it is unknown whether the record is there, so nothing may be appended until the store is
    /// reopened.
    pub(crate) fn append(
        &mut self,
        draft: Draft,
        areas: Option<Areas>,
    ) -> Result<(), Error<M::Error>> {
        let state = self.issue(draft, areas)?;
        self.complete(state)
    }

    /// Appends a commit, which is durable once [`complete`](Self::complete) has succeeded. Returns the state after it.
    pub(crate) fn issue(
        &mut self,
        draft: Draft,
        areas: Option<Areas>,
    ) -> Result<State, Error<M::Error>> {
        let number = self.next_number()?;
        let Draft { mut bytes, seconds, is_sealed } = draft;
        bytes.resize(bytes.len().next_multiple_of(LINE as usize), 0);
        let len = bytes.len() as u64;
        refuse_longer(len)?;
        if areas.is_some() || len > self.log.places.capacity - self.table.state.end {
            self.compact(areas)?;
        }
        self.has_failed = true;
        let at = self.table.state.end;
        let (before, tag, kind) = (self.table.state.tag, 0, RecordKind::Commit);
        let head = Head { tag, before, number, seconds, len, kind, is_sealed };
        let tag = head.write(self.log.identity(), self.log.places.salt, at, &mut bytes);
        self.write_mirrors(self.log.places.current, at, &bytes).map_err(Error::medium)?;
        self.buffer = bytes;
        Ok(State { number, is_sealed, seconds, at, end: at + len, tag, ..self.table.state })
    }

    /// Makes the issued commit durable, after which the state is this one.
    pub(crate) fn complete(&mut self, state: State) -> Result<(), Error<M::Error>> {
        self.medium.fence().map_err(Error::medium)?;
        self.table.state = state;
        self.has_failed = false;
        Ok(())
    }

    /// Writes bytes to both mirrors, which the next fence makes durable. With page granularity, the first mirror is
    /// durable before the second is written, since a drive may lose the block that it is writing.
    fn write_mirrors(&self, mirrors: [u64; 2], at: u64, bytes: &[u8]) -> Result<(), M::Error> {
        let [one, other] = mirrors.map(|mirror| (mirror + at, bytes));
        if !self.medium.granularity().is_by_pages() {
            return self.medium.copy_unfenced(&[one, other]);
        }
        self.medium.persist_copy(&[one])?;
        self.medium.copy_unfenced(&[other])
    }

    /// Loads the lines of the next record, so that its stores do not wait for them.
    pub(crate) fn load_end(&self) {
        let end = self.table.state.end;
        if self.medium.granularity().is_by_pages() || end + NEXT > self.log.places.capacity {
            return;
        }
        for mirror in self.log.places.current {
            for at in (mirror + end..mirror + end + NEXT).step_by(LINE as usize) {
                core::hint::black_box(self.medium.load(at, Relaxed));
            }
        }
    }

    /// Writes the live entries to the other area, or to areas of another capacity, and makes that the log. If there is no
    /// place for it, nothing has changed. Otherwise the store has failed until the caller is done.
    fn compact(&mut self, areas: Option<Areas>) -> Result<(), Error<M::Error>> {
        self.refuse_another()?;
        let before = self.log;
        let Places { capacity, current, other, .. } = before.places;
        let old = Areas { capacity, mirrors: [other, current] };
        let next = self.unless_bad(areas.unwrap_or(old))?;
        self.has_failed = true;
        let Areas { capacity, mirrors: [current, other] } = next;
        let generation = before.root.generation + 1;
        // If it cannot be read, nothing there can be taken for a record.
        let there = ThroughKernel::new(&*self.medium).try_load(current[0], Relaxed).unwrap_or(0);
        let salt = new_salt(before.identity(), generation, there, self.entropy);
        let (bytes, at, tag) = compaction(before.identity(), salt, &self.table);
        let end = bytes.len() as u64;
        let places = Places { unit: self.unit(), capacity, current, other, salt, end };
        self.write_mirrors(current, 0, &bytes).map_err(Error::medium)?;
        self.medium.fence().map_err(Error::medium)?;
        let root = Root { generation, own: places.bytes(), ..before.root };
        root.store(&*self.medium, FORMAT).map_err(Error::medium)?;
        self.log = Log { root, places };
        let state = &mut self.table.state;
        (state.at, state.end, state.tag) = (at, end, tag);
        // The fence of the next record completes this. Something else may be stored there before that.
        before.leave(&*self.medium).map_err(Error::medium)?;
        if next != old {
            self.medium.fence().map_err(Error::medium)?;
            self.give_areas(&old);
            // Those of a smaller log are in the old ones.
            for at in next.mirrors.into_iter().flatten() {
                self.space.take(Places::occupied(at, capacity, self.log.places.unit));
            }
        }
        Ok(())
    }

    /// Returns the areas for the next log, or areas in free space if a page of its mirrors cannot be read: a store
    /// there would fail the medium.
    fn unless_bad(&mut self, areas: Areas) -> Result<Areas, Error<M::Error>> {
        let Areas { capacity, mirrors: [next, _] } = areas;
        let is_whole = |at| is_readable(&*self.medium, at..at + capacity);
        if next.into_iter().all(is_whole) {
            return Ok(areas);
        }
        self.claim_areas_of(capacity)
    }

    /// Appends a record of entries that need no other space, and puts them into the table.
    pub(crate) fn append_changes(
        &mut self,
        mut draft: Draft,
        changed: Vec<Live>,
    ) -> Result<(), Error<M::Error>> {
        self.refuse_another()?;
        for live in &changed {
            live.append(&mut draft.bytes);
        }
        self.append(draft, None)?;
        for live in changed {
            self.table.change(live);
        }
        Ok(())
    }

    /// Records an opening, or the new size of a store that has grown, by a new log. A writer that opened the store
    /// earlier appends to the old one, which nobody reads.
    pub(crate) fn begin_log(&mut self, is_sealed: bool) -> Result<(), Error<M::Error>> {
        let (number, seconds) = (self.next_number()?, (self.clock)());
        // Also if there is no place for the log: the state is changed first, and nothing records it.
        self.has_failed = true;
        self.table.state = State { number, is_sealed, seconds, ..self.table.state };
        self.compact(self.smaller_areas())?;
        self.has_failed = false;
        Ok(())
    }

    /// Makes the log smaller if most of its entries are gone, so that what reads it follows what is live.
    pub(crate) fn shrink(&mut self) -> Result<(), Error<M::Error>> {
        let Some(areas) = self.smaller_areas() else { return Ok(()) };
        // The commit before stands, whatever happens here.
        self.has_failed = true;
        match self.compact(Some(areas)) {
            // It is on a bad block, and there is no other place.
            Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => {}
            compacted => compacted?,
        }
        self.has_failed = false;
        Ok(())
    }

    /// Removes the seal with a record without changes, which is made as deeply durable as the seal. The record of the
    /// changes must not be: it would outlive the bytes of its blobs.
    pub(crate) fn unseal(&mut self) -> Result<(), Error<M::Error>> {
        if self.table.state.is_sealed {
            self.append(Draft::commit((self.clock)(), false), None)?;
            drop(self.deep_persist_log());
        }
        Ok(())
    }

    /// Makes the whole log as deeply durable as the medium allows: an intact record after a lost one is damage.
    pub(crate) fn deep_persist_log(&self) -> Result<(), M::Error> {
        // The system's page write-back goes through all buffers.
        if self.medium.granularity().is_by_pages() {
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

/// Refuses a record whose size does not fit into its 32 bits.
pub(crate) fn refuse_longer<E>(len: u64) -> Result<(), Error<E>> {
    let rule = "the record of a transaction has less than 4 GiB; commit its changes in parts";
    if len > u32::MAX.into() { Err(Error::invalid(rule, len)) } else { Ok(()) }
}

/// Returns the records of a compaction, with which the new log begins, and the position and the tag of the last one.
pub(crate) fn compaction(identity: Identity, salt: u64, table: &Table) -> (Vec<u8>, u64, u64) {
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
    let mut entries = table.live.iter().peekable();
    while entries.peek().is_some() {
        start = bytes.len();
        bytes.resize(start + HEAD, 0);
        let has_room = |len: usize, live: &Live| {
            len == start + HEAD || len - start + live.entry.size() as usize <= FULL
        };
        while let Some(live) = entries.next_if(|live| has_room(bytes.len(), live)) {
            live.append(&mut bytes);
        }
        tag = end(&mut bytes, start, RecordKind::Snapshot);
    }
    (bytes, start as u64, tag)
}
