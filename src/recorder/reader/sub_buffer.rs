//! The sub-buffer in a slot: by its header, or inferred from records if the header is lost.

use super::search::{CHUNK, Search};
use super::{HEADER, Header, Reader};
use crate::medium::Readable;
use crate::recorder::clock::Pace;
use crate::recorder::format::DESCRIPTORS;
use core::cmp::Reverse;
use core::ops::{Range, RangeInclusive};

/// A sub-buffer, and the source of its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubBuffer {
    /// The header of the sub-buffer, or the header that its records prove.
    pub(super) header: Header,
    /// True if the header is inferred from records.
    pub(super) is_inferred: bool,
}

impl SubBuffer {
    pub(super) const fn sequence(&self) -> u64 {
        self.header.sequence
    }
}

/// The number of openings before that of the newest header under which a slot without a header is searched.
const EARLIER: usize = 4;

/// The number of slots to the right in which a valid header is looked for. It is small, since slots without headers may follow
/// one another, and each looks for one.
const RIGHT: usize = 3;

/// An opening that may have begun a sub-buffer.
#[derive(Clone, Copy, Debug)]
struct Opening {
    generation: u64,
    /// The pace of its timestamps, if a header has it.
    pace: Option<Pace>,
}

type Openings = [Option<Opening>; 1 + EARLIER];

/// The valid headers beside a slot without one, of any lap: that of the last sub-buffer that was read, that of the left
/// neighbour, and those to the right. The first may be inferred itself, or be further to the left.
#[derive(Clone, Copy, Debug)]
struct Beside([Option<Header>; 2 + RIGHT]);

impl Beside {
    /// Returns the openings that may have begun the sub-buffer with a sequence number up to the newest one, the newest
    /// first. They are that of the newest header, those of the headers with the numbers next to this one, and the ones just
    /// before the higher one of these. Headers of other laps lie between them, and say less about it.
    ///
    /// A later opening may have overwritten all other sub-buffers of the one that lost the header. Then no header has its
    /// generation, which is only a little lower than the next one.
    fn openings(&self, sequence: u64, newest: &Header) -> Openings {
        let is_earlier = |header: &Header| header.generation < newest.generation;
        let all = || self.0.into_iter().flatten();
        let number_of = |header: &Header| header.sequence;
        let left = all().filter(|header| header.sequence < sequence).max_by_key(number_of);
        let right = all().filter(|header| header.sequence > sequence).min_by_key(number_of);
        let [left, right] = [left, right].map(|header| header.filter(is_earlier));
        let known =
            |header: Header| Opening { generation: header.generation, pace: Some(header.pace) };
        let first = right.map_or(newest.generation, |right| right.generation);
        let before = (1..first).rev().map(|generation| Opening { generation, pace: None });
        let mut openings = [None; 1 + EARLIER];
        openings[0] = Some(known(*newest));
        let mut number = 1;
        // The right header has a pace of its own. The left one may be inferred, and without a pace.
        for opening in [right, left].into_iter().flatten().map(known).chain(before) {
            let is_new = openings.iter().flatten().all(|one| one.generation != opening.generation);
            let Some(place) = openings.get_mut(number) else { break };
            if is_new {
                *place = Some(opening);
                number += 1;
            }
        }
        openings.sort_unstable_by_key(|opening| Reverse(opening.map(|one| one.generation)));
        openings
    }
}

/// Returns true if a header is not a remainder before the newest one or before that of the last sub-buffer that was read.
const fn counts(header: &Header, newest: &Header, previous: Option<&Header>) -> bool {
    let is_after_previous = match previous {
        Some(previous) => !header.is_remainder_before(previous),
        None => true,
    };
    is_after_previous && !header.is_remainder_before(newest)
}

impl<S: Readable> Reader<S> {
    /// Returns the sub-buffer in the slot of a sequence number, by its header or else by the header that its records prove:
    /// it has at least this number then. `previous` is the header of the sub-buffer that was read before it, if there is one.
    ///
    /// A crash that loses the line of a header leaves zeros in the first lap, and the header of an older lap later.
    pub(super) fn sub_buffer(
        &self,
        shard: u32,
        sequence: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> Option<SubBuffer> {
        let counted = || self.with_header(shard, sequence, newest, previous);
        let is_older = |found: &SubBuffer| found.sequence() < sequence;
        let found = counted();
        if found.is_some_and(|found| !is_older(&found)) {
            return found;
        }
        let sequences = sequence..=u64::MAX;
        let inferred = self.infer(shard, sequences, newest, previous, found.is_some())?;
        // A writer may have begun the sub-buffer meanwhile. Its header was visible before its records.
        counted().filter(|found| !is_older(found)).or(Some(inferred))
    }

    /// Returns the sub-buffer in the slot of a sequence number by its header, if that counts.
    pub(super) fn with_header(
        &self,
        shard: u32,
        sequence: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> Option<SubBuffer> {
        let header = self.header(shard, self.description.geometry().slot(sequence));
        let header = header.filter(|header| counts(header, newest, previous.as_ref()));
        header.map(|header| SubBuffer { header, is_inferred: false })
    }

    /// Infers the header of the slot of the first of these sequence numbers: the newest candidate with one of them under which
    /// a record in the slot verifies.
    ///
    /// Beside an older header, records after those of the newest header are found only if the first of them is whole. Most
    /// slots after the newest one have such a header, and an opening does not search them all.
    #[cold]
    pub(super) fn infer(
        &self,
        shard: u32,
        sequences: RangeInclusive<u64>,
        newest: &Header,
        previous: Option<Header>,
        is_beside_older: bool,
    ) -> Option<SubBuffer> {
        let geometry = self.description.geometry();
        let slot = geometry.slot(*sequences.start());
        let start = geometry.sub_buffer(shard, slot);
        // A record has its offset, which is not zero. In the first lap most slots are unused.
        if !is_beside_older && self.is_zero::<CHUNK>(start..start + u64::from(geometry.size)) {
            return None;
        }
        let beside = self.beside(shard, slot, newest, previous);
        // Newer candidates come before the candidates that they have overwritten.
        let candidates = self.sequences(slot, newest).into_iter().flatten();
        let mut candidates =
            candidates.filter(|candidate| sequences.contains(candidate)).flat_map(|sequence| {
                let openings = if sequence > newest.sequence {
                    self.later_openings(newest)
                } else {
                    beside.openings(sequence, newest)
                };
                openings.into_iter().flatten().map(move |opening| (sequence, opening))
            });
        candidates.find_map(|(sequence, Opening { generation, pace })| {
            let header = Header {
                shard,
                sequence,
                generation,
                pace: pace.unwrap_or(newest.pace),
                lost: 0,
                end_before: 0,
            };
            if !counts(&header, newest, previous.as_ref()) {
                return None;
            }
            let key = self.description.key(shard, generation, sequence);
            let mut search = Search::new(geometry, start);
            if is_beside_older && sequence > newest.sequence {
                self.record(&mut search, HEADER, key)?;
            } else {
                self.find(&mut search, HEADER, key)?;
            }
            let pace = pace.unwrap_or_else(|| self.pace_of(generation, newest));
            Some(SubBuffer { header: Header { pace, ..header }, is_inferred: true })
        })
    }

    /// Returns true if these bytes, a multiple of `LEN`, can be read and are zero.
    pub(super) fn is_zero<const LEN: usize>(&self, bytes: Range<u64>) -> bool {
        let mut chunk = [0; LEN];
        let mut places = bytes.step_by(LEN);
        places.all(|at| self.source.read(at, &mut chunk).is_ok() && chunk == [0; LEN])
    }

    /// Returns the sequence numbers that a sub-buffer in a slot may have, the newest first: in the lap after that of the
    /// newest header, in its own lap and in the lap before.
    fn sequences(&self, slot: u64, newest: &Header) -> [Option<u64>; 3] {
        let laps = u64::from(self.description.sub_buffers);
        let back = (newest.sequence + laps - slot) % laps;
        match newest.sequence.checked_sub(back) {
            Some(current) => [Some(current + laps), Some(current), current.checked_sub(laps)],
            None => [Some(slot), None, None],
        }
    }

    /// Returns the openings that may have begun a sub-buffer after that of the newest header, the newest first. They are that
    /// of the descriptor, the one before it, the one after the newest header's, and the newest header's. A later opening
    /// makes its descriptor persistent before its first event, and may have lost all its headers. Openings without events may
    /// have followed it.
    fn later_openings(&self, newest: &Header) -> Openings {
        let last = self.description.generation;
        let [before, after] = [last.saturating_sub(1), newest.generation.saturating_add(1)];
        let later = |generation, pace, is_new| {
            (is_new && generation > newest.generation).then_some(Opening { generation, pace })
        };
        let newest = Opening { generation: newest.generation, pace: Some(newest.pace) };
        [
            later(last, Some(self.description.pace()), true),
            later(before, None, true),
            later(after, None, after < before),
            Some(newest),
            None,
        ]
    }

    /// Reads the headers beside a slot without one.
    fn beside(&self, shard: u32, slot: u64, newest: &Header, previous: Option<Header>) -> Beside {
        let laps = u64::from(self.description.sub_buffers);
        let mut headers = [None; 2 + RIGHT];
        let [first, others @ ..] = &mut headers;
        *first = previous;
        let distances = core::iter::once(laps - 1).chain((1..laps).take(RIGHT));
        for (place, distance) in others.iter_mut().zip(distances) {
            let header = self.header(shard, (slot + distance) % laps);
            *place = header.filter(|header| counts(header, newest, previous.as_ref()));
        }
        Beside(headers)
    }

    /// Returns the pace of an opening without a header. It is known if one of the descriptors is of that opening.
    fn pace_of(&self, generation: u64, newest: &Header) -> Pace {
        let identity = self.description.identity;
        let descriptors = DESCRIPTORS.into_iter().filter_map(|page| {
            let found = Self::descriptor(&self.source, page).ok()?.ok()?;
            (found.identity == identity && found.generation == generation).then_some(found)
        });
        let found = descriptors.map(|found| found.pace()).next();
        found.unwrap_or(Pace { timestamp: 0, wall: 0, ..newest.pace })
    }
}
