//! A scan over the records of a log.

use super::{Gap, Log, Record};
use crate::error::{Error, ErrorKind};
use crate::format::LINE;
use crate::format::record::{Head, RecordKind};
use cachemaint::medium::Readable;
use core::error::Error as Failure;
use core::sync::atomic::Ordering::Acquire;
use core::sync::atomic::fence;

/// A scan over the records of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    pub(crate) log: Log,
    /// The position of the next record.
    pub(crate) at: u64,
    /// The tag of the last record.
    before: u64,
    /// The number of the last record.
    number: u64,
    compares: bool,
    is_beside_writers: bool,
    /// Bytes that may still be verified.
    budget: u64,
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
    pub(crate) const fn new(log: Log, compares: bool, is_beside_writers: bool) -> Self {
        let budget = 8 * log.places.capacity;
        Self { log, at: 0, before: 0, number: 1, compares, is_beside_writers, budget }
    }

    /// Returns the next record, the damage in its place, or `None` at the end.
    pub(crate) fn next<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Step>, Error<E>> {
        if self.at == self.log.places.capacity {
            return Ok(None);
        }
        if let Some(record) = self.next_record(medium)? {
            return Ok(Some(self.pass(record)));
        }
        let Some((lost, later)) = self.later(medium)? else { return Ok(None) };
        if self.is_beside_writers {
            // Anything seen after this position was stored later.
            fence(Acquire);
            if let Some(record) = self.next_record(medium)? {
                return Ok(Some(self.pass(record)));
            }
        }
        self.at = lost.end;
        if let Some(later) = later {
            (self.before, self.number) = (later.before, later.number);
        }
        Ok(Some(Step::Lost(lost)))
    }

    const fn pass(&mut self, record: Record) -> Step {
        (self.at, self.before) = (record.end(), record.head.tag);
        self.number = record.head.number;
        Step::Record(record)
    }

    /// Returns the record at the position, if it follows the previous one.
    fn next_record<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<Record>, Error<E>> {
        let Self { at, before, number, .. } = *self;
        self.verified(medium, at, self.compares, &|head| {
            head.before == before
                && head.number >= number
                && (head.kind == RecordKind::Base) == (at == 0)
        })
    }

    /// Returns the record at a position if it `fits` and is intact, as long as the budget lasts.
    fn verified<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        compares: bool,
        fits: &dyn Fn(&Head) -> bool,
    ) -> Result<Option<Record>, Error<E>> {
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
        found.map_err(Error::medium)
    }

    /// Returns the damage at the position if a record was lost there, and the intact record after it, if any.
    ///
    /// A record was lost if an intact record follows, or if the position can be read in neither mirror.
    fn later<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<Option<(Gap, Option<Head>)>, Error<E>> {
        let (log, start) = (self.log, self.at);
        let mut unreadable = 0;
        let mut at = start;
        while at < log.places.capacity {
            for mirror in [0, 1] {
                let Some(line) = log.line(medium, mirror, at).map_err(Error::medium)? else {
                    unreadable += u32::from(at == start);
                    continue;
                };
                if at > start
                    && log.head(at, &line).is_some()
                    && let Some(record) = self.verified(medium, at, false, &|_| true)?
                {
                    return Ok(Some((Gap { start, end: at }, Some(record.head))));
                }
            }
            at += LINE;
        }
        Ok((unreadable == 2).then_some((Gap { start, end: start + LINE }, None)))
    }
}
