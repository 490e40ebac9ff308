//! The end of the records: torn or damaged, according to the evidence.

use super::confirmation;
use super::geometry::{HEADER, WORD};
use super::record::{Header, Kind};
use super::recovered::{Damage, Fault};
use super::state::State;
use super::walk::{Patience, Step, Walk};
use cachemaint::medium::Readable;
use core::ops::Range;
use core::sync::atomic::{self, Ordering};

/// The state of the place where the records end.
pub(super) enum Ending {
    /// A record that was appended in the meantime.
    More,
    /// No record, or one that was in progress.
    End {
        /// True if part of a record is there, or a record follows it.
        is_torn: bool,
        /// The number of intact records after it.
        after_gap: u64,
    },
    /// A damaged record.
    Damage(Damage),
}

/// Intact records of the last epoch that follow a missing one.
#[derive(Default)]
struct Behind {
    records: u64,
    /// The first record that was written after the missing one had become durable.
    vouching: Option<u64>,
}

impl<M: Readable> Walk<'_, M> {
    /// Returns the state of the end: the end of the records, damage, or one more record.
    pub(super) fn ending(&mut self, fault: Fault) -> Result<Ending, M::Error> {
        let State { before, acknowledged, epoch, .. } = self.state;
        let mut behind = Behind::default();
        let evidence = if self.epoch.number < epoch.number || self.at < acknowledged {
            Some(before.max(acknowledged))
        } else if let Some(confirmed) = self.confirmed() {
            Some(confirmed)
        } else {
            behind = self.behind()?;
            match behind.vouching {
                Some(vouching) => Some(vouching),
                None => self.mark_of_later()?,
            }
        };
        // A torn record does not make bytes unreadable.
        let evidence = evidence.or((fault == Fault::Unreadable).then_some(self.at));
        self.medium.check()?;
        if evidence.is_none() && behind.records == 0 {
            let is_torn = fault != Fault::Nothing || self.is_unstated()? || self.has_remains();
            return Ok(Ending::End { is_torn, after_gap: 0 });
        }
        // A process that is appending wrote this record before the evidence.
        atomic::fence(Ordering::Acquire);
        let before = (self.at, self.epoch, self.last);
        let Step::End(fault) = self.step()? else {
            (self.at, self.epoch, self.last) = before;
            return Ok(Ending::More);
        };
        Ok(match evidence {
            Some(evidence) => Ending::Damage(self.damage(evidence, fault)),
            None => Ending::End { is_torn: true, after_gap: behind.records },
        })
    }

    /// Returns true if there is a record here except for the bits that state its position.
    fn is_unstated(&mut self) -> Result<bool, M::Error> {
        let (geometry, at) = (self.state.geometry, self.at);
        if at >= self.limit || geometry.left(at) < HEADER {
            return Ok(false);
        }
        let header = self.words(geometry.place(at)).ok().and_then(Header::read);
        let fits = |header: &Header| {
            header.kind == Kind::Data && geometry.size(header.len) <= geometry.left(at)
        };
        let Some(header) = header.filter(fits) else { return Ok(false) };
        self.proves(at, header, self.state.epoch.key)
    }

    /// Returns true if bytes of lost records are behind the end. That is known only in the first lap of a journal that
    /// was created in zeros: there are other bytes where records can have been in progress, and a segment of zeros behind
    /// those.
    ///
    /// If the root states this end, it may be that of a closed journal, and an earlier crash may have left the bytes.
    fn has_remains(&self) -> bool {
        let State { geometry, acknowledged, .. } = self.state;
        let begin = geometry.settled(self.at);
        let end = geometry.segment_of(begin + geometry.window) + geometry.segment;
        // A word that cannot be read counts for nothing.
        let has_bytes = |range: Range<u64>| {
            range.step_by(WORD as usize).any(|at| self.word(geometry.place(at)).unwrap_or(0) != 0)
        };
        self.at > acknowledged
            && end + geometry.segment <= geometry.capacity
            && has_bytes(begin..end)
            && !has_bytes(end..end + geometry.segment)
    }

    /// Returns a later position up to which everything was acknowledged, if the confirmation word of the last epoch
    /// states one.
    pub(super) fn confirmed(&self) -> Option<u64> {
        confirmation::find(self.medium, self.state.epoch.key, self.at + WORD..=self.limit)
    }

    /// Returns the intact records of the last epoch after the missing one, up to the end of the segment that lies one
    /// window after it.
    fn behind(&mut self) -> Result<Behind, M::Error> {
        let geometry = self.state.geometry;
        let end = self.at;
        let limit = geometry.segment_of(end + geometry.window) + geometry.segment;
        self.patience = Patience::default();
        let mut behind = Behind::default();
        let mut at = geometry.settled(end) + WORD;
        while at < self.limit.min(limit) {
            let Some(header) = self.whole(at)? else {
                at += WORD;
                continue;
            };
            if header.kind == Kind::Data {
                behind.records += 1;
                if behind.vouching.is_none() && header.vouch.durable(at) > end {
                    behind.vouching = Some(at);
                }
            }
            at += geometry.size(header.len);
        }
        Ok(behind)
    }

    /// Returns the header of the valid record or void of the last epoch at `at`.
    fn whole(&mut self, at: u64) -> Result<Option<Header>, M::Error> {
        let Ok(header) = self.header(at) else { return Ok(None) };
        let key = self.state.epoch.key;
        let is_whole = header.kind != Kind::Mark && self.proves(at, header, key)?;
        Ok(is_whole.then_some(header))
    }

    /// Returns the position of a mark that was written after the missing record had become durable. Such a mark is at
    /// least one window after the record, belongs to a later epoch than the root's, or lies in space that the root's head
    /// has not freed.
    fn mark_of_later(&self) -> Result<Option<u64>, M::Error> {
        let State { geometry, head, epoch, .. } = self.state;
        // At most one window is in progress, and a mark beyond the limit was written with a later head.
        let ahead = self.limit.min(self.at + geometry.window);
        for segment in (geometry.segment_of(head)..self.limit).step_by(geometry.segment as usize) {
            let Some((position, mark)) = self.mark_of_any_lap(segment)? else { continue };
            let is_ahead = position >= ahead && mark.epoch == epoch;
            if is_ahead || mark.epoch.number > epoch.number {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }
}
