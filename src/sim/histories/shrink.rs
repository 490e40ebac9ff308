//! The shortest history that fails as a longer one does.

use super::Structure;
use super::search::{Search, Stop, Trail};
use alloc::vec::Vec;

/// Lives to spend on trying shorter histories.
const TRIES: u64 = 2_000;
/// Histories by chance for the same.
const SAMPLES: u64 = 100;
/// States of a crash for the same: a state found by chance may be one of many.
const STATES: u32 = 32;
/// Lives, in order and by chance each, to spend on a replay of the shortest history. A replay with fewer lives may need
/// so many.
const REPLAY: u64 = 10 * TRIES;
/// Times that a history is made shorter, so that operations which are never simple enough come to an end.
const ROUNDS: usize = 1_000;

/// The operations of each life.
type Lives<O> = Vec<Vec<O>>;

impl<S: Structure> Search<'_, S> {
    /// Makes a history shorter as long as it fails in the same way: with fewer lives, fewer operations and simpler
    /// ones. Returns with it the number of lives with which a replay finds it again.
    pub(super) fn shrunk(
        &mut self,
        trail: Trail<S::Operation>,
    ) -> (Trail<S::Operation>, Option<u64>) {
        let mut best = trail;
        self.bound = self.bound.max(STATES);
        for _ in 0..ROUNDS {
            let lives = best.lives();
            let mut shorter = shorter(&lives).into_iter().chain(self.simpler(&lives));
            match shorter.find_map(|lives| self.fails(&best, &lives)) {
                Some(trail) => best = trail,
                None => break,
            }
        }
        let usual = self.settings.all.min(REPLAY);
        let more = (usual < REPLAY).then_some(REPLAY);
        for lives in [usual].into_iter().chain(more) {
            if self.is_replayed(&mut best, lives) {
                return (best, Some(lives));
            }
        }
        (best, None)
    }

    /// Takes the history that a replay with so many lives finds, which has the simplest crashes. Returns true if there is
    /// one.
    fn is_replayed(&mut self, best: &mut Trail<S::Operation>, all: u64) -> bool {
        loop {
            let again = self.replay(&best.lives(), all, REPLAY).map(|(trail, _)| trail);
            let Some(again) = again.filter(|trail| trail.violation.kind == best.violation.kind)
            else {
                return false;
            };
            let is_same = again.lives() == best.lives();
            *best = again;
            if is_same {
                return true;
            }
        }
    }

    /// Looks for a failure of the same kind with these operations. The lives before the first change are lived, and
    /// end, as before.
    fn fails(
        &mut self,
        best: &Trail<S::Operation>,
        lives: &[Vec<S::Operation>],
    ) -> Option<Trail<S::Operation>> {
        let both = best.past.iter().zip(lives);
        let same = both.take_while(|(past, life)| past.operations == **life).count();
        let past = &best.past[..same];
        let is_it = |trail: &Trail<_>| trail.violation.kind == best.violation.kind;
        self.left = TRIES;
        self.path = past.to_vec();
        self.is_partial = false;
        match self.given(&self.runner.replay(past), &lives[same..]) {
            Err(Stop::Failed(trail)) if is_it(&trail) => return Some(trail),
            Ok(()) if !self.is_partial => return None,
            _ => self.left = TRIES,
        }
        (0..SAMPLES).find_map(|number| match self.scripted(past, &lives[same..], number) {
            Err(Stop::Failed(trail)) if is_it(&trail) => Some(trail),
            _ => None,
        })
    }

    /// Returns the same lives with one operation simpler.
    fn simpler(&self, lives: &Lives<S::Operation>) -> Vec<Lives<S::Operation>> {
        let mut all = Vec::new();
        for (life, place) in places(lives) {
            for operation in self.runner.structure.simpler(&lives[life][place]) {
                let mut simpler = lives.clone();
                simpler[life][place] = operation;
                all.push(simpler);
            }
        }
        all
    }
}

/// Returns the operations of all lives: life and place.
fn places<O>(lives: &Lives<O>) -> impl Iterator<Item = (usize, usize)> {
    let of_life = |(life, operations): (usize, &Vec<O>)| {
        (0..operations.len()).map(move |place| (life, place))
    };
    lives.iter().enumerate().flat_map(of_life)
}

/// Returns lives with one fewer, with one crash fewer, or with one operation fewer.
fn shorter<O: Clone>(lives: &Lives<O>) -> Vec<Lives<O>> {
    let mut all = Vec::new();
    for life in (0..lives.len()).rev() {
        let mut fewer = lives.clone();
        fewer.remove(life);
        all.push(fewer);
    }
    for life in 1..lives.len() {
        let mut merged = lives.clone();
        let behind = merged.remove(life);
        merged[life - 1].extend(behind);
        all.push(merged);
    }
    for (life, place) in places(lives) {
        let mut fewer = lives.clone();
        fewer[life].remove(place);
        all.push(fewer);
    }
    all
}
