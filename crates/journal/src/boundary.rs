//! Positions where a record begins or ends.

use super::error::{Error, ErrorKind};
use super::evidence::Ending;
use super::geometry::Position;
use super::recovered::Damage;
use super::state::State;
use super::walk::{Step, Walk};
use cachemaint::medium::Readable;

/// The number of attempts at a read that trims keep making obsolete.
pub(super) const ATTEMPTS: u32 = 8;

/// Returns the error of a read that was overtaken by trims at each attempt.
pub(super) const fn overtaken<E>(state: &State, position: Position) -> Error<E> {
    let (head, end) = (Position(state.head), Position(state.acknowledged));
    Error::new(ErrorKind::NotABoundary { position, head, end })
}

impl State {
    /// Returns true if a later state explains the damage that was found with this one.
    pub(super) fn is_outdated(&self, now: &Self, damage: &Damage) -> bool {
        let [at, evidence] = [damage.at, damage.evidence].map(|at| self.geometry.settled(at.0));
        let limit = self.geometry.limit(self.head);
        // The evidence is a record of the later head, and the record at `at` may still be in progress.
        let is_beyond = evidence >= limit && now.geometry.limit(now.head) > limit;
        now.head > at || is_beyond
    }
}

/// Returns a walk from a position where a record begins or ends. `now` returns the current state.
pub(super) fn walk_from<M: Readable>(
    medium: &M,
    position: Position,
    now: impl Fn() -> Result<State, Error<M::Error>>,
) -> Result<Walk<'_, M>, Error<M::Error>> {
    let mut state = now()?;
    for _ in 0..ATTEMPTS {
        let walk = Walk::at_boundary(medium, state, position.0);
        let Err(ErrorKind::Damaged(damage)) = walk.as_ref().map_err(Error::kind) else {
            return walk;
        };
        let later = now()?;
        if !state.is_outdated(&later, damage) {
            return walk;
        }
        state = later;
    }
    Err(overtaken(&state, position))
}

impl<'m, M: Readable> Walk<'m, M> {
    /// Returns a walk from a position where a record begins or ends.
    pub(super) fn at_boundary(
        medium: &'m M,
        state: State,
        position: u64,
    ) -> Result<Self, Error<M::Error>> {
        let mut walk = Self::new(medium, state);
        let geometry = state.geometry;
        // A mark is valid only after the records before it. At the start of a segment, those are in the previous
        // segment.
        let segment = geometry.segment_of(position.saturating_sub(1));
        if segment < walk.limit {
            walk.skip_to(segment).map_err(Error::medium)?;
        }
        // A journal can end at the start of a segment, after a gap too small for a header.
        let is_reached = |at| at == position || geometry.settled(at) == position;
        while walk.at < position && !is_reached(walk.at) {
            match walk.step().map_err(Error::medium)? {
                Step::Record { .. } | Step::Passed => {}
                Step::End(fault) => match walk.ending(fault).map_err(Error::medium)? {
                    Ending::More => {}
                    Ending::End { .. } => break,
                    Ending::Damage(damage) => return Err(Error::new(ErrorKind::Damaged(damage))),
                },
            }
        }
        if is_reached(walk.at) {
            return Ok(walk);
        }
        let (head, end) = (Position(state.head), Position(walk.at));
        Err(Error::new(ErrorKind::NotABoundary { position: Position(position), head, end }))
    }

    /// Skips to a segment. If an epoch may begin there, skips to an earlier segment where none does, or not at all: an
    /// epoch counts only if it follows the last record before it. Two marks that agree show that none begins.
    fn skip_to(&mut self, mut segment: u64) -> Result<(), M::Error> {
        let State { geometry, .. } = self.state;
        while segment > self.at {
            let before = segment - geometry.segment;
            let mark = self.mark(segment)?;
            if segment >= self.state.start() || mark.is_some() && mark == self.mark(before)? {
                return self.enter(segment);
            }
            segment = before;
        }
        Ok(())
    }
}
