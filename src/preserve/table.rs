//! The table of a store in memory.

use super::error::Error;
use super::format::boots;
use super::format::record::{Entry, Is, What};
use super::info::{Info, Name};
use super::log::{Gap, Step, boot, next_item};
use super::stamp::Boot;
use crate::medium::Readable;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::error::Error as Failure;

/// A blob or a region.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) entry: Entry,
    /// The offset of its metadata and value in the log.
    pub(super) at: u64,
    /// Its metadata and value.
    pub(super) rest: Box<[u8]>,
}

impl Live {
    /// Returns the entry of a name.
    pub(super) fn info(&self, name: &[u8]) -> Info {
        // A name was text when it was put, or was checked when it was read.
        let name = Name::of(core::str::from_utf8(name).unwrap_or_default());
        Info::of(name, &self.entry, self.at)
    }
}

/// All blobs and regions by their names, and the history.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) live: BTreeMap<Box<[u8]>, Live>,
    /// Bytes of all entries in a record.
    pub(super) bytes: u64,
    /// The boots that the store was opened in.
    pub(super) boots: Vec<Boot>,
    /// Damaged bytes of the log, whose changes are not known: the first.
    pub(super) lost: Option<Gap>,
    /// Damaged bytes before the record to come.
    pub(super) gap: Option<Gap>,
}

impl Table {
    /// Goes on with the next step of a scan. After a damaged commit only later changes are certain. The records of a
    /// compaction name each name once.
    pub(super) fn pass<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
        step: &Step,
        capacity: u64,
        keeps: bool,
    ) -> Result<(), Error<E>> {
        let record = match step {
            Step::Record(record) => record,
            Step::Lost(gap) => {
                self.gap = Some(*gap);
                return Ok(());
            }
        };
        if let Some(gap) = self.gap.take() {
            self.lost = self.lost.or(Some(gap));
            if record.head.what != What::Snapshot {
                self.live.clear();
                self.bytes = 0;
            }
        }
        if record.head.what == What::Base {
            self.boots.clear();
        }
        for at in record.boots(medium).map_err(Error::medium)? {
            self.open(boot(medium, at).map_err(Error::medium)?, capacity);
        }
        let mut items = record.items();
        while let Some(item) = next_item(medium, &mut items)? {
            let name = item.name(medium).map_err(Error::medium)?.ok_or_else(|| item.forged())?;
            let at = item.rest();
            let mut rest = Box::default();
            if keeps && item.entry.rest() > 0 {
                rest = alloc::vec![0; item.entry.rest() as usize].into();
                medium.read(at, &mut rest).map_err(Error::medium)?;
            }
            self.change(name.as_bytes(), Live { entry: item.entry, at, rest });
        }
        Ok(())
    }

    /// Ends a scan: nothing follows damaged bytes.
    pub(super) fn finish(&mut self) {
        self.lost = self.lost.or(self.gap.take());
    }

    /// Puts or deletes an entry. Returns the one before.
    pub(super) fn change(&mut self, name: &[u8], live: Live) -> Option<Live> {
        let before = if live.entry.is == Is::Deleted {
            self.live.remove(name)
        } else {
            self.bytes += live.entry.size();
            match self.live.get_mut(name) {
                Some(there) => Some(core::mem::replace(there, live)),
                None => self.live.insert(name.into(), live),
            }
        };
        self.bytes -= before.as_ref().map_or(0, |before| before.entry.size());
        before
    }

    /// Adds an opening to the history: the first in its boot, or a further one.
    pub(super) fn open(&mut self, now: Boot, capacity: u64) {
        match self.boots.last_mut().filter(|last| last.generation == now.generation) {
            Some(last) => *last = now,
            None => self.boots.push(now),
        }
        let most = boots(capacity) as usize;
        self.boots.drain(..self.boots.len().saturating_sub(most));
    }

    /// Returns all entries, in the order of their names.
    pub(super) fn infos(&self) -> impl Iterator<Item = Info> {
        self.live.iter().map(|(name, live)| live.info(name))
    }
}
