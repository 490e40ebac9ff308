//! Positions where a record begins or ends.

use super::error::{Error, ErrorKind};
use super::evidence::Ending;
use super::geometry::Position;
use super::recovered::Damage;
use super::state::State;
use super::walk::{Step, Walk};
use cachemaint::medium::Readable;
use cachemaint_format::bounds::ATTEMPTS;

impl State {
    /// Returns true if a later state explains the damage that was found with this one.
    pub(super) fn is_outdated(&self, now: &Self, Damage { at, evidence, .. }: &Damage) -> bool {
        let limit = self.geometry.limit(self.head);
        // The evidence is a record of the later head, and the record at `at` may still be in progress.
        let is_beyond = evidence.0 >= limit && now.geometry.limit(now.head) > limit;
        now.head > at.0 || is_beyond
    }
}

/// Reads again as long as a trim explains the damage that was found. `now` returns the current state.
pub(super) fn beside_trims<T, E>(
    now: impl Fn() -> Result<State, Error<E>>,
    read: impl Fn(State) -> Result<T, Error<E>>,
    damage: impl Fn(&Result<T, Error<E>>) -> Option<Damage>,
) -> Result<T, Error<E>> {
    let mut state = now()?;
    for _ in 0..ATTEMPTS {
        let found = read(state);
        let later = now()?;
        if damage(&found).is_none_or(|damage| !state.is_outdated(&later, &damage)) {
            return found;
        }
        state = later;
    }
    let [head, end] = [state.head, state.acknowledged].map(Position);
    Err(Error::new(ErrorKind::NotABoundary { position: head, head, end }))
}

/// Returns a walk from a position where a record begins or ends. `now` returns the current state.
pub(super) fn walk_from<M: Readable>(
    medium: &M,
    position: Position,
    now: impl Fn() -> Result<State, Error<M::Error>>,
) -> Result<Walk<'_, M>, Error<M::Error>> {
    let damage = |walk: &Result<_, Error<_>>| match walk.as_ref().err()?.kind() {
        ErrorKind::Damaged(damage) => Some(*damage),
        _ => None,
    };
    beside_trims(now, |state| Walk::at_boundary(medium, state, position.0), damage)
}

impl<'m, M: Readable> Walk<'m, M> {
    /// Returns a walk from a position where a record begins or ends.
    pub(super) fn at_boundary(
        medium: &'m M,
        state: State,
        position: u64,
    ) -> Result<Self, Error<M::Error>> {
        let mut walk = Self::new(medium, state);
        // The record before the start of a segment is in the previous segment.
        let segment = state.geometry.segment_of(position.saturating_sub(1));
        if (walk.at..walk.limit).contains(&segment) {
            walk.enter(segment).map_err(Error::medium)?;
        }
        while walk.at < position {
            match walk.step().map_err(Error::medium)? {
                Step::Record { .. } | Step::Passed => {}
                Step::End(fault) => match walk.ending(fault).map_err(Error::medium)? {
                    Ending::More => {}
                    Ending::End { .. } => break,
                    Ending::Damage(damage) => return Err(Error::new(ErrorKind::Damaged(damage))),
                },
            }
        }
        if walk.at == position {
            return Ok(walk);
        }
        let (head, end) = (Position(state.head), Position(walk.at));
        Err(Error::new(ErrorKind::NotABoundary { position: Position(position), head, end }))
    }
}
