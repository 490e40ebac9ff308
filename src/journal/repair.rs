//! Repair of a damaged journal, so that it can be appended to.

use super::error::{Error, ErrorKind, OpenError};
use super::format::geometry::{Geometry, HEADER, LOG, MARK};
use super::format::record::{Epoch, Mark, void};
use super::format::superblock::Superblock;
use super::open::Opened;
use super::reader::{ATTEMPTS, overtaken};
use super::salvage::{Found, Salvage};
use super::walk::{Walk, first_mark, mark_in_place};
use super::writeback::persist;
use super::{Identity, Journal, Options, Position, Recovered, Repaired, superblocks};
use crate::medium::{Medium, Readable};
use alloc::vec::Vec;
use core::ops::Range;

impl Options<'_> {
    /// Opens a journal for appending although it is damaged. Every valid record is kept, also after damage or a torn
    /// end, where a record may never have been acknowledged. Every range without a valid record is covered with
    /// padding, which holds no record. A record is lost if the range before it is too short for that padding. So a few
    /// bytes of damage can cost the record after them. In a whole journal this changes only the things that
    /// [`open`](Self::open) changes.
    ///
    /// If the newer superblock or both are lost, they are rebuilt from the marks. Trimmed records that were not yet
    /// overwritten are in the journal again then. Padding can hold marks of an earlier journal in the same medium. If the
    /// first mark is lost besides both superblocks, the earlier journal can be rebuilt in place of this one.
    /// [Preview](Self::preview_repair) the repair then, and compare the number of records.
    ///
    /// The damaged bytes are overwritten: copy the medium first, or [salvage](super::Reader::salvage) its records. A
    /// crash meanwhile loses nothing else; repair the journal again then. That repair reports the same records, but no
    /// range that was covered before the crash.
    ///
    /// # Errors
    /// If the medium has no journal, only a part of one, or a store or a recording; if its version is unknown;
    /// [`ErrorKind::WornOut`]; [`ErrorKind::SecondWriter`]; if the medium fails.
    ///
    /// # Cost
    /// All of the medium is searched twice for marks, and the records are read four times at most. Memory is needed for one
    /// segment, for the returned ranges and for the window of the opened journal.
    pub fn repair<M: Medium>(mut self, medium: M) -> Result<(Journal<M>, Repaired), OpenError<M>> {
        Journal::with(medium, |medium| self.repair_in(medium))
    }

    /// Returns the result that [`repair`](Self::repair) would have. The medium is not written to.
    ///
    /// If another process appends meanwhile, its records under way may count as lost.
    ///
    /// # Errors
    /// As [`repair`](Self::repair), but not `SecondWriter`; [`ErrorKind::NotABoundary`], if openings or trims overtake the reading at each
    /// attempt.
    ///
    /// # Cost
    /// That of [`repair`](Self::repair), except for its writes and the memory for a window.
    pub fn preview_repair<M: Readable>(mut self, medium: &M) -> Result<Repaired, Error<M::Error>> {
        let mut plan = self.plan(medium)?;
        for _ in 0..ATTEMPTS {
            let (repaired, _) = plan.carry_out(medium, |_, _| ()).map_err(Error::medium)?;
            let is_current = |stored: Superblock| {
                superblocks::load(medium).is_ok_and(|current| current == stored)
            };
            if plan.stored.is_none_or(is_current) {
                let next = self.next_epoch(plan.superblock, repaired.end.0);
                return next.map(|_| repaired).ok_or(Error::new(ErrorKind::WornOut));
            }
            plan = self.plan(medium)?;
        }
        Err(overtaken(&plan.superblock, Position(plan.superblock.head)))
    }

    fn repair_in<M: Medium>(&mut self, medium: &M) -> Result<(Opened, Repaired), Error<M::Error>> {
        let plan = self.plan(medium)?;
        let Plan { stored, superblock, whole, .. } = &plan;
        if let Some(stored) = stored {
            // This superblock may be in the caches only, and the other one is written next.
            superblocks::writeback(medium, stored).map_err(Error::medium)?;
            medium.fence();
        }
        // The superblock of the new epoch takes only one of two lost places.
        if whole.is_none() || stored.is_none() {
            superblocks::store(medium, superblock).map_err(Error::medium)?;
        }
        let geometry = superblock.geometry;
        let (repaired, epoch) = plan
            .carry_out(medium, |at, bytes| medium.write(geometry.place(at), bytes))
            .map_err(Error::medium)?;
        persist(medium, &geometry, superblock.head..repaired.end.0).map_err(Error::medium)?;
        Ok((self.begin(medium, *superblock, (repaired.end.0, epoch))?, repaired))
    }

    /// Decides on the repair. The medium is not written to.
    fn plan<M: Readable>(&mut self, medium: &M) -> Result<Plan, Error<M::Error>> {
        let (stored, superblock) = superblocks_to_repair(medium)?;
        let (mut superblock, last) = with_room(medium, superblock)?;
        let rebuilt = stored != Some(superblock);
        let (found, epoch) = self.survey(medium, superblock).map_err(Error::medium)?;
        let Recovered { records, end, superblock_lost, .. } = found;
        // A rebuilt superblock knows the last valid record at most, after a repair that was cut off.
        let is_rebuilt = superblock.is_rebuilt();
        let acknowledged = Position(superblock.acknowledged);
        let known =
            found.damage.map(|damage| if is_rebuilt { acknowledged } else { damage.evidence });
        let whole = if found.damage.is_none() && found.behind == 0 {
            let was_whole = !rebuilt && !superblock_lost && !superblock.is_under_repair;
            Some((
                Repaired { records, lost: Vec::new(), end, was_whole, rebuilt, superblock_lost },
                epoch,
            ))
        } else {
            // Until the repair is complete, the journal counts as damaged, and a repeated repair reports the same tail as
            // lost. If all pieces were written, but may not be durable, an opening knows that from the mark.
            let written = known.map_or(last, |known| known.0.max(last));
            superblock.acknowledged = written.min(superblock.geometry.limit(superblock.head));
            superblock.is_under_repair = true;
            superblock.generation += 1;
            superblock = superblock.checked().ok_or(Error::new(ErrorKind::WornOut))?;
            None
        };
        Ok(Plan { stored, superblock, rebuilt, superblock_lost, known, whole })
    }
}

/// A repair that was decided on.
struct Plan {
    /// The superblock in the medium, if one is whole.
    stored: Option<Superblock>,
    /// The superblock of the repair.
    superblock: Superblock,
    /// True if this is not the stored superblock, but the one that the marks show.
    rebuilt: bool,
    /// True if a superblock is lost.
    superblock_lost: bool,
    /// The position up to which records had been written when a damaged one was durable.
    known: Option<Position>,
    /// The result and the epoch of the last record, if no range has to be covered.
    whole: Option<(Repaired, Epoch)>,
}

impl Plan {
    /// Returns the result and the epoch of the last record. Calls `write` with the position and the bytes of each piece
    /// that covers a lost range. They are behind the place that is read, so the result is the same without the writes.
    fn carry_out<M: Readable>(
        &self,
        medium: &M,
        write: impl FnMut(u64, &[u8]),
    ) -> Result<(Repaired, Epoch), M::Error> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        let (mut repaired, epoch) = mend(medium, self.superblock, write)?;
        let Self { rebuilt, superblock_lost, known, .. } = *self;
        let from = repaired.lost.last().map_or(repaired.end, |range| range.end.max(repaired.end));
        repaired.lost.extend(known.filter(|to| *to > from).map(|to| from..to));
        Ok((Repaired { rebuilt, superblock_lost, ..repaired }, epoch))
    }
}

/// Returns the superblock in the medium, if one is whole, and the superblock that holds. That is another one if the
/// first one is lost or older than the marks.
fn superblocks_to_repair<M: Readable>(
    medium: &M,
) -> Result<(Option<Superblock>, Superblock), Error<M::Error>> {
    let known = match superblocks::load(medium) {
        Err(lost)
            if matches!(lost.kind(), ErrorKind::Superblocks | ErrorKind::NotAJournal { .. }) =>
        {
            if let Some(found) = superblocks::another(medium).map_err(Error::medium)? {
                return Err(Error::new(ErrorKind::NotAJournal { found }));
            }
            return Ok((None, rebuilt(medium, None)?.ok_or(lost)?));
        }
        found => found?,
    };
    let is_later =
        |marked: &Superblock| marked.epoch.number > known.epoch.number || marked.head > known.head;
    Ok((Some(known), rebuilt(medium, Some(known))?.filter(is_later).unwrap_or(known)))
}

/// Covers every range without a valid record, up to the last valid record. Returns the result and that record's epoch.
fn mend<M: Readable>(
    medium: &M,
    superblock: Superblock,
    mut write: impl FnMut(u64, &[u8]),
) -> Result<(Repaired, Epoch), M::Error> {
    let Superblock { identity, geometry, head, .. } = superblock;
    let (mut records, mut end, mut lost) = (0, head, Vec::new());
    let mut salvage = Salvage::new(Walk::new(medium, superblock));
    let mut last_epoch = superblock.head_epoch;
    // The range that is not covered yet, and the epoch before it.
    let mut gap: Option<(Range<u64>, Epoch)> = None;
    while let Some(found) = salvage.step()? {
        let [before, epoch] = salvage.epochs_around();
        let is_record = matches!(found, Found::Record { .. });
        let reached = salvage.reached().0;
        let (found_at, covered_to, before) = match found {
            Found::Record { position, .. } => (position, position, epoch),
            Found::Skipped(range) => (range.start, range.end, before),
        };
        let (start, before) = match gap.take() {
            Some((range, before)) => (range.start, before),
            None => (found_at, before),
        };
        let cover = Cover {
            mark: Mark { identity, epoch, geometry },
            range: start..covered_to,
            before,
            leads_to: if is_record {
                LeadsTo::Record
            } else if salvage.is_at_mark()? {
                LeadsTo::Mark
            } else {
                // The next record decides.
                LeadsTo::Nothing
            },
        };
        // If no pieces that lead to the record fit, it is lost together with the range before it.
        if !cover.fits() {
            gap = Some((start..reached, before));
            continue;
        }
        cover.pieces(start, &mut write);
        if !cover.range.is_empty() {
            lost.push(Position(start)..Position(covered_to));
        }
        if is_record {
            (records, end, last_epoch) = (records + 1, reached, epoch);
        }
    }
    lost.extend(gap.map(|(range, _)| Position(range.start)..Position(range.end)));
    let end = Position(end);
    Ok((
        Repaired { records, lost, end, was_whole: false, rebuilt: false, superblock_lost: false },
        last_epoch,
    ))
}

/// The kind of record that a walk finds after a covered range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeadsTo {
    /// A record of the epoch.
    Record,
    /// A mark, which states its epoch itself.
    Mark,
    /// Not known yet.
    Nothing,
}

/// A range without a record that is to be covered, so that a walk passes it.
struct Cover {
    /// The mark of the epoch after the range.
    mark: Mark,
    range: Range<u64>,
    /// The epoch before the range.
    before: Epoch,
    leads_to: LeadsTo,
}

impl Cover {
    /// Returns true if the pieces fit. The last segment of the range decides that alone: before it, a mark fits at the
    /// start of each segment, and a header at each other place that a record can begin at.
    fn fits(&self) -> bool {
        let Self { mark, range, .. } = self;
        let last = mark.geometry.segment_of(range.end.saturating_sub(1));
        // Any epoch before that segment will do, since it begins with a mark.
        self.leads_to != LeadsTo::Nothing && self.pieces(range.start.max(last), |_, _| ())
    }

    /// Calls `put` with the position and the bytes of each piece from `start` on: marks at the starts of segments and at
    /// the change from the epoch before, voids for the rest. Returns false if the pieces do not fit. Until all pieces
    /// are persistent the journal is as damaged as before, or less.
    fn pieces(&self, start: u64, mut put: impl FnMut(u64, &[u8])) -> bool {
        let Self { mark, range, before, leads_to } = self;
        let geometry = mark.geometry;
        let mut at = geometry.settled(start);
        let mut epoch = *before;
        while at < range.end {
            let room = geometry.left(at).min(range.end - at);
            // With room for a void behind it.
            let fits = match room.checked_sub(geometry.size(MARK)) {
                Some(rest) => rest == 0 || rest >= HEADER,
                None => false,
            };
            if fits && (epoch != mark.epoch || geometry.left(at) == geometry.segment) {
                put(at, &mark.bytes(at));
                epoch = mark.epoch;
                at += geometry.size(MARK);
            } else if room >= HEADER && geometry.left(at) != geometry.segment {
                put(at, &void(epoch.key, at, room));
                at += room;
            } else {
                return false;
            }
            at = geometry.settled(at);
        }
        epoch == mark.epoch || *leads_to == LeadsTo::Mark
    }
}

/// The superblock that the marks show, if there are any, beside a `known` one that may be older.
fn rebuilt<M: Readable>(
    medium: &M,
    known: Option<Superblock>,
) -> Result<Option<Superblock>, Error<M::Error>> {
    let sizes = if let Some(known) = known {
        Some((known.identity, known.geometry))
    } else {
        let mark = first_mark(medium, LOG).map_err(Error::medium)?;
        mark.map(|mark| (mark.identity, mark.geometry))
    };
    let Some((identity, geometry)) = sizes else { return Ok(None) };
    let (size, needed) = (medium.len(), geometry.bytes());
    if size < needed {
        return Err(Error::new(ErrorKind::Truncated { size, needed }));
    }
    let mut last = 0;
    // The next epoch must be later than any that a mark has, in whichever lap: a walk takes such a mark for evidence.
    let mut epoch = known.map_or(Epoch { number: 0, key: 0 }, |known| known.epoch);
    each_mark(medium, identity, geometry, |at, mark| {
        last = last.max(at);
        epoch = if mark.epoch.number > epoch.number { mark.epoch } else { epoch };
    })
    .map_err(Error::medium)?;
    // The oldest mark of the last lap.
    let from = (geometry.segment_of(last) + geometry.segment).saturating_sub(geometry.capacity);
    let mut oldest: Option<(u64, Mark)> = None;
    each_mark(medium, identity, geometry, |at, mark| {
        if at >= from && oldest.is_none_or(|oldest| at < oldest.0) {
            oldest = Some((at, mark));
        }
    })
    .map_err(Error::medium)?;
    let Some((head, oldest)) = oldest else { return Ok(None) };
    // The known head holds if it was not overwritten since.
    let (head, head_epoch) = match known {
        Some(known) if last < geometry.limit(known.head) => (known.head, known.head_epoch),
        _ => (head, oldest.epoch),
    };
    let superblock = Superblock {
        identity,
        geometry,
        generation: known.map_or(1, |known| known.generation),
        head,
        head_epoch,
        epoch,
        // The start of the epoch is unknown: see `is_rebuilt`.
        epoch_start: geometry.limit(head),
        acknowledged: 0,
        is_under_repair: false,
    };
    Ok(Some(superblock))
}

/// Calls `see` with each mark of this journal, and its position. An epoch may begin within a segment, and so its mark
/// can be at any position.
fn each_mark<M: Readable>(
    medium: &M,
    identity: Identity,
    geometry: Geometry,
    mut see: impl FnMut(u64, Mark),
) -> Result<(), M::Error> {
    for place in (LOG..=geometry.bytes() - Mark::SIZE as u64).step_by(8) {
        if let Some((at, mark)) = mark_in_place(medium, place)?
            && mark.is_of(identity, geometry)
        {
            see(at, mark);
        }
    }
    medium.check()
}

/// Returns the superblock with space for the beginning of an epoch, and the end of the last valid record. Appending
/// leaves that space. If it is missing, a lost superblock had trimmed the oldest segments, of one lap at most: a trim ends
/// before the records do. Records of further laps are crafted. Each lap of them can be in the bytes of the one before.
fn with_room<M: Readable>(
    medium: &M,
    mut superblock: Superblock,
) -> Result<(Superblock, u64), Error<M::Error>> {
    let geometry = superblock.geometry;
    let mut salvage = Salvage::new(Walk::new(medium, superblock));
    for _ in 0..=geometry.capacity / geometry.segment {
        let limit = geometry.limit(superblock.head);
        let end = salvage.end_of_records().map_err(Error::medium)?;
        if geometry.beginning(end).end <= limit {
            return Ok((superblock, end));
        }
        let is_rebuilt = superblock.is_rebuilt();
        superblock.head = geometry.segment_of(superblock.head) + geometry.segment;
        if is_rebuilt {
            superblock.epoch_start = geometry.limit(superblock.head);
        }
        salvage.go_on_with(superblock);
    }
    Err(Error::new(ErrorKind::WornOut))
}

#[cfg(test)]
#[cfg(all(feature = "std", not(cachemaint_loom), not(miri)))]
mod tests {
    use super::{Mark, Options, mark_in_place};
    use crate::cache::Cache;
    use crate::journal::format::geometry::LOG;
    use crate::journal::{ErrorKind, Reader};
    use crate::medium::Memory;
    use crate::skip::skip;
    use crate::survival::Backing;
    use alloc::vec::Vec;
    use core::sync::atomic::AtomicU64;
    use core::sync::atomic::Ordering::Relaxed;

    const SEGMENT: u64 = 128;
    const SEGMENTS: u64 = 8;

    fn options(opening: u64) -> Options<'static> {
        Options::with_entropy([7, opening]).segment(SEGMENT).window(2 * SEGMENT)
    }

    /// Creates a journal of several epochs with a record each, and returns the positions of its marks.
    fn of_epochs(memory: impl Fn() -> Memory<'static>) -> Vec<(u64, Mark)> {
        drop(options(0).create_new(memory()).unwrap());
        for opening in 1..5 {
            let (journal, _) = options(opening).open(memory()).unwrap();
            journal.append(&[1; 48]).unwrap();
        }
        let places = (LOG..=LOG + SEGMENTS * SEGMENT - Mark::SIZE as u64).step_by(8);
        let marks: Vec<_> = places.filter_map(|at| mark_in_place(&memory(), at).unwrap()).collect();
        assert!(marks.len() > 3);
        marks
    }

    fn words() -> &'static [AtomicU64] {
        let words = (0..(LOG + SEGMENTS * SEGMENT) / 8).map(|_| AtomicU64::new(0));
        words.collect::<Vec<_>>().leak()
    }

    fn lose_superblocks(memory: &Memory<'_>) {
        for page in [0, 4096] {
            memory.write(page, &[0; 8]);
        }
    }

    /// The repair numbers the epochs anew, and the reader knows a later one, or another one of the same number.
    #[test]
    fn a_reader_goes_on_after_a_repair_that_had_lost_the_newest_epochs() {
        let test = "a_reader_goes_on_after_a_repair_that_had_lost_the_newest_epochs";
        let Ok(cache) = Cache::host() else { return skip(test, "no cache") };
        for left in [1, 3] {
            let words = words();
            let memory = || Memory::new(words, cache, Backing::Ram);
            let marks = of_epochs(memory);
            let reader = Reader::open(memory()).unwrap();
            let mut kept = reader.records();
            for record in kept.by_ref() {
                record.unwrap();
            }
            let mut epochs: Vec<_> = marks.iter().map(|(_, mark)| mark.epoch.number).collect();
            epochs.sort_unstable();
            epochs.dedup();
            lose_superblocks(&memory());
            for (at, mark) in marks.iter().filter(|(_, mark)| mark.epoch.number >= epochs[left]) {
                memory().write(mark.geometry.place(*at), &[0; Mark::SIZE]);
            }
            let (journal, repaired) = options(9).repair(memory()).unwrap();
            assert!(repaired.rebuilt);
            journal.append(b"later").unwrap();
            let verified = reader.verify(&mut |_| ()).unwrap();
            assert_eq!((verified.damage, verified.records), (None, repaired.records + 1));
            let last = reader.records().map(|record| record.unwrap().payload).last().unwrap();
            assert_eq!(last, b"later");
            // The last record of this one is of an epoch that is lost.
            let refused = kept.next().unwrap().unwrap_err();
            assert!(matches!(refused.kind(), ErrorKind::NotABoundary { .. }), "{refused}");
        }
    }

    /// A journal of several epochs. Any of their marks is at any place of any lap.
    #[test]
    fn a_repaired_journal_with_a_mark_of_another_lap_is_whole() {
        let test = "a_repaired_journal_with_a_mark_of_another_lap_is_whole";
        let Ok(cache) = Cache::host() else { return skip(test, "no cache") };
        let words = words();
        let memory = || Memory::new(words, cache, Backing::Ram);
        let marks = of_epochs(memory);
        let whole: Vec<_> = words.iter().map(|word| word.load(Relaxed)).collect();
        let places = || (0..4 * SEGMENTS * SEGMENT).step_by(8);
        let fits = |mark: &Mark, at| mark.geometry.left(at) >= Mark::SIZE as u64;
        let each = marks.iter().flat_map(|(_, mark)| places().map(move |at| (mark, at)));
        for (mark, at) in each.filter(|(mark, at)| fits(mark, *at)) {
            for superblocks_lost in [false, true] {
                words.iter().zip(&whole).for_each(|(word, whole)| word.store(*whole, Relaxed));
                memory().write(mark.geometry.place(at), &mark.bytes(at));
                if superblocks_lost {
                    lose_superblocks(&memory());
                }
                let (_, repaired) = options(9).repair(memory()).unwrap();
                let reader = Reader::open(memory()).unwrap();
                let verified = reader.verify(&mut |_| ()).unwrap();
                let epoch = mark.epoch.number;
                assert_eq!(verified.damage, None, "of {epoch} at {at}: {repaired:?}");
            }
        }
    }
}
