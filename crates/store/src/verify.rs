//! Reading everything, to find damage.
//!
//! # Work
//! Each byte of a blob is read once; overlapping blobs are not read. The log is read twice, and once more if a blob is
//! damaged. During the call each entry takes less than 500 bytes of additional memory; in the file it has at least 64
//! bytes.

use crate::blob::first_damage;
use crate::error::{Damage, Error, ErrorKind, Part};
use crate::format::entry::{EntryKind, occupied};
use crate::format::{CHUNK, tags};
use crate::info::{Content, Info};
use crate::log::Log;
use crate::log::replay::{Replay, last};
use crate::reader::Reader;
use crate::table::{Live, Table};
use alloc::boxed::Box;
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::root::{self, Loaded, slots};
use cachemaint_format::unreadable::ThroughKernel;
use core::error::Error as Failure;
use core::ops::Range;

/// The result of verifying a store.
///
/// With the feature `serde` it serializes to an object with its field names; `damaged` is a list of objects with `name`
/// and the fields of [`Damage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Verification {
    /// The number of intact blobs.
    pub whole: u64,
    /// The number of regions, damaged or not. Only their places can be verified, not their bytes.
    pub regions: u64,
    /// The number of bytes in all blobs, intact or not.
    pub bytes: u64,
    /// Damaged and unreadable blobs by name, with the first damaged part of each, and regions with a missing or shared
    /// part.
    #[cfg_attr(feature = "serde", serde(serialize_with = "named"))]
    pub damaged: Vec<(Box<str>, Damage)>,
    /// The first record of the log that is damaged or unreadable in both mirrors: the entries that it may have changed
    /// are unknown.
    pub records: Vec<Damage>,
    /// Damaged copies of the root and of records with an intact other copy. While another thread commits, the copies of
    /// a record can differ for a moment, which is listed too: verify again.
    pub copies: Vec<Damage>,
}

impl Verification {
    /// Returns true if nothing is damaged, including copies. After a crash, one copy of the last record may be missing,
    /// which counts as damage until the store is opened for writing. No blob of this commit is lost if
    /// [`damaged`](Self::damaged) and [`records`](Self::records) are empty.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.records.is_empty() && self.copies.is_empty()
    }
}

/// The serialized form of damaged blobs.
#[cfg(feature = "serde")]
fn named<S: serde::Serializer>(damaged: &[(Box<str>, Damage)], to: S) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Named<'d> {
        name: &'d str,
        part: Part,
        offset: u64,
        len: u64,
    }
    to.collect_seq(damaged.iter().map(|(name, damage)| {
        let Damage { part, offset, len } = *damage;
        Named { name, part, offset, len }
    }))
}

/// Returns the damaged copies of the root and of records.
pub(crate) fn damaged_copies(
    log: &Log,
    replay: &Replay,
    loaded: &Loaded<{ crate::format::ROOT }>,
) -> Vec<Damage> {
    let roots = slots(log.root.generation).into_iter().zip(loaded.is_damaged);
    let roots = roots.filter(|(_, is_damaged)| *is_damaged);
    let root = |(offset, _)| Damage { part: Part::Root, offset, len: root::BLOCK };
    let mut copies: Vec<_> = roots.map(root).collect();
    copies.extend(replay.halves.iter().map(|(record, damaged)| {
        let offset = log.places.current[*damaged] + record.at;
        Damage { part: Part::RecordCopy, offset, len: record.head.len }
    }));
    copies
}

/// Reads and verifies the blobs of a log. While a process writes, a damaged one may have been replaced.
pub(crate) fn verify<E: Failure>(
    medium: &dyn Readable<Error = E>,
    log: &Log,
    table: &Table,
) -> Result<Verification, Error<E>> {
    let mut verification = Verification::default();
    let infos: Vec<_> = table.sorted().into_iter().map(Live::info).collect();
    let infos = &infos[..];
    let overlapping = overlapping(infos, log);
    let mut buffer = alloc::vec![0; CHUNK as usize];
    for (info, overlaps) in infos.iter().zip(overlapping) {
        match info.content {
            // Invalid, overlapping blobs may have more bytes in total than can be counted.
            Content::Blob => verification.bytes = verification.bytes.saturating_add(info.len),
            Content::Region => verification.regions += 1,
        }
        let shared = overlaps.then_some(from(info, 0));
        let damage = missing(info, medium.len()).or(shared);
        let damage = match damage {
            None if info.content == Content::Region => continue,
            // The tag of its record covers it.
            None if info.is_value() => None,
            None => first_damage(medium, log.identity(), info, &mut buffer)?,
            known => known,
        };
        match damage {
            Some(damage) => verification.damaged.push((info.name.as_str().into(), damage)),
            None => verification.whole += 1,
        }
    }
    medium.check().map_err(Error::medium)?;
    Ok(verification)
}

/// Returns for each blob and region if it shares bytes with another one or with the log. No writer does that, and the
/// same bytes could be read as often as there are names.
fn overlapping(infos: &[Info], log: &Log) -> Vec<bool> {
    let capacity = log.places.capacity;
    let roots = (0..root::BYTES, None);
    let mirrors = log.places.mirrors().map(|at| (at..at + capacity, None));
    let blobs =
        infos.iter().enumerate().filter(|(_, info)| info.len > 0 && info.kind != EntryKind::Value);
    let blobs = blobs.map(|(number, info)| (info.offset..end(info), Some(number)));
    let mut order: Vec<_> = core::iter::once(roots).chain(mirrors).chain(blobs).collect();
    order.sort_unstable_by_key(|(range, _): &(Range<u64>, _)| range.start);
    let mut overlapping = alloc::vec![false; infos.len()];
    // Of the ranges so far, the one that ends last.
    let mut last: Option<&(Range<u64>, Option<usize>)> = None;
    for this in &order {
        if let Some(before) = last.filter(|before| before.0.end > this.0.start) {
            for number in [before.1, this.1].into_iter().flatten() {
                overlapping[number] = true;
            }
        }
        last = last.filter(|before| before.0.end > this.0.end).or(Some(this));
    }
    overlapping
}

/// Returns the end of the bytes and tags of a blob or region.
fn end(info: &Info) -> u64 {
    info.offset.saturating_add(occupied(info.kind, info.len, 1).unwrap_or(u64::MAX))
}

/// Returns the part of a blob or region that is beyond a medium of `size` bytes, from the first incomplete chunk.
fn missing(info: &Info, size: u64) -> Option<Damage> {
    if info.len == 0 {
        return None;
    }
    let there = size.saturating_sub(info.offset);
    let is_blob = info.kind == EntryKind::Blob;
    let tags = if is_blob { tags(info.len) } else { 0..0 };
    if there < info.len {
        return Some(from(info, there - there % CHUNK));
    }
    let damage =
        Damage { part: Part::Tags, offset: info.offset + tags.start, len: tags.end - tags.start };
    (there < tags.end).then_some(damage)
}

/// Returns the damage of a blob or region starting at one of its bytes.
const fn from(info: &Info, at: u64) -> Damage {
    let part = match info.content {
        Content::Blob => Part::Bytes { at },
        Content::Region => Part::Region { at },
    };
    Damage { part, offset: info.offset + at, len: info.len - at }
}

impl<R: Readable> Reader<R> {
    /// Reads everything, and returns the damaged parts. While a process writes, one
    /// copy of the last record can be in progress: verify again.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`] if another commit replaced a blob, or the log was compacted; or if the medium cannot
    /// read the roots. Other unreadable bytes count as damage, and so does a blob that ends after the end of the
    /// medium.
    pub fn verify(&self) -> Result<Verification, Error<R::Error>> {
        let (medium, log) = (&ThroughKernel::new(self.medium()), self.log());
        let (now, loaded) = Log::load(medium, Rereadings::BESIDE_WRITERS)?;
        if now != *log {
            return Err(Error(ErrorKind::Replaced));
        }
        let replay = self.compared(medium)?;
        let copies = damaged_copies(log, &replay, &loaded);
        let records = replay.lost.map(|lost| log.lost(lost)).into_iter().collect();
        let found = verify(medium, log, &replay.table)?;
        self.unless_replaced(&replay.table, &found)?;
        Ok(Verification { records, copies, ..found })
    }

    /// Fails if a blob that does not match its tags no longer belongs to the last commit.
    fn unless_replaced(&self, table: &Table, found: &Verification) -> Result<(), Error<R::Error>> {
        if found.damaged.is_empty() {
            return Ok(());
        }
        let (_, now) = last(&ThroughKernel::new(self.medium()))?;
        let is_in_place = |name: &str| {
            let [then, now] = [table, &now.table].map(|table| table.live.get(name.as_bytes()));
            then.zip(now).is_some_and(|(then, now)| now.info().is(&then.info()))
        };
        // A record that is lost now is damage too.
        let are_in_place = || found.damaged.iter().all(|(name, _)| is_in_place(name));
        if now.lost.is_some() || are_in_place() { Ok(()) } else { Err(Error(ErrorKind::Replaced)) }
    }
}
