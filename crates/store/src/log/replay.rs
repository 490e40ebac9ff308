//! Replaying a log: the table after its last record, and the damage on the way.

use super::scan::{Scan, Step};
use super::{Gap, Log, Record};
use crate::error::{Damage, Error, ErrorKind, Part};
use crate::format::record::{HEAD, Head, RecordKind};
use crate::table::{Live, State, Table};
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use cachemaint_format::bounds::{ATTEMPTS, Rereadings};
use core::error::Error as Failure;

/// A table that was read from a log, and the findings.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) table: Table,
    /// The first damaged bytes of the log, which may contain unknown changes.
    pub(crate) lost: Option<Gap>,
    /// Damaged bytes before the next record.
    gap: Option<Gap>,
    /// The records with a damaged copy, and its mirror, if both mirrors were compared.
    pub(crate) halves: Vec<(Record, usize)>,
    /// True if a record says that the store was sealed at the time.
    pub(crate) has_seal: bool,
}

impl Replay {
    /// Reads the last commit in a log.
    pub(crate) fn read<E: Failure>(
        medium: &dyn Readable<Error = E>,
        mut scan: Scan,
    ) -> Result<Self, Error<E>> {
        let log = scan.log;
        log.refuse_left(medium)?;
        let mut replay = Self::default();
        while let Some(step) = scan.next(medium)? {
            replay.pass(&step, &scan)?;
        }
        replay.finish();
        let State { number, end, .. } = replay.table.state;
        let is_cut = end < log.places.end && replay.lost.is_none();
        if number > 0 && !is_cut {
            return Ok(replay);
        }
        let lost = log.lost(replay.lost.unwrap_or(Gap { start: end, end: log.places.capacity }));
        let part = if number == 0 { Part::Table } else { Part::Record };
        Err(Error(ErrorKind::Damaged(Damage { part, ..lost })))
    }

    /// Reads a log in both mirrors, up to the end of an earlier reading. If the scan ends before, the rest is lost.
    pub(crate) fn compared<E: Failure>(
        medium: &dyn Readable<Error = E>,
        log: Log,
        end: u64,
    ) -> Result<Self, Error<E>> {
        let (mut scan, mut replay) = (Scan::new(log, true), Self::default());
        while scan.at < end
            && let Some(step) = scan.next(medium)?
        {
            replay.pass(&step, &scan)?;
        }
        if scan.at < end {
            replay.gap = Some(Gap { start: scan.at, end });
        }
        replay.finish();
        Ok(replay)
    }

    /// Continues with a step of a scan. After a damaged commit only later changes are certain. A compaction names each
    /// name only once.
    fn pass<E>(&mut self, step: &Step, scan: &Scan) -> Result<(), Error<E>> {
        let record = match step {
            Step::Record(record) => record,
            Step::Lost(gap) => {
                (self.gap, self.table.state.end) = (Some(*gap), gap.end);
                return Ok(());
            }
        };
        self.halves.extend(record.damaged.map(|mirror| (*record, mirror)));
        self.has_seal |= record.head.is_sealed;
        if let Some(gap) = self.gap.take() {
            self.lost = self.lost.or(Some(gap));
            if record.head.kind != RecordKind::Snapshot {
                self.table.forget_all();
            }
        }
        self.table.apply(record, scan)
    }

    /// Ends a scan. The changes of a record that was lost at the end are unknown.
    fn finish(&mut self) {
        if let Some(gap) = self.gap.take() {
            self.lost = self.lost.or(Some(gap));
            self.table.forget_all();
        }
    }
}

impl Table {
    /// Makes the changes of the last record of a scan.
    pub(crate) fn apply<E>(&mut self, record: &Record, scan: &Scan) -> Result<(), Error<E>> {
        let Head { number, is_sealed, seconds, tag, kind, len, .. } = record.head;
        let (at, end, size) = (record.at, record.at + len, self.state.size);
        self.state = State { number, is_sealed, seconds, size, at, end, tag };
        let mut rest = &scan.bytes[HEAD..];
        if kind == RecordKind::Base {
            self.state.size = rest.first_chunk().map_or(0, |size| u64::from_le_bytes(*size));
            return Ok(());
        }
        // An entry always has a name. Zeros follow the last one.
        while rest.get(1).is_some_and(|name| *name > 0) {
            let Some(live) = Live::read(rest) else {
                let len = rest.len() as u64;
                let at = scan.log.places.current[0] + end - len;
                return Err(Error::damaged(Part::Entry, at, len));
            };
            rest = &rest[live.entry.size() as usize..];
            self.change(live);
        }
        Ok(())
    }
}

/// Returns the log and its last commit, even while a process writes.
pub(crate) fn last<E: Failure>(
    medium: &dyn Readable<Error = E>,
) -> Result<(Log, Replay), Error<E>> {
    for _ in 0..ATTEMPTS {
        let (log, _) = Log::load(medium, Rereadings::BESIDE_WRITERS)?;
        let found = Replay::read(medium, Scan::new(log, false));
        medium.check().map_err(Error::medium)?;
        if log.is_current(medium)? && !matches!(found, Err(Error(ErrorKind::Replaced))) {
            return Ok((log, found?));
        }
    }
    Err(Error(ErrorKind::Replaced))
}
