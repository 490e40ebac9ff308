//! A commit of a store, as found in the log.

use crate::error::{Error, ErrorKind, Part};
use crate::format::entry::EntryKind;
use crate::format::record::RecordKind;
use crate::info::Info;
use crate::log::scan::{Scan, Step};
use crate::log::{Gap, Item, Log, next_item};
use cachemaint::medium::Readable;
use cachemaint_format::reread::Rereadings;
use core::error::Error as Failure;
use core::ops::Range;

/// The number of times that a writer may compact the log while it is being read.
pub(crate) const ATTEMPTS: u32 = 100;

/// The state of a store after a record, without its entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The number of the commit.
    pub(crate) number: u64,
    pub(crate) is_sealed: bool,
    /// The time of the commit.
    pub(crate) seconds: u64,
    /// Bytes of the store at the last opening.
    pub(crate) size: u64,
    /// The place of the last opening's own bytes.
    pub(crate) circumstances: Range<u64>,
    /// The position after the record.
    pub(crate) end: u64,
    /// The tag of the record.
    pub(crate) tag: u64,
    /// Entries that the base counts but that were not found so far.
    pub(crate) missing: u64,
    /// The first damaged bytes of the log, if any.
    pub(crate) lost: Option<Gap>,
}

impl State {
    /// Continues with the next step of a scan.
    fn pass<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
        step: &Step,
    ) -> Result<(), Error<E>> {
        let record = match step {
            Step::Record(record) => record,
            Step::Lost(lost) => {
                self.lost = self.lost.or(Some(*lost));
                self.end = lost.end;
                return Ok(());
            }
        };
        let head = &record.head;
        (self.number, self.end, self.tag) = (head.number, record.end(), head.tag);
        (self.is_sealed, self.seconds) = (head.is_sealed, head.seconds);
        if let Some(opening) = record.opening(medium)? {
            (self.size, self.circumstances) = (opening.size, opening.circumstances);
            if head.kind == RecordKind::Base {
                self.missing = opening.entries;
            }
        }
        if head.kind == RecordKind::Snapshot {
            let mut items = record.items();
            while next_item(medium, &mut items)?.is_some() {
                self.missing = self.missing.saturating_sub(1);
            }
        }
        Ok(())
    }
}

/// The places and the state of a commit.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) log: Log,
    pub(crate) state: State,
}

impl Commit {
    /// Returns the last commit in a medium, even while a process writes.
    pub(crate) fn last<E: Failure>(medium: &dyn Readable<Error = E>) -> Result<Self, Error<E>> {
        Self::last_with(medium, |log| {
            Self::of_log(medium, Scan::new(log, false, true), &mut |_| Ok(()))
        })
    }

    /// Returns what `read` finds in the log, on an attempt during which no writer compacted it.
    pub(crate) fn last_with<T, E: Failure>(
        medium: &dyn Readable<Error = E>,
        mut read: impl FnMut(Log) -> Result<T, Error<E>>,
    ) -> Result<T, Error<E>> {
        for _ in 0..ATTEMPTS {
            let (log, _) = Log::load(medium, Rereadings::BESIDE_WRITERS)?;
            let found = read(log);
            medium.check().map_err(Error::medium)?;
            if log.is_current(medium)? && !matches!(found, Err(Error(ErrorKind::Replaced))) {
                return found;
            }
        }
        Err(Error(ErrorKind::Replaced))
    }

    /// Returns the last commit in a scanned log, and reports each step.
    pub(crate) fn of_log<E: Failure>(
        medium: &dyn Readable<Error = E>,
        mut scan: Scan,
        see: &mut dyn FnMut(&Step) -> Result<(), Error<E>>,
    ) -> Result<Self, Error<E>> {
        let log = scan.log;
        log.refuse_left(medium)?;
        let mut state = State::default();
        while let Some(step) = scan.next(medium)? {
            state.pass(medium, &step)?;
            see(&step)?;
        }
        let rest = |start| Gap { start, end: log.places.capacity };
        if state.number == 0 {
            let lost = log.lost(state.lost.unwrap_or(rest(0)));
            return Err(Error::damaged(Part::Table, lost.offset, lost.len));
        }
        if state.missing > 0 && state.lost.is_none() {
            return Err(Error(ErrorKind::Damaged(log.lost(rest(state.end)))));
        }
        Ok(Self { log, state })
    }

    /// Reports the steps of the log up to this commit. Fails if the log was compacted meanwhile.
    pub(crate) fn steps<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        compares: bool,
        see: &mut dyn FnMut(&Step) -> Result<(), Error<E>>,
    ) -> Result<(), Error<E>> {
        let mut scan = Scan::new(self.log, compares, true);
        let mut all = || {
            while scan.at < self.state.end
                && let Some(step) = scan.next(medium)?
            {
                see(&step)?;
            }
            Ok(())
        };
        let done = all();
        self.unless_replaced(medium)?;
        done
    }

    /// Fails if the log has been compacted since this commit.
    pub(crate) fn unless_replaced<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<(), Error<E>> {
        let is_current = self.log.is_current(medium)?;
        if is_current { Ok(()) } else { Err(Error(ErrorKind::Replaced)) }
    }

    /// Returns the entry of a name.
    pub(crate) fn find<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        name: &str,
    ) -> Result<Option<Info>, Error<E>> {
        let (mut found, mut doubt, mut gap) = (None, None, None);
        self.steps(medium, false, &mut |step| {
            let record = match step {
                Step::Record(record) => record,
                Step::Lost(lost) => {
                    gap = Some(*lost);
                    return Ok(());
                }
            };
            if let Some(lost) = gap.take()
                && (found.is_none() || record.head.kind != RecordKind::Snapshot)
            {
                // The name may have been changed there. A compaction names each name only once.
                doubt = Some(lost);
            }
            let mut items = record.items();
            while let Some(item) = next_item(medium, &mut items)? {
                if item.entry.name == name.len() && is_named(medium, &item, name)? {
                    (found, doubt) = (Some(item), None);
                }
            }
            Ok(())
        })?;
        if let Some(lost) = doubt.or(gap) {
            return Err(Error(ErrorKind::Damaged(self.log.lost(lost))));
        }
        let Some(item) = found.filter(|item| item.entry.kind != EntryKind::Deleted) else {
            return Ok(None);
        };
        let named = item.name(medium)?;
        medium.check().map_err(Error::medium)?;
        Ok(Some(Info::new(named.ok_or_else(|| item.forged())?, &item.entry, item.rest())))
    }
}

fn is_named<E: Failure>(
    medium: &dyn Readable<Error = E>,
    item: &Item,
    name: &str,
) -> Result<bool, Error<E>> {
    let found = item.name(medium)?;
    Ok(found.is_some_and(|found| found.as_bytes() == name.as_bytes()))
}
