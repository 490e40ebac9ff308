//! The fate of each dirty line at a crash, from a seed.
//!
//! A fate depends only on the seed, the number of the crash and the line, so a run that makes the same lines dirty
//! loses the same ones.

use super::words::Line;
use crate::policy::{Fate, Policy, mixed};

/// The choices of one crash.
#[derive(Clone, Copy, Debug)]
pub struct Fates {
    /// Any but [`Policy::Any`].
    pub policy: Policy,
    seed: u64,
    crash: u64,
    /// The line that a policy singles out.
    chosen: u32,
}

impl Fates {
    /// Returns the choices of this crash. A policy that singles out one of the dirty lines takes the newest one; if that
    /// is unknown, because stores were not followed or the emulator was killed, any of them.
    #[must_use]
    pub fn new(policy: Policy, seed: u64, crash: u64, dirty: &[u32], newest: Option<u32>) -> Self {
        let place = mixed(&[seed, crash, u64::MAX - 1]) % (dirty.len() as u64).max(1);
        let one = usize::try_from(place).ok().and_then(|place| dirty.get(place));
        let chosen = newest.or(one.copied()).unwrap_or_default();
        let policy = policy.at(mixed(&[seed, crash, u64::MAX]));
        Self { policy, seed, crash, chosen }
    }

    /// Returns a random number for the line that is independent of its fate.
    #[must_use]
    pub fn another_chance(&self, line: u32) -> u64 {
        mixed(&[self.seed, !self.crash, u64::from(line)])
    }

    /// Returns the content after the crash of a dirty line that the guest saw as `seen`.
    #[must_use]
    pub fn of(&self, line: u32, seen: &Line, persisted: &Line) -> Line {
        let chance = mixed(&[self.seed, self.crash, u64::from(line)]);
        match self.policy.fate(line as usize, self.chosen as usize, || chance & 1 == 0) {
            Fate::Kept => *seen,
            Fate::Lost => *persisted,
            Fate::Torn => core::array::from_fn(|word: usize| {
                if chance >> word & 1 == 0 { seen[word] } else { persisted[word] }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fates, Policy};

    const LIVE: [u64; 8] = [1; 8];
    const PERSISTED: [u64; 8] = [0; 8];

    fn kept(policy: Policy, newest: Option<u32>) -> Vec<u32> {
        let dirty: Vec<u32> = (0..64).collect();
        let fates = Fates::new(policy, 7, 1, &dirty, newest);
        dirty.into_iter().filter(|line| fates.of(*line, &LIVE, &PERSISTED) == LIVE).collect()
    }

    #[test]
    fn the_newest_line_is_singled_out_or_any_if_it_is_unknown() {
        assert_eq!(kept(Policy::KeepOne, Some(3)), [3]);
        let others: Vec<u32> = (0..64).filter(|line| *line != 3).collect();
        assert_eq!(kept(Policy::LoseOne, Some(3)), others);
        assert_eq!(kept(Policy::KeepOne, None).len(), 1);
        assert_eq!(kept(Policy::LoseOne, None).len(), 63);
        let half = kept(Policy::Half, None).len();
        assert!((8..=56).contains(&half), "{half} of 64 by chance");
    }

    #[test]
    fn a_torn_line_has_words_of_both() {
        let fates = Fates::new(Policy::Torn, 7, 1, &[], None);
        let torn = |line| {
            let content = fates.of(line, &LIVE, &PERSISTED);
            content != LIVE && content != PERSISTED
        };
        // One of 128 lines remains complete at random.
        assert!((0..64).filter(|line| torn(*line)).count() > 32);
    }
}
