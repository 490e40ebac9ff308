//! The log of a store that is opened for writing: reading both mirrors, and repairing them.

use crate::append::leave;
use crate::commit::Commit;
use crate::error::{Damage, Error, ErrorKind};
use crate::format::record::{Head, RecordKind};
use crate::format::{FORMAT, LINE, ROOT};
use crate::log::scan::Scan;
use crate::log::{Log, next_item};
use crate::table::Table;
use crate::verify::damaged_copies;
use alloc::vec::Vec;
use cachemaint::medium::Medium;
use cachemaint_format::reread::Rereadings;
use cachemaint_format::rewritten;
use cachemaint_format::root::Loaded;

/// A store as found by an opening for writing.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) commit: Commit,
    pub(crate) table: Table,
    loaded: Loaded<ROOT>,
}

impl Recovered {
    /// Reads the log in both mirrors.
    pub(crate) fn read<M: Medium>(medium: &M) -> Result<Self, Error<M::Error>> {
        let (log, loaded) = Log::load(medium, Rereadings::ALONE)?;
        let mut table = Table::default();
        let scan = Scan::new(log, true, false);
        let commit = Commit::of_log(medium, scan, &mut |step: &_| table.pass(medium, step));
        medium.check().map_err(Error::medium)?;
        table.finish();
        match table.lost {
            Some(lost) if commit.is_ok() => Err(Error(ErrorKind::Damaged(log.lost(lost)))),
            _ => Ok(Self { commit: commit?, table, loaded }),
        }
    }

    /// Returns the copies that [`mend`](Self::mend) replaces.
    pub(crate) fn damaged_copies(&self) -> Vec<Damage> {
        damaged_copies(&self.commit.log, &self.table, &self.loaded)
    }

    /// Makes the last commit durable, since the process that made it may have ended before its fence, and replaces
    /// damaged copies. The next record overwrites a commit that did not verify.
    pub(crate) fn mend<M: Medium>(&self, medium: &M) -> Result<(), M::Error> {
        let Self { commit: Commit { log, .. }, table, loaded } = self;
        log.root.restore(medium, FORMAT, loaded.is_damaged)?;
        for record in &table.halves {
            let mut bytes = alloc::vec![0; record.head.len as usize];
            medium.read(record.place, &mut bytes)?;
            // The word may be only in the damaged copy.
            if log.is_confirmed(medium, record.end())?
                && let Some(word) = bytes.last_chunk_mut()
            {
                *word = log.confirmation(record.end()).to_le_bytes();
            }
            let at = log.places.current[record.damaged()] + record.at;
            medium.write(at, &bytes);
            medium.issue_writeback(at..at + record.head.len)?;
        }
        if let Some(record) = &table.last {
            for mirror in log.places.current {
                let at = mirror + record.at;
                rewritten::writeback(medium, at..at + record.head.len)?;
            }
            let mut items = record.items();
            while !record.head.is_durable
                && let Ok(Some(item)) = next_item(medium, &mut items)
            {
                let at = item.entry.at;
                let bytes = item.entry.occupied(LINE);
                // An impossible place is refused when the table is taken over.
                let is_possible =
                    at.is_multiple_of(log.places.unit) && at.saturating_add(bytes) <= medium.len();
                if bytes > 0 && is_possible && item.entry.commit == record.head.number {
                    rewritten::writeback(medium, at..at + bytes)?;
                }
            }
        }
        medium.fence()?;
        self.leave_before(medium)
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
        let Some(base) = before.record(medium, 0, true, is_base)? else { return Ok(()) };
        let mirrors = before.places.current.into_iter().zip(base.copies);
        leave(medium, mirrors.filter_map(|(at, is_whole)| is_whole.then_some(at)))
    }
}
