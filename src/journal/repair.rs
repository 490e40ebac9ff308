//! Repair of a damaged journal, so that it can be appended to.

use super::error::{Error, ErrorKind, OpenError};
use super::format::geometry::{Geometry, HEADER, LOG, MARK};
use super::format::record::{Epoch, Mark, void};
use super::format::superblock::Superblock;
use super::open::{Opened, persist};
use super::salvage::{Salvage, Salvaged};
use super::walk::{Walk, first_mark, mark_in_place};
use super::{Identity, Journal, Options, Position, Recovered, Repaired, superblocks};
use crate::medium::Medium;
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
    /// overwritten are in the journal again then.
    ///
    /// The damaged bytes are overwritten: copy the medium first, or [salvage](super::Reader::salvage) its records. A
    /// crash meanwhile loses nothing else; repair the journal again then.
    ///
    /// # Errors
    /// If the medium has no journal, or only a part of it; if its version is unknown; [`ErrorKind::WornOut`]; if the
    /// medium fails.
    ///
    /// # Cost
    /// All of the medium is searched twice for marks, and the records are read three times. Memory is needed for one
    /// segment and for the returned ranges.
    pub fn repair<M: Medium>(mut self, medium: M) -> Result<(Journal<M>, Repaired), OpenError<M>> {
        let repaired = self.repair_in(&medium);
        Journal::with(medium, repaired)
    }

    fn repair_in<M: Medium>(&mut self, medium: &M) -> Result<(Opened, Repaired), Error<M::Error>> {
        let (mut superblock, last) = with_room(medium, superblock_to_repair(medium)?)?;
        let (found, epoch) = self.survey(medium, superblock).map_err(Error::medium)?;
        let Recovered { records, end, .. } = found;
        let (repaired, epoch) = if found.damage.is_none() && found.behind == 0 {
            (Repaired { records, lost: Vec::new(), end }, epoch)
        } else {
            // The journal counts as damaged until the repair is complete, so that no opening succeeds between.
            superblock.acknowledged = last;
            superblock.generation += 1;
            superblock = superblock.checked().ok_or(Error::new(ErrorKind::WornOut))?;
            superblocks::store(medium, &superblock).map_err(Error::medium)?;
            mend(medium, superblock)?
        };
        persist(medium, &superblock.geometry, superblock.head..repaired.end.0)
            .map_err(Error::medium)?;
        Ok((self.begin(medium, superblock, (repaired.end.0, epoch))?, repaired))
    }
}

/// Returns the superblock that holds. If it is lost or older than the marks, returns the one that they show.
fn superblock_to_repair<M: Medium>(medium: &M) -> Result<Superblock, Error<M::Error>> {
    let known = match superblocks::load(medium) {
        Err(lost)
            if matches!(lost.kind(), ErrorKind::Superblocks | ErrorKind::NotAJournal { .. }) =>
        {
            return rebuilt(medium, None)?.ok_or(lost);
        }
        found => found?,
    };
    // A process that was killed may have left this superblock in the caches, and the other one is written next.
    superblocks::writeback(medium, &known).map_err(Error::medium)?;
    medium.fence();
    let is_later =
        |marked: &Superblock| marked.epoch.number > known.epoch.number || marked.head > known.head;
    Ok(rebuilt(medium, Some(known))?.filter(is_later).unwrap_or(known))
}

/// Covers every range without a valid record, up to the last valid record. Returns the result and that record's epoch.
fn mend<M: Medium>(
    medium: &M,
    superblock: Superblock,
) -> Result<(Repaired, Epoch), Error<M::Error>> {
    let Superblock { identity, geometry, head, .. } = superblock;
    let mut repaired = Repaired { records: 0, lost: Vec::new(), end: Position(head) };
    let mut salvage = Salvage::new(Walk::new(medium, superblock));
    let mut last = superblock.head_epoch;
    // The range that is not covered yet, and the epoch before it.
    let mut gap: Option<(Range<u64>, Epoch)> = None;
    while let Some(found) = salvage.next() {
        let [before, epoch] = salvage.epochs_around();
        let found = found?;
        let (Position(start), Position(end)) = match &found {
            Salvaged::Record(record) => (record.position, record.end),
            Salvaged::Skipped(range) => (range.start, range.end),
        };
        let (range, before) = match (gap.take(), &found) {
            (Some((range, before)), Salvaged::Record(_)) => (range.start..start, before),
            (Some((range, before)), Salvaged::Skipped(_)) => (range.start..end, before),
            (None, Salvaged::Record(_)) => (start..start, epoch),
            (None, Salvaged::Skipped(_)) => (start..end, before),
        };
        let mark = Mark { identity, epoch, geometry };
        let leads_to = match &found {
            Salvaged::Record(_) => LeadsTo::Record,
            Salvaged::Skipped(_) if salvage.is_at_mark().map_err(Error::medium)? => LeadsTo::Mark,
            // The next record decides.
            Salvaged::Skipped(_) => LeadsTo::Nothing,
        };
        // If no pieces that lead to the record fit, it is lost together with the range before it.
        let Some(pieces) = pieces(&mark, range.clone(), before, leads_to) else {
            gap = Some((range.start..end, before));
            continue;
        };
        for (at, bytes) in pieces {
            medium.write(geometry.place(at), &bytes);
        }
        if !range.is_empty() {
            repaired.lost.push(Position(range.start)..Position(range.end));
        }
        if matches!(found, Salvaged::Record(_)) {
            (repaired.records, repaired.end, last) = (repaired.records + 1, Position(end), epoch);
        }
    }
    repaired.lost.extend(gap.map(|(range, _)| Position(range.start)..Position(range.end)));
    Ok((repaired, last))
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

/// Pieces that cover a range without a record, so that a walk passes it: marks at the starts of segments and at the
/// change from the epoch `before`, voids for the rest. `None` if they do not fit. Until all pieces are persistent the
/// journal is as damaged as before, or less.
fn pieces(
    mark: &Mark,
    range: Range<u64>,
    before: Epoch,
    leads_to: LeadsTo,
) -> Option<Vec<(u64, Vec<u8>)>> {
    let geometry = mark.geometry;
    let mut pieces = Vec::new();
    let mut at = geometry.settled(range.start);
    let mut epoch = before;
    if leads_to == LeadsTo::Nothing {
        return None;
    }
    while at < range.end {
        let room = geometry.left(at).min(range.end - at);
        // With room for a void behind it.
        let fits = match room.checked_sub(geometry.size(MARK)) {
            Some(rest) => rest == 0 || rest >= HEADER,
            None => false,
        };
        if fits && (epoch != mark.epoch || geometry.left(at) == geometry.segment) {
            pieces.push((at, mark.bytes(at).to_vec()));
            epoch = mark.epoch;
            at += geometry.size(MARK);
        } else if room >= HEADER && geometry.left(at) != geometry.segment {
            pieces.push((at, void(epoch.key, at, room).to_vec()));
            at += room;
        } else {
            return None;
        }
        at = geometry.settled(at);
    }
    (epoch == mark.epoch || leads_to == LeadsTo::Mark).then_some(pieces)
}

/// The superblock that the marks show, if there are any, beside a `known` one that may be older.
fn rebuilt<M: Medium>(
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
    each_mark(medium, identity, geometry, |at, _| last = last.max(at)).map_err(Error::medium)?;
    // The oldest and the newest mark of the last lap.
    let from = (geometry.segment_of(last) + geometry.segment).saturating_sub(geometry.capacity);
    let mut lap: Option<[(u64, Mark); 2]> = None;
    each_mark(medium, identity, geometry, |at, mark| {
        if at >= from {
            let [oldest, newest] = lap.get_or_insert([(at, mark); 2]);
            *oldest = if at < oldest.0 { (at, mark) } else { *oldest };
            *newest = if mark.epoch.number > newest.1.epoch.number { (at, mark) } else { *newest };
        }
    })
    .map_err(Error::medium)?;
    let Some([(head, oldest), (_, newest)]) = lap else { return Ok(None) };
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
        epoch: newest.epoch,
        // The start of the epoch is unknown. This value refuses no record for being of an earlier epoch.
        epoch_start: geometry.limit(head),
        acknowledged: 0,
    };
    Ok(Some(superblock))
}

/// Calls `see` with each mark of this journal, and its position. An epoch may begin within a segment, and so its mark
/// can be at any position.
fn each_mark<M: Medium>(
    medium: &M,
    identity: Identity,
    geometry: Geometry,
    mut see: impl FnMut(u64, Mark),
) -> Result<(), M::Error> {
    for place in (LOG..=geometry.bytes() - Mark::SIZE as u64).step_by(8) {
        if let Some((at, mark)) = mark_in_place(medium, place)?
            && mark.identity == identity
            && mark.geometry == geometry
        {
            see(at, mark);
        }
    }
    Ok(())
}

/// Returns the superblock with space for the beginning of an epoch, and the end of the last valid record. Appending
/// leaves that space. If it is missing, a lost superblock had trimmed the oldest segments.
fn with_room<M: Medium>(
    medium: &M,
    mut superblock: Superblock,
) -> Result<(Superblock, u64), Error<M::Error>> {
    let geometry = superblock.geometry;
    let mut salvage = Salvage::new(Walk::new(medium, superblock));
    loop {
        let limit = geometry.limit(superblock.head);
        let end = salvage.end_of_records().map_err(Error::medium)?;
        if geometry.beginning(end).end <= limit {
            return Ok((superblock, end));
        }
        superblock.head = geometry.segment_of(superblock.head) + geometry.segment;
        if superblock.epoch_start == limit {
            superblock.epoch_start = geometry.limit(superblock.head);
        }
        salvage.go_on_with(superblock);
    }
}
