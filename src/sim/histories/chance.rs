//! Chance: which operations, which moment of a crash, which state.

use super::Structure;
use super::runner::{End, Lived};
use crate::sim::crash::choices::Way;
use alloc::vec::Vec;
use fastrand::Rng;

/// Returns the source of randomness of a history, by its number.
pub(super) fn of_number(seed: u64, number: u64) -> Rng {
    // The golden ratio, so that neighbours have nothing in common.
    Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Returns the number of operations of a life. It is often 0: an operation that is under way at a crash is also at risk
/// when the next opening is cut off.
pub(super) fn operations(longest: usize, chance: &mut Rng) -> usize {
    if chance.u8(0..4) == 0 { 0 } else { chance.usize(0..=longest) }
}

/// Returns a strategy for the state after a crash: mostly the latest of each word, sometimes the oldest.
pub(super) fn way(chance: &mut Rng) -> Way {
    match chance.u8(0..8) {
        0..4 => Way::NearFirst(0),
        4 => Way::NearLast(0),
        _ => Way::Random(chance.fork()),
    }
}

/// Returns the end of a life: a loss of power or a kill, mostly after the last operation, else within it.
pub(super) fn end<S: Structure>(lived: &Lived<S>, chance: &mut Rng) -> End {
    let (first, last) = (lived.last_begun().changes, lived.death.changes);
    let is_late = chance.bool();
    if chance.u8(0..4) == 0 {
        // Before the first change of the operation it leaves what a life without the operation leaves.
        let first = last.min(first + 1);
        return End::Kill(if is_late { last } else { chance.u64(first..=last) });
    }
    let points = if is_late { Vec::new() } else { lived.points() };
    End::Power(chance.choice(points).unwrap_or_else(|| lived.end()))
}

/// The preferred operations of a history. A history that chooses from few of them reaches states that need them several
/// times (Groce et al., *Swarm Testing*, ISSTA 2012).
pub(super) struct Tastes<O> {
    chance: Rng,
    /// One operation in this number is liked.
    rare: u8,
    known: Vec<(O, bool)>,
}

impl<O: Clone + PartialEq> Tastes<O> {
    pub(super) fn new(mut chance: Rng) -> Self {
        let rare = chance.u8(1..=4);
        Self { chance, rare, known: Vec::new() }
    }

    /// Chooses one of the operations that are possible, one that is liked if there is one.
    pub(super) fn pick(&mut self, possible: &[O]) -> Option<usize> {
        let all = 0..possible.len();
        let liked: Vec<_> = all.clone().filter(|one| self.likes(&possible[*one])).collect();
        self.chance.choice(liked).or_else(|| self.chance.choice(all))
    }

    fn likes(&mut self, operation: &O) -> bool {
        if let Some((_, likes)) = self.known.iter().find(|(known, _)| known == operation) {
            return *likes;
        }
        let likes = self.chance.u8(0..self.rare) == 0;
        self.known.push((operation.clone(), likes));
        likes
    }
}
