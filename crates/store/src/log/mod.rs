//! Reading the log of a store.
//!
//! A log has two mirrors with the same records. Each record contains the tag of the previous one, and its own tag
//! verifies it. A [`Scan`](scan::Scan) goes from record to record until one is intact in neither mirror. This is the
//! end, unless an intact record follows: that one was written after a fence, so the record before it was durable and is
//! damaged.
//!
//! A record is read into memory, verified there, and taken from there. Bytes that cannot be read are damaged, unless the
//! medium has failed as a whole.
//!
//! # Work
//! A scan reads each record once, or twice if it compares the mirrors. After the end, it reads each line of both
//! mirrors, unless it continues an earlier scan. Anything that looks like a record is verified, until this has read six times the bytes of a mirror; then
//! the log counts as damaged. No more than the bytes of a mirror are in memory.

use crate::error::{Damage, Error, Part};
use crate::format::record::Head;
use crate::format::{FORMAT, LINE, Places, Root};
use alloc::vec::Vec;
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use cachemaint_format::root::{self, Loaded, slots};
use cachemaint_format::tag::{self, Kind};
use cachemaint_format::unreadable::{if_readable, is_lost};
use core::error::Error as Failure;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::fence;

pub(crate) mod replay;
pub(crate) mod scan;

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
    /// The mirror with a damaged copy, if both were read.
    pub(crate) damaged: Option<usize>,
}

/// A part of the log, by positions, that is intact in neither mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: u64,
    pub(crate) end: u64,
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
        fence(Acquire);
        let is_current = self.root.is_current(medium, FORMAT).map_err(Error::medium)?;
        medium.check().map_err(Error::medium)?;
        Ok(is_current)
    }

    /// Reads the record at a position, if it is intact in a mirror and `fits`.
    pub(crate) fn record<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        compares: bool,
        fits: &mut dyn FnMut(&Head) -> bool,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Record>, E> {
        let [one, other] = self.places.current.map(|mirror| mirror + at);
        if let Some(head) = self.read(medium, at, one, fits, bytes)? {
            let is_damaged = compares && {
                let mut copy = alloc::vec![0; bytes.len()];
                if_readable(medium, medium.read(other, &mut copy))?.is_none() || copy != *bytes
            };
            return Ok(Some(Record { head, at, damaged: is_damaged.then_some(1) }));
        }
        let head = self.read(medium, at, other, fits, bytes)?;
        Ok(head.map(|head| Record { head, at, damaged: Some(0) }))
    }

    /// Reads the copy of a record at a place, and returns its head if it is intact and `fits`.
    fn read<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        place: u64,
        fits: &mut dyn FnMut(&Head) -> bool,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Head>, E> {
        let Places { capacity, salt, .. } = self.places;
        bytes.resize(LINE as usize, 0);
        if if_readable(medium, medium.read(place, bytes))?.is_none() {
            return Ok(None);
        }
        let head = bytes.first_chunk().and_then(|bytes| Head::read(bytes, salt));
        let Some(head) = head.filter(|head| head.len <= capacity - at && fits(head)) else {
            return Ok(None);
        };
        bytes.resize(head.len as usize, 0);
        let (_, rest) = bytes.split_at_mut(LINE as usize);
        let is_read = if_readable(medium, medium.read(place + LINE, rest))?.is_some();
        let key = tag::key(self.root.identity, salt, at, Kind::Record);
        Ok((is_read && tag::of(key, &bytes[8..]) == head.tag).then_some(head))
    }

    /// Returns true if a mirror has this word at a position, or cannot be read there. A medium may still have failed.
    pub(crate) fn may_have<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        word: u64,
    ) -> bool {
        let read = |mirror: u64| medium.try_load(mirror + at, Relaxed);
        self.places
            .current
            .into_iter()
            .any(|mirror| read(mirror).map_or(true, |found| found == word))
    }

    /// Marks this log as left for a newer one, once the newer root is durable. If both copies of that root are lost, the
    /// older root then leads to a log that is known to be old. A copy that cannot be read leads nowhere. Issues the
    /// write-backs.
    pub(crate) fn leave<M: Medium>(&self, medium: &M) -> Result<(), M::Error> {
        for at in self.places.current.into_iter().filter(|at| !is_lost(medium, *at)) {
            medium.store(at, self.left(), Relaxed);
            medium.issue_writeback(at..at + 8)?;
        }
        Ok(())
    }

    /// Returns the first word of a mirror that was left for a newer log.
    fn left(&self) -> u64 {
        tag::key(self.root.identity, self.places.salt, 0, Kind::Left)
    }

    /// Fails if this log was left for a newer one, which means that the newer root is lost.
    pub(crate) fn refuse_left<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<(), Error<E>> {
        for mirror in self.places.current {
            let first = if_readable(medium, medium.try_load(mirror, Relaxed));
            if first.map_err(Error::medium)? == Some(self.left()) {
                let offset = slots(self.root.generation + 1)[0];
                return Err(Error::damaged(Part::NewerRoot, offset, root::BLOCK));
            }
        }
        Ok(())
    }

    /// Returns the damage for a part of the log that is intact in neither mirror.
    pub(crate) const fn lost(&self, lost: Gap) -> Damage {
        let offset = self.places.current[0] + lost.start;
        Damage { part: Part::Record, offset, len: lost.end - lost.start }
    }
}
