//! A scan over the records of a log.

use super::{Gap, Log, Record};
use crate::error::{Error, ErrorKind};
use crate::format::record::{Head, RecordKind};
use crate::format::{LINE, Places};
use crate::table::State;
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use cachemaint_format::bounds::Patience;
use cachemaint_format::unreadable::if_readable;
use core::error::Error as Failure;
use core::sync::atomic::Ordering::Acquire;
use core::sync::atomic::fence;

/// A scan over the records of a log.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) log: Log,
    /// The position of the next record.
    pub(crate) at: u64,
    /// The tag of the last record.
    before: u64,
    /// The number of the last record.
    number: u64,
    compares: bool,
    patience: Patience,
    /// The last record.
    pub(crate) bytes: Vec<u8>,
}

/// The next item in a log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Record(Record),
    /// Damaged bytes in place of a record.
    Lost(Gap),
}

impl Scan {
    /// Begins a scan. If it `compares`, it reads both mirrors of each record.
    pub(crate) fn new(log: Log, compares: bool) -> Self {
        let (patience, bytes) = (Patience::with(log.places.capacity), Vec::new());
        Self { log, at: 0, before: 0, number: 1, compares, patience, bytes }
    }

    /// Continues a scan that ended in this state.
    pub(crate) fn after(log: Log, state: &State) -> Self {
        let State { end, tag, number, .. } = *state;
        Self { at: end, before: tag, number, ..Self::new(log, false) }
    }

    /// Returns the next record, the damage in its place, or `None` at the end.
    pub(crate) fn next<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Step>, Error<E>> {
        if let Some(record) = self.following(medium)? {
            return Ok(Some(Step::Record(record)));
        }
        let Some((lost, later)) = self.later(medium)? else { return Ok(None) };
        // A writer beside stored anything seen after this position later.
        fence(Acquire);
        if let Some(record) = self.following(medium)? {
            return Ok(Some(Step::Record(record)));
        }
        self.at = lost.end;
        if let Some(later) = later {
            (self.before, self.number) = (later.before, later.number);
        }
        Ok(Some(Step::Lost(lost)))
    }

    /// Returns the record at the position if it follows the last one and is intact. Does not look behind it.
    pub(crate) fn following<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Record>, Error<E>> {
        let Self { log, at, before, number, compares, .. } = *self;
        if at == log.places.capacity {
            return Ok(None);
        }
        let follows = |head: &Head| {
            head.before == before
                && head.number >= number
                && (head.kind == RecordKind::Base) == (at == 0)
        };
        let found = self.verified(medium, at, compares, &follows)?;
        if let Some(Record { head: Head { len, tag, number, .. }, .. }) = found {
            (self.at, self.before, self.number) = (at + len, tag, number);
        }
        Ok(found)
    }

    /// Returns the record at a position if it `fits` and is intact, as long as the patience lasts.
    fn verified<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        compares: bool,
        fits: &dyn Fn(&Head) -> bool,
    ) -> Result<Option<Record>, Error<E>> {
        let patience = &mut self.patience;
        let fits = &mut |head: &Head| {
            let fits = fits(head);
            patience.spend(if fits { head.len } else { 0 });
            fits && !patience.is_over()
        };
        let found = self.log.record(medium, at, compares, fits, &mut self.bytes);
        if self.patience.is_over() {
            let rest = Gap { start: self.at, end: self.log.places.capacity };
            return Err(Error(ErrorKind::Damaged(self.log.lost(rest))));
        }
        found.map_err(Error::medium)
    }

    /// Returns the damage at the position if a record was lost there, and the intact record after it, if any.
    ///
    /// A record was lost if an intact record follows, or if the position can be read in neither mirror.
    fn later<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<(Gap, Option<Head>)>, Error<E>> {
        let (start, Places { capacity, current, .. }) = (self.at, self.log.places);
        if start == capacity {
            return Ok(None);
        }
        for at in (start..capacity).step_by(LINE as usize).skip(1) {
            if let Some(record) = self.verified(medium, at, false, &|_| true)? {
                return Ok(Some((Gap { start, end: at }, Some(record.head))));
            }
        }
        for mirror in current {
            let read = medium.read(mirror + start, &mut [0; LINE as usize]);
            if if_readable(medium, read).map_err(Error::medium)?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some((Gap { start, end: start + LINE }, None)))
    }
}
