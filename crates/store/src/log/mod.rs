//! Reading the log of a store.
//!
//! A log has two mirrors with the same records. Each record contains the tag of the previous one, and its own tag
//! verifies it. A [`Scan`] goes from record to record until one is intact in neither mirror. This is the end, unless an
//! intact record follows: that one was written after a fence, so the record before it was durable and is damaged.
//!
//! Bytes that cannot be read are damaged, unless the medium has failed as a whole.
//!
//! # Work
//! A scan reads each record once, or twice if it compares the mirrors. After the end, it reads each line of both
//! mirrors. Anything that looks like a record is verified, until this has read eight times the bytes of a mirror; then
//! the log counts as damaged.

use crate::error::{Damage, Error, Part};
use crate::format::entry::{ENTRY, Entry};
use crate::format::record::{BASE, HEAD, Head, RecordKind, key};
use crate::format::{FORMAT, LINE, Places, Root};
use cachemaint::medium::Readable;
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use cachemaint_format::reread::Rereadings;
use cachemaint_format::root::{self, Loaded, slots};
use cachemaint_format::tag::Running;
use cachemaint_format::unreadable::if_readable;
use core::error::Error as Failure;
use core::ops::Range;

pub(crate) mod scan;

/// The offset in a base of the kind byte, which is 0 once its log was left.
pub(crate) const LEFT: usize = 36;
/// The number of bytes read at a time to compute a tag.
const PIECE: usize = 1024;

/// A log in a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) root: Root,
    pub(crate) places: Places,
}

/// A record that is intact in at least one mirror.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) head: Head,
    /// Its position in the log.
    pub(crate) at: u64,
    /// The offset of the copy to read.
    pub(crate) place: u64,
    /// The mirror with a damaged copy, if both were read.
    pub(crate) damaged: Option<usize>,
}

impl Record {
    /// Returns the position after it.
    pub(crate) const fn end(&self) -> u64 {
        self.at + self.head.len
    }

    /// Returns the range of its body in the medium.
    const fn body(&self) -> Range<u64> {
        self.place + HEAD as u64..self.place + self.head.len
    }

    /// Returns the range of the record's entries, which is empty if it has none.
    pub(crate) const fn items(&self) -> Range<u64> {
        let Range { start, end } = self.body();
        match self.head.kind {
            RecordKind::Commit | RecordKind::Snapshot => start..end,
            RecordKind::Base | RecordKind::Opening => end..end,
        }
    }

    /// Returns the fields of a base or an opening, or `None` if the record is neither.
    pub(crate) fn opening<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Opening>, Error<E>> {
        if matches!(self.head.kind, RecordKind::Commit | RecordKind::Snapshot) {
            return Ok(None);
        }
        let mut bytes = [0; BASE - HEAD];
        read(medium, Part::Record, self.body().start, &mut bytes)?;
        let [size, entries] = [0, 1].map(|word| u64::from_le_bytes(bytes.as_chunks().0[word]));
        Ok(Some(Opening { size, entries }))
    }
}

/// The fields of a base or an opening.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// Bytes of the store.
    pub(crate) size: u64,
    /// The number of entries in the snapshots that follow a base.
    pub(crate) entries: u64,
}

/// An entry of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) entry: Entry,
    /// The offset of the entry in the medium.
    pub(crate) at: u64,
}

impl Item {
    /// Returns the damage of an entry with a matching tag but invalid fields.
    pub(crate) const fn forged<E>(&self) -> Error<E> {
        forged(self.at, ENTRY as u64)
    }
}

const fn forged<E>(offset: u64, len: u64) -> Error<E> {
    Error::damaged(Part::Entry, offset, len)
}

/// Takes the next entry of a record. Zeros end the entries.
pub(crate) fn next_item<E: Failure>(
    medium: &dyn Readable<Error = E>,
    items: &mut Range<u64>,
) -> Result<Option<Item>, Error<E>> {
    let at = items.start;
    if items.end - at < ENTRY as u64 {
        return Ok(None);
    }
    let mut bytes = [0; ENTRY];
    read(medium, Part::Record, at, &mut bytes)?;
    // An entry always has a name.
    if bytes[1] == 0 {
        return Ok(None);
    }
    let entry = Entry::read(&bytes).filter(|entry| entry.size() <= items.end - at);
    let entry = entry.ok_or_else(|| forged(at, items.end - at))?;
    items.start += entry.size();
    Ok(Some(Item { entry, at }))
}

impl Log {
    /// Loads the root and the places of the log. Also returns which copies of the root are damaged.
    pub(crate) fn load<E: Failure>(
        medium: &dyn Readable<Error = E>,
        rereadings: Rereadings,
    ) -> Result<(Self, Loaded<{ crate::format::ROOT }>), Error<E>> {
        let loaded = Root::load(medium, FORMAT, rereadings).map_err(Error::format)?;
        let log = Self::of(loaded.root).ok_or(Error::format(FormatError::Roots))?;
        let (size, needed) = (medium.len(), log.needed());
        if size < needed {
            return Err(Error::format(FormatError::Truncated { size, needed }));
        }
        Ok((log, loaded))
    }

    /// Returns the log of a root, or `None` if a log cannot be there.
    pub(crate) fn of(root: Root) -> Option<Self> {
        Some(Self { root, places: Places::read(&root.own)? })
    }

    /// Returns the number of bytes that the medium must have.
    pub(crate) fn needed(&self) -> u64 {
        self.places.mirrors().fold(0, u64::max) + self.places.capacity
    }

    pub(crate) const fn identity(&self) -> Identity {
        self.root.identity
    }

    /// Returns true if the log has not been compacted since, so none of its records was overwritten.
    pub(crate) fn is_current<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<bool, Error<E>> {
        // The earlier reads precede the read of the root.
        core::sync::atomic::fence(core::sync::atomic::Ordering::Acquire);
        let is_current = self.root.is_current(medium, FORMAT).map_err(Error::medium)?;
        medium.check().map_err(Error::medium)?;
        Ok(is_current)
    }

    /// Reads the line at a position in a mirror. Returns `None` if it cannot be read.
    fn line<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        mirror: usize,
        at: u64,
    ) -> Result<Option<[u8; LINE as usize]>, E> {
        let mut line = [0; LINE as usize];
        let read = medium.read(self.places.current[mirror] + at, &mut line);
        Ok(if_readable(medium, read)?.map(|()| line))
    }

    /// Returns the head of a record that may begin with a line.
    fn head(&self, at: u64, line: &[u8; LINE as usize]) -> Option<Head> {
        let head = Head::read(line.first_chunk()?, self.places.salt)?;
        (head.len <= self.places.capacity - at).then_some(head)
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
        let tag = tag_of(medium, key, place + 8..place + head.len);
        Ok(if_readable(medium, tag)? == Some(head.tag))
    }

    /// Returns the record at a position, if it is intact in a mirror and `fits`.
    pub(crate) fn record<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        compares: bool,
        fits: &mut dyn FnMut(&Head) -> bool,
    ) -> Result<Option<Record>, E> {
        let mut found: Option<Record> = None;
        for mirror in [0, 1] {
            if found.is_some() && !compares {
                break;
            }
            let line = self.line(medium, mirror, at)?;
            let head = line.and_then(|line| self.head(at, &line)).filter(&mut *fits);
            let is_whole = match &head {
                Some(head) => self.is_whole(medium, mirror, at, head)?,
                None => false,
            };
            match (&mut found, head.filter(|_| is_whole)) {
                (Some(found), head) if head != Some(found.head) => found.damaged = Some(mirror),
                (None, Some(head)) => {
                    let place = self.places.current[mirror] + at;
                    let damaged = (mirror > 0).then_some(0);
                    found = Some(Record { head, at, place, damaged });
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Fails if this log was left for a newer one, which means that the newer root is lost.
    pub(crate) fn refuse_left<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<(), Error<E>> {
        for mirror in [0, 1] {
            let line = self.line(medium, mirror, 0).map_err(Error::medium)?;
            let head = line.filter(|line| line[LEFT] == 0).and_then(|mut line| {
                line[LEFT] = RecordKind::Base as u8;
                Some((self.head(0, &line)?, line))
            });
            let Some((head, line)) = head else { continue };
            let place = self.places.current[mirror];
            let mut tag = Running::new(key(self.root.identity, self.places.salt, 0));
            tag.append(&line[8..]);
            let rest = place + LINE..place + head.len;
            let read = append(medium, rest, &mut tag);
            if if_readable(medium, read).map_err(Error::medium)?.is_some()
                && tag.finish() == head.tag
            {
                let offset = slots(self.root.generation + 1)[0];
                return Err(Error::damaged(Part::NewerRoot, offset, root::BLOCK));
            }
        }
        Ok(())
    }
}

/// A part of the log, by positions, that is intact in neither mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Log {
    /// Returns the damage for a part of the log that is intact in neither mirror.
    pub(crate) const fn lost(&self, lost: Gap) -> Damage {
        let offset = self.places.current[0] + lost.start;
        Damage { part: Part::Record, offset, len: lost.end - lost.start }
    }
}

/// Reads bytes of a part. Unreadable bytes are damaged, unless the medium has failed.
pub(crate) fn read<E: Failure>(
    medium: &dyn Readable<Error = E>,
    part: Part,
    at: u64,
    into: &mut [u8],
) -> Result<(), Error<E>> {
    let read = medium.read(at, into);
    let is_read = if_readable(medium, read).map_err(Error::medium)?;
    is_read.ok_or_else(|| Error::damaged(part, at, into.len() as u64))
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
