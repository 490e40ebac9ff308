//! A scan over the records of a log.

use super::{Gap, Log, Record};
use crate::error::{Error, ErrorKind};
use crate::format::LINE;
use crate::format::record::{Head, RecordKind};
use cachemaint::medium::Readable;
use core::error::Error as Failure;

/// A scan over the records of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    pub(crate) log: Log,
    /// The position of the next record.
    pub(crate) at: u64,
    /// The tag of the last record.
    pub(crate) before: u64,
    /// The number of the last record.
    number: u64,
    compares: bool,
    is_beside_writers: bool,
    /// Bytes that may still be verified.
    budget: u64,
}

/// The next thing in a log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Record(Record),
    /// Damaged bytes, before a whole record.
    Lost(Gap),
}

impl Scan {
    /// Begins a scan. One that `compares` reads both mirrors of each record.
    pub(crate) const fn new(log: Log, compares: bool, is_beside_writers: bool) -> Self {
        let budget = 8 * log.places.capacity;
        Self { log, at: 0, before: 0, number: 1, compares, is_beside_writers, budget }
    }

    /// Returns the next record, or `None` at the end.
    pub(crate) fn next<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Step>, Error<E>> {
        if self.at == self.log.places.capacity {
            return Ok(None);
        }
        if let Some(record) = self.next_record(medium)? {
            self.pass(&record);
            return Ok(Some(Step::Record(record)));
        }
        let Some(later) = self.later_record(medium)? else { return Ok(None) };
        if self.is_beside_writers
            && let Some(record) = self.next_record(medium)?
        {
            // It was being written.
            self.pass(&record);
            return Ok(Some(Step::Record(record)));
        }
        let lost = Gap { start: self.at, end: later.at };
        (self.at, self.before) = (later.at, later.head.before);
        self.number = later.head.number;
        Ok(Some(Step::Lost(lost)))
    }

    const fn pass(&mut self, record: &Record) {
        (self.at, self.before) = (record.end(), record.head.tag);
        self.number = record.head.number;
    }

    /// Returns the record at the position, if it follows the last one.
    fn next_record<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Record>, Error<E>> {
        let Self { at, before, number, .. } = *self;
        self.verified(medium, at, self.compares, &|head| {
            head.before == before
                && head.number >= number
                && (head.kind == RecordKind::Base) == (at == 0)
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
    pub(crate) fn is_torn<E: Failure>(&self, medium: &dyn Readable<Error = E>) -> bool {
        self.at < self.log.places.capacity
            && [0, 1].into_iter().any(|mirror| {
                let head = self.log.head(medium, mirror, self.at);
                head.is_ok_and(|head| head.is_some_and(|head| head.before == self.before))
            })
    }

    /// Returns the first whole record behind the position.
    fn later_record<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Record>, Error<E>> {
        let (mut at, number) = (self.at + LINE, self.number);
        while at < self.log.places.capacity {
            let is_later = |head: &Head| head.number >= number && head.kind != RecordKind::Base;
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
