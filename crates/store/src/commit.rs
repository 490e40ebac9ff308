//! One commit of a store, as it is found in the log.

use crate::boots::stamp::Stamp;
use crate::chunks::Chunks;
use crate::error::{Error, ErrorKind, Part};
use crate::format::entry::EntryKind;
#[cfg(feature = "alloc")]
use crate::format::{Places, Root, next_salt};
use crate::format::record::RecordKind;
use crate::format::{CHUNK, tags};
use crate::info::Info;
use crate::log::scan::{Scan, Step};
use crate::log::{Gap, Item, Log, Record, boot, next_item};
use cachemaint::medium::Readable;
use cachemaint_format::reread::Rereadings;
use core::error::Error as Failure;

/// The number of times that a writer may compact the log while it is read.
const ATTEMPTS: u32 = 100;

/// The state of a store after a record, without its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// The number of the commit.
    pub(crate) number: u64,
    pub(crate) is_sealed: bool,
    /// The circumstances of the last opening, and the time of the commit.
    pub(crate) stamp: Stamp,
    /// Bytes of the store at the last opening.
    pub(crate) size: u64,
    /// The position behind the record.
    pub(crate) end: u64,
    /// The tag of the record.
    pub(crate) tag: u64,
    /// Entries that the base counts and that were not found so far.
    pub(crate) missing: u64,
    /// Damaged bytes of the log, if there are any: the first.
    pub(crate) lost: Option<Gap>,
}

impl State {
    pub(crate) const NONE: Self = Self {
        number: 0,
        is_sealed: false,
        stamp: Stamp::UNKNOWN,
        size: 0,
        end: 0,
        tag: 0,
        missing: 0,
        lost: None,
    };

    /// Goes on with the next step of a scan.
    pub(crate) fn pass<E: Failure>(
        &mut self,
        medium: &dyn Readable<Error = E>,
        step: &Step,
    ) -> Result<(), Error<E>> {
        let record = match step {
            Step::Record(record) => record,
            Step::Lost(lost) => {
                self.lost = self.lost.or(Some(*lost));
                return Ok(());
            }
        };
        let head = &record.head;
        (self.number, self.end, self.tag) = (head.number, record.end(), head.tag);
        self.is_sealed = head.is_sealed;
        if matches!(head.kind, RecordKind::Base | RecordKind::Opening) {
            let [size, entries] = record.numbers(medium).map_err(Error::medium)?;
            self.size = size;
            if head.kind == RecordKind::Base {
                self.missing = entries;
            }
            if let Some(last) = record.boots(medium).map_err(Error::medium)?.last() {
                self.stamp = boot(medium, last).map_err(Error::medium)?.stamp;
            }
        }
        if head.kind == RecordKind::Snapshot {
            let mut items = record.items();
            while next_item(medium, &mut items)?.is_some() {
                self.missing = self.missing.saturating_sub(1);
            }
        }
        self.stamp.seconds = head.seconds;
        Ok(())
    }
}

impl Log {
    /// Returns true if the other area has the log of the next generation, with a commit in it. Then the root of that
    /// commit was durable, and is damaged. `last` is the tag of the last record here.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_overtaken<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        last: u64,
    ) -> Result<bool, Error<E>> {
        let generation = self.root.generation + 1;
        let places = Places {
            current: self.places.other,
            other: self.places.current,
            salt: next_salt(self.root.identity, generation, last),
            ..self.places
        };
        let root = Root { generation, ..self.root };
        let mut scan = Scan::new(Self { root, places }, false, false);
        while let Some(step) = scan.next(medium)? {
            // A compaction that a crash has cut off is whole in parts.
            if let Step::Record(record) = step
                && matches!(record.head.kind, RecordKind::Commit | RecordKind::Opening)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The places and the state of a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    pub(crate) log: Log,
    pub(crate) state: State,
    /// The number of the commit after it, which did not verify.
    #[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "for writers"))]
    pub(crate) undone: Option<u64>,
    /// The tag of the last record of the log, though it is of a commit that did not verify.
    #[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "for writers"))]
    pub(crate) last: u64,
}

impl Commit {
    /// Returns the last commit in a medium, beside a writer or without one.
    pub(crate) fn last<E: Failure>(medium: &dyn Readable<Error = E>) -> Result<Self, Error<E>> {
        for _ in 0..ATTEMPTS {
            let (log, _) = Log::load(medium, Rereadings::BESIDE_WRITERS)?;
            let last = Self::of(medium, Scan::new(log, false, true), &mut |_| Ok(()));
            medium.check().map_err(Error::medium)?;
            if log.is_current(medium)? && !matches!(last, Err(Error(ErrorKind::Replaced))) {
                return last;
            }
        }
        Err(Error(ErrorKind::Replaced))
    }

    /// Returns the last commit of the log of a scan, and shows each step.
    ///
    /// The last record is in doubt: nothing after it vouches for it. So it counts if its blobs verify, unless it says that
    /// they were durable before.
    pub(crate) fn of<E: Failure>(
        medium: &dyn Readable<Error = E>,
        mut scan: Scan,
        see: &mut dyn FnMut(&Step) -> Result<(), Error<E>>,
    ) -> Result<Self, Error<E>> {
        let log = scan.log;
        let (mut state, mut undone) = (State::NONE, None);
        let mut in_doubt: Option<(Record, State)> = None;
        loop {
            let step = scan.next(medium)?;
            if let Some((record, after)) = in_doubt.take() {
                // A record that follows vouches for it.
                if step.is_some() || are_blobs_whole(medium, &log, &record)? {
                    see(&Step::Record(record))?;
                    state = after;
                } else if scan.next(medium)?.is_none() {
                    undone = Some(record.head.number);
                    break;
                } else {
                    return Err(Error(ErrorKind::Replaced));
                }
            }
            let Some(step) = step else { break };
            let mut after = state;
            after.pass(medium, &step)?;
            match step {
                Step::Record(record)
                    if record.head.kind == RecordKind::Commit && !record.head.is_durable =>
                {
                    in_doubt = Some((record, after));
                }
                step => {
                    see(&step)?;
                    state = after;
                }
            }
        }
        let rest = |start| Gap { start, end: log.places.capacity };
        if state.number == 0 {
            let lost = log.lost(state.lost.unwrap_or(rest(0)));
            return Err(Error::damaged(Part::Table, lost.offset, lost.len));
        }
        if state.missing > 0 && state.lost.is_none() {
            return Err(Error(ErrorKind::Damaged(log.lost(rest(state.end)))));
        }
        if undone.is_none() && scan.is_torn(medium) {
            undone = Some(state.number + 1);
        }
        Ok(Self { log, state, undone, last: scan.before })
    }

    /// Returns true if a newer root was durable, and is damaged. Its log follows the last record, or the one before if
    /// the last one did not verify.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_overtaken<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<bool, Error<E>> {
        Ok(self.log.is_overtaken(medium, self.last)?
            || self.log.is_overtaken(medium, self.state.tag)?)
    }

    /// Shows the steps of the log up to this commit. Fails if the log was compacted meanwhile.
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

    /// Fails if the log was compacted since this commit.
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
                // The name may have been changed there. The records of a compaction name each name once.
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
        let named = item.name(medium).map_err(Error::medium)?;
        medium.check().map_err(Error::medium)?;
        Ok(Some(Info::new(named.ok_or_else(|| item.forged())?, &item.entry, item.rest())))
    }
}

fn is_named<E: Failure>(
    medium: &dyn Readable<Error = E>,
    item: &Item,
    name: &str,
) -> Result<bool, Error<E>> {
    let found = item.name(medium).map_err(Error::medium)?;
    Ok(found.is_some_and(|found| found.as_bytes() == name.as_bytes()))
}

/// Returns true if the blobs that a record puts are whole.
fn are_blobs_whole<E: Failure>(
    medium: &dyn Readable<Error = E>,
    log: &Log,
    record: &Record,
) -> Result<bool, Error<E>> {
    let mut items = record.items();
    // A commit with more bytes has fenced them, and says so.
    let mut left = CHUNK;
    while let Some(item) = next_item(medium, &mut items)? {
        let is_of_this = item.entry.commit == record.head.number;
        if is_of_this && item.entry.kind == EntryKind::Blob {
            let Some(rest) = left.checked_sub(tags(item.entry.len).end) else { return Ok(false) };
            left = rest;
        }
        if is_of_this && !Chunks::of_item(log.identity(), &item).is_whole(medium) {
            return Ok(false);
        }
    }
    Ok(true)
}
