//! The log of a store, as it is read. Nothing is allocated here.
//!
//! A log has two mirrors of whole records. Each record has the tag of the one before, and is verified by its own. So a
//! [`Scan`] goes from record to record up to one that is whole in neither mirror: the end, unless a whole one stands
//! behind it. That was written after a fence, so the record before it was durable, and is damaged.
//!
//! # Work
//! A scan reads each record once, or twice if it compares the mirrors. Behind the end it reads 40 bytes of each line of
//! both mirrors. What looks like a record is verified until eight times the bytes of a mirror were read for that; then the
//! log counts as damaged.

use super::error::{Damage, Error, ErrorKind, Part};
#[cfg(feature = "alloc")]
use super::format::next_salt;
use super::format::record::{BASE, ENTRY, Entry, HEAD, Head, What, key};
use super::format::{FORMAT, LINE, Places, Root};
use super::info::Name;
use super::stamp::{BOOT, Boot, Stamp};
use cachemaint::medium::Readable;
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use cachemaint_format::reread::Rereadings;
use cachemaint_format::root::Loaded;
use cachemaint_format::tag::Running;
use core::error::Error as Failure;
use core::ops::Range;

/// Bytes read at a time to compute a tag.
const PIECE: usize = 1024;

/// A log in a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) root: Root,
    pub(super) places: Places,
}

/// A record that is whole in one mirror at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) head: Head,
    /// Its position in the log.
    pub(super) at: u64,
    /// The offset of the copy that is read.
    pub(super) place: u64,
    /// True for each copy that is whole, as far as both were read.
    pub(super) copies: [bool; 2],
}

impl Record {
    /// Returns the position behind it.
    pub(super) const fn end(&self) -> u64 {
        self.at + self.head.len
    }

    /// Returns the mirror whose copy is damaged, if one is.
    #[cfg(feature = "alloc")]
    pub(super) const fn damaged(&self) -> usize {
        self.copies[0] as usize
    }

    /// Returns the range of its body in the medium.
    const fn body(&self) -> Range<u64> {
        self.place + HEAD as u64..self.place + self.head.len
    }

    /// Returns the entries of the record: none for one without entries.
    pub(super) const fn items(&self) -> Range<u64> {
        let Range { start, end } = self.body();
        match self.head.what {
            What::Commit | What::Snapshot => start..end,
            What::Base | What::Opening => end..end,
        }
    }

    /// Returns the size of the store, and the number of entries that a base counts.
    pub(super) fn numbers<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<[u64; 2], E> {
        let mut bytes = [0; 16];
        medium.read(self.body().start, &mut bytes)?;
        let words = bytes.as_chunks().0;
        Ok([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])])
    }

    /// Returns the places of the boots that it has.
    pub(super) fn boots<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<impl Iterator<Item = u64> + use<E>, E> {
        let (first, most) = match self.head.what {
            What::Base => {
                let mut count = [0; 8];
                medium.read(self.place + BASE - 8, &mut count)?;
                (BASE, u64::from_le_bytes(count))
            }
            What::Opening => (BASE - 16, 1),
            What::Commit | What::Snapshot => (self.head.len, 0),
        };
        let count = most.min((self.head.len - first) / BOOT as u64) as usize;
        Ok((self.place + first..).step_by(BOOT).take(count))
    }
}

/// Reads a boot of the history.
pub(super) fn boot<E: Failure>(medium: &dyn Readable<Error = E>, at: u64) -> Result<Boot, E> {
    let mut bytes = [0; BOOT];
    medium.read(at, &mut bytes)?;
    Ok(Boot::read(&bytes))
}

/// An entry of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) entry: Entry,
    /// The offset of the entry in the medium.
    pub(super) at: u64,
}

impl Item {
    /// Returns the offset of its metadata and value.
    pub(super) const fn rest(&self) -> u64 {
        self.at + (ENTRY + self.entry.name) as u64
    }

    /// Reads its name, or `None` if it is not UTF-8.
    pub(super) fn name<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Name>, E> {
        Name::read(medium, self.at + ENTRY as u64, self.entry.name)
    }

    /// Returns the damage of an entry whose tag is right and whose fields are not.
    pub(super) const fn forged<E>(&self) -> Error<E> {
        forged(self.at, ENTRY as u64)
    }
}

const fn forged<E>(offset: u64, len: u64) -> Error<E> {
    Error::damaged(Part::Entry, offset, len)
}

/// Takes the next entry of the items of a record. Zeros end them.
pub(super) fn next_item<E: Failure>(
    medium: &dyn Readable<Error = E>,
    items: &mut Range<u64>,
) -> Result<Option<Item>, Error<E>> {
    let at = items.start;
    if items.end - at < ENTRY as u64 {
        return Ok(None);
    }
    let mut bytes = [0; ENTRY];
    medium.read(at, &mut bytes).map_err(Error::medium)?;
    // An entry has a name.
    if bytes[1] == 0 {
        return Ok(None);
    }
    let entry = Entry::read(&bytes).filter(|entry| entry.size() <= items.end - at);
    let entry = entry.ok_or_else(|| forged(at, items.end - at))?;
    items.start += entry.size();
    Ok(Some(Item { entry, at }))
}

impl Log {
    /// Loads the root, and the places of the log. Returns also which of its copies are damaged.
    pub(super) fn load<E: Failure>(
        medium: &dyn Readable<Error = E>,
        rereadings: Rereadings,
    ) -> Result<(Self, Loaded<{ super::format::ROOT }>), Error<E>> {
        let loaded = Root::load(medium, FORMAT, rereadings).map_err(Error::format)?;
        let root = loaded.root;
        let places = Places::read(&root.own).ok_or(Error::format(FormatError::Roots))?;
        let (size, needed) = (medium.len(), places.mirrors().fold(0, u64::max) + places.capacity);
        if size < needed {
            return Err(Error::format(FormatError::Truncated { size, needed }));
        }
        Ok((Self { root, places }, loaded))
    }

    pub(super) const fn identity(&self) -> Identity {
        self.root.identity
    }

    /// Returns true if the log was not compacted since: no record of it was overwritten.
    pub(super) fn is_current<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<bool, Error<E>> {
        // The earlier reads come before the read of the root.
        core::sync::atomic::fence(core::sync::atomic::Ordering::Acquire);
        let is_current = self.root.is_current(medium, FORMAT).map_err(Error::medium)?;
        medium.check().map_err(Error::medium)?;
        Ok(is_current)
    }

    /// Reads the head of a record at a position in a mirror, or `None` if none can be there.
    fn head<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        mirror: usize,
        at: u64,
    ) -> Result<Option<Head>, E> {
        if at >= self.places.capacity {
            return Ok(None);
        }
        let mut bytes = [0; HEAD];
        medium.read(self.places.current[mirror] + at, &mut bytes)?;
        Ok(Head::read(&bytes).filter(|head| head.len <= self.places.capacity - at))
    }

    fn is_whole<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        mirror: usize,
        at: u64,
        head: &Head,
    ) -> Result<bool, E> {
        let place = self.places.current[mirror] + at;
        let key = key(self.root.identity, self.places.salt, at);
        Ok(tag_of(medium, key, place + 8..place + head.len)? == head.tag)
    }

    /// Returns the record at a position, if it is whole in a mirror and `fits`. A copy that cannot be read is not whole.
    fn record<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        compares: bool,
        fits: &mut dyn FnMut(&Head) -> bool,
    ) -> Result<Option<Record>, E> {
        let mut found: Option<Record> = None;
        let mut failed = Ok(());
        for mirror in [0, 1] {
            if found.is_some() && !compares {
                break;
            }
            let whole = self.head(medium, mirror, at).and_then(|head| match head {
                Some(head) if fits(&head) && self.is_whole(medium, mirror, at, &head)? => {
                    Ok(Some(head))
                }
                _ => Ok(None),
            });
            match (whole, &mut found) {
                (Ok(Some(head)), None) => {
                    let mut copies = [false; 2];
                    copies[mirror] = true;
                    let place = self.places.current[mirror] + at;
                    found = Some(Record { head, at, place, copies });
                }
                (Ok(Some(head)), Some(found)) => found.copies[mirror] = head == found.head,
                (Err(error), _) if mirror == 0 => failed = Err(error),
                // Neither copy can be read.
                (Err(error), None) if failed.is_err() => return Err(error),
                (Ok(None) | Err(_), _) => {}
            }
        }
        Ok(found)
    }
}

/// A scan over the records of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    pub(super) log: Log,
    /// The position of the next record.
    pub(super) at: u64,
    /// The tag of the last record.
    pub(super) before: u64,
    /// The number of the last record.
    number: u64,
    compares: bool,
    is_beside_writers: bool,
    /// Bytes that may still be verified.
    budget: u64,
}

/// The next thing in a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Record(Record),
    /// Damaged bytes, before a whole record.
    Lost(Gap),
}

/// A part of the log that is whole in neither mirror, by its positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Scan {
    /// Begins a scan. One that `compares` reads both mirrors of each record.
    pub(super) const fn new(log: Log, compares: bool, is_beside_writers: bool) -> Self {
        let budget = 8 * log.places.capacity;
        Self { log, at: 0, before: 0, number: 1, compares, is_beside_writers, budget }
    }

    /// Returns the next record, or `None` at the end.
    pub(super) fn next<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Step>, Error<E>> {
        if self.at == self.log.places.capacity {
            return Ok(None);
        }
        if let Some(record) = self.here(medium)? {
            self.pass(&record);
            return Ok(Some(Step::Record(record)));
        }
        let Some(behind) = self.behind(medium)? else { return Ok(None) };
        if self.is_beside_writers
            && let Some(record) = self.here(medium)?
        {
            // It was being written.
            self.pass(&record);
            return Ok(Some(Step::Record(record)));
        }
        let lost = Gap { start: self.at, end: behind.at };
        (self.at, self.before) = (behind.at, behind.head.before);
        self.number = behind.head.number;
        Ok(Some(Step::Lost(lost)))
    }

    const fn pass(&mut self, record: &Record) {
        (self.at, self.before) = (record.end(), record.head.tag);
        self.number = record.head.number;
    }

    /// Returns the record at the position, if it follows the last one.
    fn here<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Record>, Error<E>> {
        let Self { at, before, number, .. } = *self;
        self.verified(medium, at, self.compares, &|head| {
            head.before == before && head.number >= number && (head.what == What::Base) == (at == 0)
        })?
        .map_err(Error::medium)
    }

    /// Returns the record at a position if it `fits` and is whole, as long as there is a budget for that.
    fn verified<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        compares: bool,
        fits: &dyn Fn(&Head) -> bool,
    ) -> Result<Result<Option<Record>, E>, Error<E>> {
        let mut budget = self.budget;
        let found = self.log.record(medium, at, compares, &mut |head| {
            let fits = fits(head);
            budget = budget.saturating_sub(if fits { head.len } else { 0 });
            fits && budget > 0
        });
        self.budget = budget;
        if budget == 0 {
            let rest = Gap { start: self.at, end: self.log.places.capacity };
            return Err(Error(ErrorKind::Damaged(self.log.lost(rest))));
        }
        Ok(found)
    }

    /// Returns true if the position has a record that was being written: its head is there and its tag does not match.
    pub(super) fn is_torn<E: Failure>(&self, medium: &dyn Readable<Error = E>) -> bool {
        self.at < self.log.places.capacity
            && [0, 1].into_iter().any(|mirror| {
                let head = self.log.head(medium, mirror, self.at);
                head.is_ok_and(|head| head.is_some_and(|head| head.before == self.before))
            })
    }

    /// Returns the first whole record behind the position.
    fn behind<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Record>, Error<E>> {
        let (mut at, number) = (self.at + LINE, self.number);
        while at < self.log.places.capacity {
            let is_later = |head: &Head| head.number >= number && head.what != What::Base;
            // What cannot be read is no record.
            let found = self.verified(medium, at, false, &is_later)?.unwrap_or(None);
            if found.is_some() {
                return Ok(found);
            }
            at += LINE;
        }
        Ok(None)
    }
}

impl Log {
    /// Returns the damage of a part of the log that is whole in neither mirror.
    pub(super) const fn lost(&self, lost: Gap) -> Damage {
        let offset = self.places.current[0] + lost.start;
        Damage { part: Part::Record, offset, len: lost.end - lost.start }
    }

    /// Returns true if the other area has the log of the next generation, with a commit in it. Then the root of that
    /// generation was durable, and is damaged. `last` is the tag of the last record here.
    #[cfg(feature = "alloc")]
    pub(super) fn is_overtaken<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        last: u64,
    ) -> Result<bool, Error<E>> {
        let generation = self.root.generation + 1;
        let places = Places {
            current: self.places.other,
            other: self.places.current,
            salt: next_salt(self.root.identity, generation, last),
            ..self.places
        };
        let root = Root { generation, ..self.root };
        let mut scan = Scan::new(Self { root, places }, false, false);
        while let Some(step) = scan.next(medium)? {
            // A compaction that a crash has cut off is whole in parts.
            if let Step::Record(record) = step
                && matches!(record.head.what, What::Commit | What::Opening)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The state of a store after a record, without its entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// The number of the commit.
    pub(super) number: u64,
    pub(super) is_sealed: bool,
    /// The circumstances of the last opening, and the time of the commit.
    pub(super) stamp: Stamp,
    /// Bytes of the store at the last opening.
    pub(super) size: u64,
    /// The position behind the record.
    pub(super) end: u64,
    /// The tag of the record.
    pub(super) tag: u64,
    /// Entries that the base counts and that were not found so far.
    pub(super) missing: u64,
    /// Damaged bytes of the log, if there are any: the first.
    pub(super) lost: Option<Gap>,
}

impl State {
    pub(super) const NONE: Self = Self {
        number: 0,
        is_sealed: false,
        stamp: Stamp::UNKNOWN,
        size: 0,
        end: 0,
        tag: 0,
        missing: 0,
        lost: None,
    };

    /// Goes on with the next step of a scan.
    pub(super) fn pass<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
        step: &Step,
    ) -> Result<(), Error<E>> {
        let record = match step {
            Step::Record(record) => record,
            Step::Lost(lost) => {
                self.lost = self.lost.or(Some(*lost));
                return Ok(());
            }
        };
        let head = &record.head;
        (self.number, self.end, self.tag) = (head.number, record.end(), head.tag);
        self.is_sealed = head.is_sealed;
        if matches!(head.what, What::Base | What::Opening) {
            let [size, entries] = record.numbers(medium).map_err(Error::medium)?;
            self.size = size;
            if head.what == What::Base {
                self.missing = entries;
            }
            if let Some(last) = record.boots(medium).map_err(Error::medium)?.last() {
                self.stamp = boot(medium, last).map_err(Error::medium)?.stamp;
            }
        }
        if head.what == What::Snapshot {
            let mut items = record.items();
            while next_item(medium, &mut items)?.is_some() {
                self.missing = self.missing.saturating_sub(1);
            }
        }
        self.stamp.seconds = head.seconds;
        Ok(())
    }
}

/// Returns the tag of a range of the medium.
pub(super) fn tag_of<E: Failure>(
    medium: &dyn Readable<Error = E>,
    key: u64,
    range: Range<u64>,
) -> Result<u64, E> {
    let mut piece = [0; PIECE];
    let len = range.end - range.start;
    if let Some(piece) = piece.get_mut(..len as usize).filter(|_| len <= PIECE as u64) {
        medium.read(range.start, piece)?;
        return Ok(cachemaint_format::tag::of(key, piece));
    }
    let mut running = Running::new(key);
    append(medium, range, &mut running)?;
    Ok(running.finish())
}

/// Continues the computation of a tag over a range of the medium.
pub(super) fn append<E: Failure>(
    medium: &dyn Readable<Error = E>,
    range: Range<u64>,
    running: &mut Running,
) -> Result<(), E> {
    let mut at = range.start;
    let mut piece = [0; PIECE];
    while at < range.end {
        let bytes = (range.end - at).min(PIECE as u64) as usize;
        medium.read(at, &mut piece[..bytes])?;
        running.append(&piece[..bytes]);
        at += bytes as u64;
    }
    Ok(())
}
