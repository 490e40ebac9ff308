//! The end of the records: torn or damaged, according to the evidence.
//!
//! The rule is one: if something intact states a later position before which everything was durable, the missing record is
//! damaged. The [crate documentation](super) has the table of those that state one, and of the damage that only each of
//! them shows.

use super::confirmation;
use super::geometry::WORD;
use super::record::{Header, Kind};
use super::recovered::{Damage, Fault};
use super::state::State;
use super::walk::{Step, Walk};
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

impl<M: Readable> Walk<'_, M> {
    /// Returns the state of the end: the end of the records, damage, or one more record.
    pub(super) fn ending(&mut self, fault: Fault) -> Result<Ending, M::Error> {
        let found = self.evidence()?;
        self.medium.check()?;
        let after_gap = match found {
            // A torn record does not make bytes unreadable.
            Err(0) if fault != Fault::Unreadable => {
                let is_torn = fault != Fault::Nothing || self.has_remains();
                return Ok(Ending::End { is_torn, after_gap: 0 });
            }
            Err(behind) => behind,
            Ok(_) => 0,
        };
        // A process that is appending wrote this record before the evidence.
        atomic::fence(Ordering::Acquire);
        let before = (self.at, self.epoch, self.last);
        let Step::End(fault) = self.step()? else {
            (self.at, self.epoch, self.last) = before;
            return Ok(Ending::More);
        };
        let evidence = found.ok().or((fault == Fault::Unreadable).then_some(self.at));
        Ok(match evidence {
            Some(evidence) => Ending::Damage(self.damage(evidence, fault)),
            None => Ending::End { is_torn: true, after_gap },
        })
    }

    /// Returns a position that was written after the missing record had become durable. `Err` is the number of intact
    /// records after the missing one, if nothing shows that.
    fn evidence(&mut self) -> Result<Result<u64, u64>, M::Error> {
        let State { geometry, head, before, acknowledged, epoch, .. } = self.state;
        let end = self.at;
        if self.epoch.number < epoch.number || end < acknowledged {
            return Ok(Ok(before.max(acknowledged)));
        }
        if let Some(confirmed) = self.confirmed().filter(|confirmed| *confirmed > end) {
            return Ok(Ok(confirmed));
        }
        for segment in (geometry.segment_of(head)..self.limit).step_by(geometry.segment as usize) {
            let Ok(mark) = self.mark_of_any_lap(segment)? else { continue };
            let is_here = mark.epoch == epoch;
            let is_unknown = is_here && mark.position >= self.limit;
            if is_here && mark.durable > end || is_unknown || mark.epoch.number > epoch.number {
                return Ok(Ok(mark.position));
            }
        }
        self.patience = Self::FRESH;
        let limit = geometry.segment_of(end + geometry.window) + geometry.segment;
        let (mut at, mut behind) = (end + WORD, 0);
        while at < self.limit.min(limit) {
            let Some(header) = self.whole(at)? else {
                at += WORD;
                continue;
            };
            if header.durable(at) > end {
                return Ok(Ok(at));
            }
            behind += 1;
            at += geometry.size(header.len);
        }
        Ok(Err(behind))
    }

    /// Returns the header of the valid record of the last epoch at `at`.
    fn whole(&mut self, at: u64) -> Result<Option<Header>, M::Error> {
        let Ok(header) = self.header(at) else { return Ok(None) };
        let key = self.state.epoch.key;
        let is_whole = header.kind == Kind::Data && self.proves(at, header, key)?;
        Ok(is_whole.then_some(header))
    }

    /// Returns true if bytes of lost records are behind the end. That is known only in the first lap of a journal that
    /// was created in zeros: there are other bytes where records can have been in progress, and a segment of zeros behind
    /// those.
    ///
    /// If this end was confirmed, no record is lost, and an earlier crash may have left the bytes.
    fn has_remains(&self) -> bool {
        let State { geometry, acknowledged, .. } = self.state;
        let begin = self.at;
        let end = geometry.segment_of(begin + geometry.window) + geometry.segment;
        // A word that cannot be read counts for nothing.
        let has_bytes = |range: Range<u64>| {
            range.step_by(WORD as usize).any(|at| self.word(geometry.place(at)).unwrap_or(0) != 0)
        };
        begin > acknowledged
            && self.confirmed() != Some(begin)
            && end + geometry.segment <= geometry.capacity
            && has_bytes(begin..end)
            && !has_bytes(end..end + geometry.segment)
    }

    /// Returns the position up to which everything was acknowledged, if the confirmation word of the last epoch states
    /// this one or a later one.
    pub(super) fn confirmed(&self) -> Option<u64> {
        confirmation::find(self.medium, self.state.epoch.key, self.at..=self.limit)
    }
}
