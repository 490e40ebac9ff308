//! The store as one commit has left it.

use super::Identity;
use super::blob::Chunks;
use super::error::{Damage, Error, ErrorKind, Part};
use super::format::record::{Is, What};
use super::format::{CHUNK, tags};
use super::info::Info;
use super::log::{Gap, Item, Log, Record, Scan, State, Step, next_item};
use super::stamp::Stamp;
#[cfg(feature = "preserve")]
use super::{stamp::Boot, table::Table};
use crate::format::reread::Rereadings;
use crate::medium::Readable;
#[cfg(feature = "preserve")]
use alloc::{
    boxed::Box,
    vec::{self, Vec},
};
use core::error::Error as Failure;

/// The number of times that a writer may compact the log while it is read.
pub(super) const ATTEMPTS: u32 = 100;

/// The store as one commit has left it.
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::Store;
///
/// # let (mut store, _) = Store::create_new(medium)?;
/// # let mut transaction = store.begin()?;
/// # transaction.put("cpu", b"registers")?;
/// # transaction.commit()?;
/// let snapshot = store.snapshot()?;
/// for blob in snapshot.entries() {
///     let blob = blob?;
///     println!("{}: {} bytes of generation {}", blob.name, blob.len, blob.generation);
/// }
/// assert_eq!(snapshot.entries().count(), 1);
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Snapshot<'r, R: Readable> {
    pub(super) medium: &'r R,
    pub(super) commit: Commit,
}

impl<R: Readable> Clone for Snapshot<'_, R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'r, R: Readable> Snapshot<'r, R> {
    /// Returns a snapshot of the last commit.
    ///
    /// # Errors
    /// If the medium does not contain a store, or one of another version; if no root is whole, or nothing of the log; if
    /// the medium ends before the log does; if the medium fails.
    ///
    /// # Cost
    /// Reads the log of the table.
    pub fn of(medium: &'r R) -> Result<Self, Error<R::Error>> {
        Ok(Self { medium, commit: Commit::last(medium)? })
    }

    /// Returns true if this is still the last commit.
    ///
    /// # Errors
    /// If the medium fails.
    pub fn is_current(&self) -> Result<bool, Error<R::Error>> {
        self.erased().is_last()
    }

    /// Returns the commit in its medium, without the medium's type.
    pub(super) fn erased(&self) -> CommitIn<'_, R::Error> {
        CommitIn { medium: self.medium, commit: &self.commit }
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.commit.log.identity()
    }

    /// Returns the number of the commit.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.commit.state.number
    }

    /// Returns true if it was [sealed](crate::preserve#reboots), and not changed since.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.commit.state.is_sealed
    }

    /// Returns the circumstances of the commit.
    #[must_use]
    pub const fn stamp(&self) -> &Stamp {
        &self.commit.state.stamp
    }

    /// Returns the number of bytes that the store had when it was last opened for writing.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.commit.state.size
    }

    /// Returns the blob or region of a name, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`], if the table was compacted since; [`ErrorKind::Damaged`], if the last record that could
    /// name it is damaged in both mirrors, or was forged; if the medium fails.
    ///
    /// # Cost
    /// Reads the log of the table. [`Store::stat`](crate::preserve::Store::stat) looks it up in memory.
    pub fn find(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        self.erased().find(name)
    }

    /// Copies the metadata of a blob or region into the buffer, and returns the part of the buffer that it fills.
    ///
    /// # Errors
    /// [`ErrorKind::Metadata`], if the buffer is too small; [`ErrorKind::Replaced`], if this commit does not have the
    /// entry, or the table was compacted since; [`ErrorKind::Damaged`], as [`find`](Self::find); if the medium fails.
    ///
    /// # Cost
    /// As [`find`](Self::find).
    pub fn metadata<'b>(
        &self,
        info: &Info,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Error<R::Error>> {
        self.erased().metadata(info, buffer)
    }
}

#[cfg(feature = "preserve")]
impl<R: Readable> Snapshot<'_, R> {
    /// Returns the blobs and regions, in the order of their names.
    ///
    /// A record that is damaged in both mirrors yields an error, as the last item: names that it may have changed are
    /// missing. Any other error is the only item: [`ErrorKind::Replaced`], if the table was compacted since.
    ///
    /// # Cost
    /// Reads the log of the table, and has all names and their metadata in memory.
    #[must_use]
    pub fn entries(&self) -> Entries<R::Error> {
        Entries::new(self.erased())
    }

    /// Returns the boots in which the store was opened for writing, the oldest first. The last ones are kept: 32, or
    /// fewer in a store of less than 2.5 MiB.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub fn history(&self) -> Result<Vec<Boot>, Error<R::Error>> {
        Ok(self.erased().table(false)?.boots)
    }
}

/// The places and the state of a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) log: Log,
    pub(super) state: State,
    /// The number of the commit after it, which did not verify.
    pub(super) undone: Option<u64>,
    /// The tag of the last record of the log, though it is of a commit that did not verify.
    #[cfg_attr(not(feature = "preserve"), expect(dead_code, reason = "for writers"))]
    pub(super) last: u64,
}

impl Commit {
    /// Returns the last commit in a medium, beside a writer or without one.
    pub(super) fn last<E: Failure>(medium: &dyn Readable<Error = E>) -> Result<Self, Error<E>> {
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
    pub(super) fn of<E: Failure>(
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
                    if record.head.what == What::Commit && !record.head.is_durable =>
                {
                    in_doubt = Some((record, after));
                }
                step => {
                    see(&step)?;
                    state = after;
                }
            }
        }
        if state.number == 0 {
            let lost = state.lost.unwrap_or(Gap { start: 0, end: log.places.capacity });
            return Err(Error(ErrorKind::Damaged(Damage { part: Part::Table, ..log.lost(lost) })));
        }
        if state.missing > 0 && state.lost.is_none() {
            let lost = Gap { start: state.end, end: log.places.capacity };
            return Err(Error(ErrorKind::Damaged(log.lost(lost))));
        }
        if undone.is_none() && scan.is_torn(medium) {
            undone = Some(state.number + 1);
        }
        Ok(Self { log, state, undone, last: scan.before })
    }

    /// Returns true if a newer root was durable, and is damaged. Its log follows the last record, or the one before if
    /// the last one did not verify.
    #[cfg(feature = "preserve")]
    pub(super) fn is_overtaken<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<bool, Error<E>> {
        Ok(self.log.is_overtaken(medium, self.last)?
            || self.log.is_overtaken(medium, self.state.tag)?)
    }

    pub(super) fn in_medium<'m, E>(
        &'m self,
        medium: &'m dyn Readable<Error = E>,
    ) -> CommitIn<'m, E> {
        CommitIn { medium, commit: self }
    }
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
        let is_of_this = item.entry.generation == record.head.number;
        if is_of_this && item.entry.is == Is::Blob {
            let Some(rest) = left.checked_sub(tags(item.entry.len).end) else { return Ok(false) };
            left = rest;
        }
        if is_of_this && !Chunks::of_item(log.identity(), &item).is_whole(medium) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A commit in a medium. Code that reads it knows the medium's errors alone, so it is compiled once for all media with the
/// same errors.
pub(super) struct CommitIn<'m, E> {
    pub(super) medium: &'m dyn Readable<Error = E>,
    pub(super) commit: &'m Commit,
}

impl<E> Clone for CommitIn<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for CommitIn<'_, E> {}

impl<E: Failure> CommitIn<'_, E> {
    /// Returns true if this is still the last commit.
    fn is_last(self) -> Result<bool, Error<E>> {
        if self.commit.undone.is_some() {
            // What stands behind it may have been under way.
            let now = Commit::last(self.medium)?;
            return Ok(now.log == self.commit.log && now.state.tag == self.commit.state.tag);
        }
        let State { number, end, tag, .. } = self.commit.state;
        let mut scan = Scan::new(self.commit.log, false, true);
        (scan.at, scan.before, scan.number) = (end, tag, number);
        let has_next = scan.here(self.medium)?.is_some();
        Ok(!has_next && self.commit.log.is_current(self.medium)?)
    }

    /// Shows the steps of the log up to this commit. Fails if the log was compacted meanwhile.
    pub(super) fn steps(
        self,
        see: &mut dyn FnMut(&Step) -> Result<(), Error<E>>,
    ) -> Result<(), Error<E>> {
        let mut scan = Scan::new(self.commit.log, false, true);
        let mut all = || {
            while scan.at < self.commit.state.end
                && let Some(step) = scan.next(self.medium)?
            {
                see(&step)?;
            }
            Ok(())
        };
        let done = all();
        if self.commit.log.is_current(self.medium)? {
            done
        } else {
            Err(Error(ErrorKind::Replaced))
        }
    }

    /// Returns the entry of a name.
    pub(super) fn find(self, name: &str) -> Result<Option<Info>, Error<E>> {
        let (mut found, mut doubt, mut gap) = (None, None, None);
        self.steps(&mut |step| {
            let record = match step {
                Step::Record(record) => record,
                Step::Lost(lost) => {
                    gap = Some(*lost);
                    return Ok(());
                }
            };
            if let Some(lost) = gap.take()
                && (found.is_none() || record.head.what != What::Snapshot)
            {
                // The name may have been changed there. The records of a compaction name each name once.
                doubt = Some(lost);
            }
            let mut items = record.items();
            while let Some(item) = next_item(self.medium, &mut items)? {
                if item.entry.name == name.len() && self.is_named(&item, name)? {
                    (found, doubt) = (Some(item), None);
                }
            }
            Ok(())
        })?;
        if let Some(lost) = doubt.or(gap) {
            return Err(Error(ErrorKind::Damaged(self.commit.log.lost(lost))));
        }
        let Some(item) = found.filter(|item| item.entry.is != Is::Deleted) else {
            return Ok(None);
        };
        let named = item.name(self.medium).map_err(Error::medium)?;
        self.medium.check().map_err(Error::medium)?;
        Ok(Some(Info::of(named.ok_or_else(|| item.forged())?, &item.entry, item.rest())))
    }

    fn is_named(self, item: &Item, name: &str) -> Result<bool, Error<E>> {
        let found = item.name(self.medium).map_err(Error::medium)?;
        Ok(found.is_some_and(|found| found.as_bytes() == name.as_bytes()))
    }

    fn metadata<'b>(self, info: &Info, buffer: &'b mut [u8]) -> Result<&'b [u8], Error<E>> {
        let len = info.metadata;
        // An entry of another commit or another store can have had its metadata anywhere.
        let is_same = |there: &Info| there.is(info) && there.metadata == len;
        let there = self.find(info.name.as_str())?.filter(is_same);
        let at = there.ok_or(Error(ErrorKind::Replaced))?.metadata_at;
        let bytes = buffer.get_mut(..len).ok_or(Error(ErrorKind::Metadata { len }))?;
        self.medium.read(at, bytes).map_err(Error::medium)?;
        if self.commit.log.is_current(self.medium)? {
            Ok(bytes)
        } else {
            Err(Error(ErrorKind::Replaced))
        }
    }

    /// Returns the table, with metadata and values if it `keeps` them.
    #[cfg(feature = "preserve")]
    pub(super) fn table(self, keeps: bool) -> Result<Table, Error<E>> {
        let mut table = Table::default();
        let capacity = self.commit.log.places.capacity;
        self.steps(&mut |step| table.pass(self.medium, step, capacity, keeps))?;
        table.finish();
        Ok(table)
    }
}

/// The blobs and regions of a commit, in the order of their names. See [`Snapshot::entries`].
#[cfg(feature = "preserve")]
pub struct Entries<E> {
    /// The entries to come, with their metadata.
    infos: vec::IntoIter<(Info, Box<[u8]>)>,
    /// The metadata of the last entry.
    metadata: Box<[u8]>,
    /// The last item.
    error: Option<Error<E>>,
}

#[cfg(feature = "preserve")]
impl<E> core::fmt::Debug for Entries<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

#[cfg(feature = "preserve")]
impl<E: Failure> Entries<E> {
    pub(super) fn new(within: CommitIn<'_, E>) -> Self {
        let (infos, error) = match within.table(true) {
            Ok(table) => {
                let lost = table.lost.map(|lost| within.commit.log.lost(lost));
                let error = lost.map(|damage| Error(ErrorKind::Damaged(damage)));
                let infos = table
                    .live
                    .iter()
                    .map(|(name, live)| (live.info(name), live.rest[..live.entry.metadata].into()));
                (infos.collect(), error)
            }
            Err(error) => (Vec::new(), Some(error)),
        };
        Self { infos: infos.into_iter(), metadata: Box::default(), error }
    }

    /// Returns the metadata of the last item; none if that was an error.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }
}

#[cfg(feature = "preserve")]
impl<E> Iterator for Entries<E> {
    type Item = Result<Info, Error<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some((info, metadata)) = self.infos.next() else {
            self.metadata = Box::default();
            return self.error.take().map(Err);
        };
        self.metadata = metadata;
        Some(Ok(info))
    }
}
