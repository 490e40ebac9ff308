//! The choice of what survives a power cut: of the writes that no flush has completed, or of the lines that no fence has
//! completed.
//!
//! The plugin compiles this file too, so it uses no other part of the library.

use core::fmt;
use core::str::FromStr;

/// Which units survive: writes to a drive, or lines of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Policy {
    /// No unit.
    None,
    /// Every unit.
    All,
    /// Each unit with a probability of one half.
    Half,
    /// Each part of a unit with a probability of one half: a sector of a write, a word of a line.
    Torn,
    /// Every unit but one.
    LoseOne,
    /// Only one unit.
    KeepOne,
    /// All units before a chosen one, which is torn.
    Prefix,
    /// One of the others, at random for each cut.
    Any,
}

/// The fate of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The unit survives.
    Kept,
    /// The unit is lost.
    Lost,
    /// Each part of the unit has a fate of its own.
    Torn,
}

impl Policy {
    const ALL: [Self; 8] = [
        Self::None,
        Self::All,
        Self::Half,
        Self::Torn,
        Self::LoseOne,
        Self::KeepOne,
        Self::Prefix,
        Self::Any,
    ];

    /// The policies of random cuts. Those with the most states appear twice.
    const MIXED: [Self; 8] = [
        Self::None,
        Self::Half,
        Self::Half,
        Self::Torn,
        Self::Torn,
        Self::LoseOne,
        Self::KeepOne,
        Self::Prefix,
    ];

    /// Returns the name, as an option takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::All => "all",
            Self::Half => "half",
            Self::Torn => "torn",
            Self::LoseOne => "lose-one",
            Self::KeepOne => "keep-one",
            Self::Prefix => "prefix",
            Self::Any => "any",
        }
    }

    /// Returns the policy of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// Returns the policy of one cut, for which `number` is random: a definite one.
    #[must_use]
    pub const fn at(self, number: u64) -> Self {
        match self {
            Self::Any => Self::MIXED[Random::place(number, Self::MIXED.len())],
            policy => policy,
        }
    }

    /// Returns the fate of a unit, given its place among all of them, that of the chosen one, and a random choice.
    pub fn fate(self, place: usize, chosen: usize, is_lucky: impl FnOnce() -> bool) -> Fate {
        let is_kept = match self {
            Self::None => false,
            Self::All => true,
            Self::Half | Self::Any => is_lucky(),
            Self::Torn => return Fate::Torn,
            Self::LoseOne => place != chosen,
            Self::KeepOne => place == chosen,
            Self::Prefix if place == chosen => return Fate::Torn,
            Self::Prefix => place < chosen,
        };
        if is_kept { Fate::Kept } else { Fate::Lost }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = String;

    /// Reads the policy of one cut: a definite one.
    fn from_str(text: &str) -> Result<Self, String> {
        let policy = Self::named(text).filter(|policy| *policy != Self::Any);
        policy.ok_or_else(|| format!("{text:?} is no policy of one cut"))
    }
}

/// Random numbers that every version computes alike: splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom
/// Number Generators", 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// Returns the next number below `end`, which is not 0.
    pub const fn below(&mut self, end: usize) -> usize {
        Self::place(self.next(), end)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is less than a usize")]
    const fn place(number: u64, end: usize) -> usize {
        (number % end as u64) as usize
    }
}

/// Returns a random-looking number derived from several, the same one each time.
#[must_use]
pub fn mixed(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |state, number| Random(state ^ number).next())
}

#[cfg(test)]
mod tests {
    use super::{Fate, Policy, mixed};

    fn fates(policy: Policy) -> Vec<Fate> {
        (0..4).map(|place| policy.fate(place, 1, || place == 3)).collect()
    }

    #[test]
    fn each_policy_keeps_the_units_of_its_name() {
        use Fate::{Kept, Lost, Torn};
        for (policy, expected) in [
            (Policy::None, [Lost; 4]),
            (Policy::All, [Kept; 4]),
            (Policy::Half, [Lost, Lost, Lost, Kept]),
            (Policy::Torn, [Torn; 4]),
            (Policy::LoseOne, [Kept, Lost, Kept, Kept]),
            (Policy::KeepOne, [Lost, Kept, Lost, Lost]),
            (Policy::Prefix, [Kept, Torn, Lost, Lost]),
        ] {
            assert_eq!(fates(policy), expected, "{policy}");
        }
    }

    #[test]
    fn a_policy_is_read_as_it_is_printed() {
        for policy in Policy::ALL {
            assert_eq!(Policy::named(&policy.to_string()), Some(policy));
        }
        assert_eq!(Policy::named("most"), None);
    }

    #[test]
    fn any_is_a_definite_policy_for_each_number() {
        let chosen: Vec<Policy> = (0..8).map(|number| Policy::Any.at(number)).collect();
        assert!(!chosen.contains(&Policy::Any));
        for policy in [Policy::None, Policy::Half, Policy::Torn, Policy::LoseOne, Policy::KeepOne] {
            assert!(chosen.contains(&policy), "{policy}");
        }
        assert_eq!(Policy::Half.at(0), Policy::Half);
    }

    #[test]
    fn a_seed_repeats_itself_and_another_differs() {
        assert_eq!(mixed(&[1, 1, 1]), mixed(&[1, 1, 1]));
        for other in [[2, 1, 1], [1, 2, 1], [1, 1, 2]] {
            assert_ne!(mixed(&[1, 1, 1]), mixed(&other));
        }
    }
}
