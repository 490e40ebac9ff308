//! The fate of each dirty line at a crash, from a seed.
//!
//! A fate depends only on the seed, the number of the crash and the line, so a run that makes the same lines dirty
//! loses the same ones.

use super::words::Line;

/// Which dirty lines a crash keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Each line with a probability of one half.
    Half,
    /// Each 8-byte word with a probability of one half, so lines are torn.
    Torn,
    /// No line.
    None,
    /// Every line.
    All,
    /// Only the line that was stored to last.
    Newest,
    /// Every line except that one.
    AllButNewest,
    /// The policy that the seed and the number of the crash choose: `Half` in three of eight cases.
    Any,
}

impl Policy {
    /// Returns the policy of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "half" => Self::Half,
            "torn" => Self::Torn,
            "none" => Self::None,
            "all" => Self::All,
            "newest" => Self::Newest,
            "all-but-newest" => Self::AllButNewest,
            "any" => Self::Any,
            _ => return None,
        })
    }

    /// Returns the policy for one crash.
    #[must_use]
    pub fn at(self, seed: u64, crash: u64) -> Self {
        if self != Self::Any {
            return self;
        }
        match mixed(seed, crash, u64::MAX) % 8 {
            0 => Self::None,
            1 => Self::All,
            2 => Self::Newest,
            3 => Self::AllButNewest,
            4 => Self::Torn,
            _ => Self::Half,
        }
    }
}

/// The choices of one crash.
#[derive(Clone, Copy, Debug)]
pub struct Fates {
    /// Any but [`Policy::Any`].
    pub policy: Policy,
    seed: u64,
    crash: u64,
    /// The dirty line that was stored to last.
    newest: Option<u32>,
}

impl Fates {
    /// Returns the choices of this crash, for a machine with this newest dirty line. If it is unknown, because stores
    /// were not followed or the emulator was killed, lines are kept at random.
    #[must_use]
    pub fn new(policy: Policy, seed: u64, crash: u64, newest: Option<u32>) -> Self {
        let policy = match policy.at(seed, crash) {
            Policy::Newest | Policy::AllButNewest if newest.is_none() => Policy::Half,
            policy => policy,
        };
        Self { policy, seed, crash, newest }
    }

    /// Returns a random number for the line that is independent of its fate.
    #[must_use]
    pub fn another_chance(&self, line: u32) -> u64 {
        mixed(self.seed, !self.crash, u64::from(line))
    }

    /// Returns the content after the crash of a dirty line that the guest saw as `seen`.
    #[must_use]
    pub fn of(&self, line: u32, seen: &Line, persisted: &Line) -> Line {
        let whole = |is_kept: bool| if is_kept { *seen } else { *persisted };
        let chance = mixed(self.seed, self.crash, u64::from(line));
        match self.policy {
            Policy::Half | Policy::Any => whole(chance & 1 == 0),
            Policy::Torn => core::array::from_fn(|word: usize| {
                if chance >> word & 1 == 0 { seen[word] } else { persisted[word] }
            }),
            Policy::None => whole(false),
            Policy::All => whole(true),
            Policy::Newest => whole(self.newest == Some(line)),
            Policy::AllButNewest => whole(self.newest != Some(line)),
        }
    }
}

/// Returns a random-looking number derived from three: the finalizer of `SplitMix64` (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", 2014), once for each.
#[must_use]
pub fn mixed(seed: u64, crash: u64, line: u64) -> u64 {
    [seed, crash, line].into_iter().fold(0, |state: u64, number| {
        let mut mixed = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    })
}

#[cfg(test)]
mod tests {
    use super::{Fates, Policy, mixed};

    const LIVE: [u64; 8] = [1; 8];
    const PERSISTED: [u64; 8] = [0; 8];

    fn kept(policy: Policy, newest: Option<u32>) -> Vec<u32> {
        let fates = Fates::new(policy, 7, 1, newest);
        (0..64).filter(|line| fates.of(*line, &LIVE, &PERSISTED) == LIVE).collect()
    }

    #[test]
    fn each_policy_keeps_the_lines_of_its_name() {
        assert_eq!(kept(Policy::None, Some(3)).len(), 0);
        assert_eq!(kept(Policy::All, Some(3)).len(), 64);
        assert_eq!(kept(Policy::Newest, Some(3)), [3]);
        let others: Vec<u32> = (0..64).filter(|line| *line != 3).collect();
        assert_eq!(kept(Policy::AllButNewest, Some(3)), others);
        let half = kept(Policy::Half, None).len();
        assert!((8..=56).contains(&half), "{half} of 64 by chance");
    }

    #[test]
    fn lines_are_kept_by_chance_if_the_newest_is_unknown() {
        for policy in [Policy::Newest, Policy::AllButNewest] {
            assert_eq!(Fates::new(policy, 7, 1, None).policy, Policy::Half, "{policy:?}");
        }
    }

    #[test]
    fn a_torn_line_has_words_of_both() {
        let fates = Fates::new(Policy::Torn, 7, 1, None);
        let torn = |line| {
            let content = fates.of(line, &LIVE, &PERSISTED);
            content != LIVE && content != PERSISTED
        };
        // One of 128 lines remains complete at random.
        assert!((0..64).filter(|line| torn(*line)).count() > 32);
    }

    #[test]
    fn a_seed_repeats_itself_and_another_differs() {
        assert_eq!(kept(Policy::Half, None), kept(Policy::Half, None));
        assert_ne!(mixed(1, 1, 1), mixed(2, 1, 1));
        assert_ne!(mixed(1, 1, 1), mixed(1, 2, 1));
        assert_ne!(mixed(1, 1, 1), mixed(1, 1, 2));
    }

    #[test]
    fn any_policy_is_chosen_at_some_crash() {
        for policy in [
            Policy::Half,
            Policy::Torn,
            Policy::None,
            Policy::All,
            Policy::Newest,
            Policy::AllButNewest,
        ] {
            assert!((0..1000).any(|crash| Policy::Any.at(1, crash) == policy), "{policy:?}");
        }
    }
}
