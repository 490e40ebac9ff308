//! The log of a store that is opened for writing: reading both mirrors, and repairing them.

use crate::append::leave;
use crate::error::{Damage, Error, ErrorKind};
use crate::format::record::{Head, RecordKind};
use crate::format::{FORMAT, ROOT};
use crate::log::scan::Scan;
use crate::log::{Log, Record};
use crate::table::Table;
use crate::verify::damaged_copies;
use alloc::vec::Vec;
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::error::FormatError;
use cachemaint_format::rewritten;
use cachemaint_format::root::Loaded;
use cachemaint_format::unreadable::{ThroughKernel, is_readable};

/// A store as found by an opening for writing.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) log: Log,
    pub(crate) table: Table,
    loaded: Loaded<ROOT>,
}

impl Recovered {
    /// Reads the log in both mirrors.
    pub(crate) fn read<M: Readable>(medium: &M) -> Result<Self, Error<M::Error>> {
        let (log, loaded) = Log::load(medium, Rereadings::ALONE)?;
        let table = Table::read(medium, Scan::new(log, true));
        medium.check().map_err(Error::medium)?;
        let table = table?;
        match table.lost {
            Some(lost) => Err(Error(ErrorKind::Damaged(log.lost(lost)))),
            None => Ok(Self { log, table, loaded }),
        }
    }

    /// Returns the copies that [`mend`](Self::mend) replaces.
    pub(crate) fn damaged_copies<M: Medium>(&self, medium: &M) -> Vec<Damage> {
        let mut copies = damaged_copies(&self.log, &self.table, &self.loaded);
        copies.retain(|copy| is_readable(medium, copy.offset..copy.offset + copy.len));
        copies
    }

    /// Replaces damaged copies, except those on bad blocks. Makes the last record durable, since the process that wrote it
    /// may have ended before its fence.
    ///
    /// Then reads these records again: after a failed write-back the operating system can drop a page between the first
    /// read and the stores here, but not after them. One intact copy suffices.
    ///
    /// # Errors
    /// [`FormatError::Failed`] if a record is no longer there, which was not acknowledged.
    pub(crate) fn mend<M: Medium>(&self, medium: &M) -> Result<(), Error<M::Error>> {
        let Self { log, table, loaded } = self;
        log.root.restore(medium, FORMAT, loaded.is_damaged).map_err(Error::medium)?;
        for (record, damaged) in &table.halves {
            let bytes = self.again(medium, record)?;
            let at = log.places.current[*damaged] + record.at;
            if is_readable(medium, at..at + record.head.len) {
                medium.persist_copy(&[(at, &bytes)]).map_err(Error::medium)?;
            }
        }
        for mirror in log.places.current {
            let Some(record) = &table.last else { continue };
            let at = mirror + record.at;
            let written = rewritten::writeback(medium, at..at + record.head.len);
            medium.fence().and(written).map_err(Error::medium)?;
        }
        for record in table.halves.iter().map(|(record, _)| record).chain(&table.last) {
            self.again(medium, record)?;
        }
        self.leave_before(medium).map_err(Error::medium)
    }

    /// Reads a record again.
    fn again<M: Medium>(&self, medium: &M, record: &Record) -> Result<Vec<u8>, Error<M::Error>> {
        let (is_this, mut bytes) = (&mut |head: &Head| *head == record.head, Vec::new());
        let reads = &ThroughKernel::new(medium);
        let found = self.log.record(reads, record.at, false, is_this, &mut bytes);
        match found.map_err(Error::medium)? {
            Some(_) => Ok(bytes),
            None => Err(Error::format(FormatError::failed(medium))),
        }
    }

    /// Marks the log of the previous root as left, since a crash may have come between the new root and its mark. After
    /// a growth that log may have been freed, so only the first record of a log is marked. The fence of the next record
    /// completes this.
    fn leave_before<M: Medium>(&self, medium: &M) -> Result<(), M::Error> {
        let before = self.loaded.before.and_then(Log::of);
        let Some(before) = before.filter(|log| log.needed() <= medium.len()) else {
            return Ok(());
        };
        let is_base = &mut |head: &Head| head.kind == RecordKind::Base;
        let reads = &ThroughKernel::new(medium);
        let Some(base) = before.record(reads, 0, true, is_base, &mut Vec::new())? else {
            return Ok(());
        };
        leave(medium, &before, [0, 1].into_iter().filter(|mirror| Some(*mirror) != base.damaged))
    }
}
