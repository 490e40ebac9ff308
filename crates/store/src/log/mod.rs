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

use crate::boots::stamp::{BOOT, Boot};
use crate::error::{Damage, Error, Part};
use crate::format::entry::{ENTRY, Entry};
use crate::format::record::{BASE, HEAD, Head, RecordKind, key};
use crate::format::{FORMAT, Places, Root};
use crate::name::Name;
use cachemaint::medium::Readable;
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use cachemaint_format::reread::Rereadings;
use cachemaint_format::root::Loaded;
use cachemaint_format::tag::Running;
use core::error::Error as Failure;
use core::ops::Range;

pub(crate) mod scan;

/// Bytes read at a time to compute a tag.
const PIECE: usize = 1024;

/// A log in a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) root: Root,
    pub(crate) places: Places,
}

/// A record that is whole in one mirror at least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) head: Head,
    /// Its position in the log.
    pub(crate) at: u64,
    /// The offset of the copy that is read.
    pub(crate) place: u64,
    /// True for each copy that is whole, as far as both were read.
    pub(crate) copies: [bool; 2],
}

impl Record {
    /// Returns the position behind it.
    pub(crate) const fn end(&self) -> u64 {
        self.at + self.head.len
    }

    /// Returns the mirror whose copy is damaged, if one is.
    #[cfg(feature = "alloc")]
    pub(crate) const fn damaged(&self) -> usize {
        self.copies[0] as usize
    }

    /// Returns the range of its body in the medium.
    const fn body(&self) -> Range<u64> {
        self.place + HEAD as u64..self.place + self.head.len
    }

    /// Returns the entries of the record: none for one without entries.
    pub(crate) const fn items(&self) -> Range<u64> {
        let Range { start, end } = self.body();
        match self.head.kind {
            RecordKind::Commit | RecordKind::Snapshot => start..end,
            RecordKind::Base | RecordKind::Opening => end..end,
        }
    }

    /// Returns the size of the store, and the number of entries that a base counts.
    pub(crate) fn numbers<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<[u64; 2], E> {
        let mut bytes = [0; 16];
        medium.read(self.body().start, &mut bytes)?;
        let words = bytes.as_chunks().0;
        Ok([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])])
    }

    /// Returns the places of the boots that it has.
    pub(crate) fn boots<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<impl Iterator<Item = u64> + use<E>, E> {
        let (first, most) = match self.head.kind {
            RecordKind::Base => {
                let mut count = [0; 8];
                medium.read(self.place + BASE - 8, &mut count)?;
                (BASE, u64::from_le_bytes(count))
            }
            RecordKind::Opening => (BASE - 16, 1),
            RecordKind::Commit | RecordKind::Snapshot => (self.head.len, 0),
        };
        let count = most.min((self.head.len - first) / BOOT as u64) as usize;
        Ok((self.place + first..).step_by(BOOT).take(count))
    }
}

/// Reads a boot of the history.
pub(crate) fn boot<E: Failure>(medium: &dyn Readable<Error = E>, at: u64) -> Result<Boot, E> {
    let mut bytes = [0; BOOT];
    medium.read(at, &mut bytes)?;
    Ok(Boot::read(&bytes))
}

/// An entry of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) entry: Entry,
    /// The offset of the entry in the medium.
    pub(crate) at: u64,
}

impl Item {
    /// Returns the offset of its metadata and value.
    pub(crate) const fn rest(&self) -> u64 {
        self.at + (ENTRY + self.entry.name) as u64
    }

    /// Reads its name, or `None` if it is not UTF-8.
    pub(crate) fn name<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Name>, E> {
        Name::read(medium, self.at + ENTRY as u64, self.entry.name)
    }

    /// Returns the damage of an entry whose tag is right and whose fields are not.
    pub(crate) const fn forged<E>(&self) -> Error<E> {
        forged(self.at, ENTRY as u64)
    }
}

const fn forged<E>(offset: u64, len: u64) -> Error<E> {
    Error::damaged(Part::Entry, offset, len)
}

/// Takes the next entry of the items of a record. Zeros end them.
pub(crate) fn next_item<E: Failure>(
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
    pub(crate) fn load<E: Failure>(
        medium: &dyn Readable<Error = E>,
        rereadings: Rereadings,
    ) -> Result<(Self, Loaded<{ crate::format::ROOT }>), Error<E>> {
        let loaded = Root::load(medium, FORMAT, rereadings).map_err(Error::format)?;
        let root = loaded.root;
        let places = Places::read(&root.own).ok_or(Error::format(FormatError::Roots))?;
        let (size, needed) = (medium.len(), places.mirrors().fold(0, u64::max) + places.capacity);
        if size < needed {
            return Err(Error::format(FormatError::Truncated { size, needed }));
        }
        Ok((Self { root, places }, loaded))
    }

    pub(crate) const fn identity(&self) -> Identity {
        self.root.identity
    }

    /// Returns true if the log was not compacted since: no record of it was overwritten.
    pub(crate) fn is_current<E: Failure>(
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

/// A part of the log that is whole in neither mirror, by its positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Log {
    /// Returns the damage of a part of the log that is whole in neither mirror.
    pub(crate) const fn lost(&self, lost: Gap) -> Damage {
        let offset = self.places.current[0] + lost.start;
        Damage { part: Part::Record, offset, len: lost.end - lost.start }
    }
}

/// Returns the tag of a range of the medium.
pub(crate) fn tag_of<E: Failure>(
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
pub(crate) fn append<E: Failure>(
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
