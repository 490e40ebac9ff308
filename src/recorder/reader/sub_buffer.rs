//! The sub-buffer in a slot: by its header, or inferred from records if the header is lost.

use super::search::{CHUNK, Search};
use super::{HEADER, Header, Reader};
use crate::medium::Readable;
use core::ops::Range;

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

/// Returns true if a header is not a remainder before the newest one or before that of the last sub-buffer that was read.
const fn counts(header: &Header, newest: &Header, previous: Option<&Header>) -> bool {
    let is_after_previous = match previous {
        Some(previous) => !header.is_remainder_before(previous),
        None => true,
    };
    is_after_previous && !header.is_remainder_before(newest)
}

impl<S: Readable> Reader<S> {
    /// Returns the sub-buffer in the slot of a sequence number, by its header or else by the header that its records prove.
    /// `previous` is the header of the sub-buffer that was read before it, if there is one.
    pub(super) fn sub_buffer(
        &self,
        shard: u32,
        sequence: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> Option<SubBuffer> {
        let with_header = self.with_header(shard, sequence, newest, previous);
        let slot = self.description.geometry().slot(sequence);
        with_header.or_else(|| self.infer(shard, slot, newest, previous))
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

    /// Infers the header of a slot: the newest candidate under which a record in the slot verifies.
    #[cold]
    fn infer(
        &self,
        shard: u32,
        slot: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> Option<SubBuffer> {
        let geometry = self.description.geometry();
        let start = geometry.sub_buffer(shard, slot);
        // A record has its offset, which is not zero. In the first lap most slots are unused.
        if self.is_zero::<CHUNK>(start..start + u64::from(geometry.size)) {
            return None;
        }
        // Newer candidates come before the candidates that they have overwritten.
        let candidates = self.candidates(shard, slot, newest, previous);
        let header = candidates.into_iter().flatten().find(|header| {
            let key = self.description.key(shard, header.generation, header.sequence);
            self.find(&mut Search::new(geometry, start), HEADER, key).is_some()
        });
        header.map(|header| SubBuffer { header, is_inferred: true })
    }

    /// Returns true if these bytes, a multiple of `LEN`, can be read and are zero.
    pub(super) fn is_zero<const LEN: usize>(&self, bytes: Range<u64>) -> bool {
        let mut chunk = [0; LEN];
        let mut places = bytes.step_by(LEN);
        places.all(|at| self.source.read(at, &mut chunk).is_ok() && chunk == [0; LEN])
    }

    /// Returns the headers that may have been in a slot. They are of the lap after that of the newest header, of its
    /// own lap and of the lap before, each by the opening of the newest header or of a neighbour. If the header of the left
    /// neighbour is not valid, `previous` is in its place: it may be inferred itself, or be further to the left.
    fn candidates(
        &self,
        shard: u32,
        slot: u64,
        newest: &Header,
        previous: Option<Header>,
    ) -> [Option<Header>; 9] {
        let laps = u64::from(self.description.sub_buffers);
        let back = (newest.sequence + laps - slot) % laps;
        let (current, ahead) = match newest.sequence.checked_sub(back) {
            Some(current) => (Some(current), current + laps),
            None => (None, slot),
        };
        let before = current.and_then(|current| current.checked_sub(laps));
        let sequences = [Some(ahead), current, before];
        let beside =
            [self.header(shard, (slot + laps - 1) % laps), self.header(shard, (slot + 1) % laps)];
        let [left, right] = beside;
        let is_new = |header: &Header| header.generation != newest.generation;
        let left = left.or(previous).filter(is_new);
        let right = right
            .filter(is_new)
            .filter(|right| left.is_none_or(|left: Header| left.generation != right.generation));
        let neighbours = [Some(*newest), left, right];
        core::array::from_fn(|place| {
            let (sequence, neighbour) = (sequences[place / 3]?, neighbours[place % 3]?);
            let header = Header { shard, sequence, lost: 0, end_before: 0, ..neighbour };
            counts(&header, newest, previous.as_ref()).then_some(header)
        })
    }
}
