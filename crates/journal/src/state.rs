//! The state of a journal apart from its records: the content of its root.

use super::error::{Error, ErrorKind, FormatError};
use super::geometry::{FORMAT, Geometry};
use super::record::Epoch;
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::root::{self, Loaded};
use core::sync::atomic::{self, Ordering::Acquire};

/// The journal's own bytes in a root.
const OWN: usize = 72;

pub(super) type Root = root::Root<OWN>;

layout! {
    struct Fields: 72 {
        0 capacity: u64,
        8 segment: u32,
        12 alignment: u32,
        16 head: u64,
        24 head_epoch: u64,
        32 head_key: u64,
        40 epoch: u64,
        48 key: u64,
        56 before: u64,
        64 acknowledged: u64,
    }
}

/// The state of a journal apart from its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) identity: Identity,
    /// The number of roots stored so far.
    pub(super) generation: u64,
    pub(super) geometry: Geometry,
    /// The position of the oldest record that has not been trimmed.
    pub(super) head: u64,
    /// The epoch of the head.
    pub(super) head_epoch: Epoch,
    /// The last epoch, in which records are appended.
    pub(super) epoch: Epoch,
    /// The end of the records before the last epoch.
    pub(super) before: u64,
    /// The position before which everything was acknowledged when the root was stored.
    pub(super) acknowledged: u64,
}

impl State {
    /// Returns the position at which the last epoch begins.
    pub(super) const fn start(&self) -> u64 {
        self.geometry.next_segment(self.before)
    }

    /// Returns `self`, or `None` if its numbers are inconsistent or used up.
    pub(super) fn checked(self) -> Option<Self> {
        let Self { geometry, head, head_epoch, epoch, before, acknowledged, generation, .. } = self;
        let is_count = |number: u64| i64::try_from(number).is_ok();
        let is_head_in_its_epoch = || {
            if head_epoch.number == epoch.number {
                head_epoch.key == epoch.key && self.start() <= head
            } else {
                head_epoch.number < epoch.number && head <= before
            }
        };
        let is_consistent = [head, generation, epoch.number].into_iter().all(is_count)
            && is_count(head.saturating_add(geometry.capacity))
            && geometry.is_aligned(head)
            && geometry.is_aligned(before)
            && before.max(acknowledged) <= geometry.limit(head)
            && is_head_in_its_epoch();
        is_consistent.then_some(self)
    }

    pub(super) fn root(&self) -> Root {
        let Self { identity, generation, geometry, head_epoch, epoch, .. } = *self;
        let fields = Fields {
            capacity: geometry.capacity,
            // Both were checked to fit.
            segment: geometry.segment as u32,
            alignment: geometry.alignment as u32,
            head: self.head,
            head_epoch: head_epoch.number,
            head_key: head_epoch.key,
            epoch: epoch.number,
            key: epoch.key,
            before: self.before,
            acknowledged: self.acknowledged,
        };
        Root { identity, generation, own: fields.to_bytes() }
    }

    /// Returns the state in a root, or `None` if it is inconsistent.
    pub(super) fn of(root: &Root) -> Option<Self> {
        let fields = Fields::from_bytes(&root.own);
        let Fields { capacity, segment, alignment, .. } = fields;
        let geometry = Geometry::new(segment.into(), capacity, alignment.into())?;
        let state = Self {
            identity: root.identity,
            generation: root.generation,
            geometry,
            head: fields.head,
            head_epoch: Epoch { number: fields.head_epoch, key: fields.head_key },
            epoch: Epoch { number: fields.epoch, key: fields.key },
            before: fields.before,
            acknowledged: fields.acknowledged,
        };
        state.checked()
    }

    /// Stores the state over the one before the last. It is durable on return.
    pub(super) fn store<M: Medium>(&self, medium: &M) -> Result<(), M::Error> {
        self.root().store(medium, FORMAT)
    }

    /// Loads the state of the journal in a medium, and its root. The whole journal must be in the medium.
    pub(super) fn load<M: Readable>(
        medium: &M,
        rereadings: Rereadings,
    ) -> Result<(Self, Loaded<OWN>), Error<M::Error>> {
        let loaded = Root::load(medium, FORMAT, rereadings).map_err(Error::format)?;
        let state = Self::of(&loaded.root).ok_or(Error::format(FormatError::Roots))?;
        let (size, needed) = (medium.len(), state.geometry.bytes());
        if size < needed {
            return Err(Error::format(FormatError::Truncated { size, needed }));
        }
        Ok((state, loaded))
    }

    /// Returns the current state of this journal; a trim may have moved the head. Reads made before this call precede
    /// the store of any state later than the returned one.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`] if the journal has since been opened for writing or replaced.
    pub(super) fn now<M: Readable>(&self, medium: &M) -> Result<Self, Error<M::Error>> {
        atomic::fence(Acquire);
        if self.root().is_current(medium, FORMAT).map_err(Error::medium)? {
            medium.check().map_err(Error::medium)?;
            return Ok(*self);
        }
        let replaced = || Error::new(ErrorKind::Replaced);
        match Self::load(medium, Rereadings::BESIDE_WRITERS) {
            Ok((now, _)) if (now.identity, now.epoch) == (self.identity, self.epoch) => Ok(now),
            Ok(_) => Err(replaced()),
            Err(error) => Err(match error.kind() {
                ErrorKind::Format(FormatError::Foreign { .. } | FormatError::Version { .. }) => {
                    replaced()
                }
                _ => error,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State;
    use crate::geometry::Geometry;
    use crate::record::Epoch;
    use cachemaint_format::identity::Identity;

    const EPOCH: Epoch = Epoch { number: 1, key: 5 };
    const FIRST: State = State {
        identity: Identity([7; 16]),
        generation: 1,
        geometry: Geometry::new(256, 1024, 8).unwrap(),
        head: 0,
        head_epoch: EPOCH,
        epoch: EPOCH,
        before: 0,
        acknowledged: 0,
    };

    /// After such a state, an opening or a trim would have no number left, or a walk would pass its end.
    #[test]
    fn numbers_that_cannot_be_are_damage() {
        assert_eq!(State::of(&FIRST.root()), Some(FIRST));
        let next = Epoch { number: 2, key: 6 };
        let second = State { epoch: next, before: 264, acknowledged: 264, ..FIRST };
        assert_eq!((State::of(&second.root()), second.start()), (Some(second), 512));
        let last = Epoch { number: u64::MAX, key: 0 };
        for wrong in [
            State { epoch: last, ..second },
            State { head: 0_u64.wrapping_sub(256), ..second },
            State { head: (1 << 63) - 1024, before: (1 << 63) - 1024, ..second },
            // The head lies between the epochs, or in neither.
            State { head: 272, ..second },
            State { head_epoch: next, ..second },
            State { head_epoch: next, before: 1024, ..FIRST },
            State { before: 1032, ..second },
            State { acknowledged: 1032, ..second },
            State { before: 260, ..second },
        ] {
            assert_eq!(State::of(&wrong.root()), None, "{wrong:?}");
        }
    }
}
