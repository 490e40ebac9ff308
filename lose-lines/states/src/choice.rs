//! The names of states: a place to cut, and what survives.

use core::fmt::{self, Display};
use core::str::FromStr;

/// The choice of the effects that a cut keeps, of those that are not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keep {
    /// All of them.
    All,
    /// None of them.
    None,
    /// Each with the same odds.
    Half,
    /// Each with odds that the seed chooses.
    Some,
    /// All but one, and what needs that one.
    AllButOne,
    /// One, and what it needs.
    One,
    /// Those of all operations before one.
    Before,
}

const KEEPS: [(Keep, &str); 7] = [
    (Keep::All, "all"),
    (Keep::None, "none"),
    (Keep::Half, "half"),
    (Keep::Some, "some"),
    (Keep::AllButOne, "all-but-one"),
    (Keep::One, "one"),
    (Keep::Before, "before"),
];

/// A place to cut and what survives: it names a state of a log, as `CUT:SEED:KEEP` or `CUT:lose:EFFECT+EFFECT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice<K = Keep, C = usize> {
    /// The place: the number of records before the cut.
    pub cut: C,
    /// The effects.
    pub kept: Kept<K>,
}

/// The effects that a cut keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kept<K = Keep> {
    /// By seed.
    Chosen {
        /// The seed.
        seed: u64,
        /// The way.
        keep: K,
    },
    /// All but these, and what needs them.
    AllBut(Vec<u32>),
}

impl Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KEEPS.iter().find(|(keep, _)| keep == self).map_or("", |known| known.1))
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = KEEPS.iter().find(|(_, name)| *name == text);
        known.map(|known| known.0).ok_or_else(|| format!("{text:?} is no way to keep effects"))
    }
}

impl<K: Display, C: Display> Display for Choice<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kept {
            Kept::Chosen { seed, keep } => write!(f, "{}:{seed}:{keep}", self.cut),
            Kept::AllBut(lost) => {
                let lost: Vec<_> = lost.iter().map(u32::to_string).collect();
                write!(f, "{}:lose:{}", self.cut, lost.join("+"))
            }
        }
    }
}

impl<K: FromStr, C: FromStr> FromStr for Choice<K, C> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no state: copy CUT:SEED:KEEP or CUT:lose:EFFECT+EFFECT from a report"
            )
        };
        // A place can have a colon.
        let [keep, seed, cut] = text.rsplitn(3, ':').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        let kept = if seed == "lose" {
            let words = keep.split('+').filter(|word| !word.is_empty());
            Kept::AllBut(words.map(str::parse).collect::<Result<_, _>>().ok().ok_or_else(wrong)?)
        } else {
            let keep = keep.parse().ok().ok_or_else(wrong)?;
            Kept::Chosen { seed: seed.parse().ok().ok_or_else(wrong)?, keep }
        };
        Ok(Self { cut: cut.parse().ok().ok_or_else(wrong)?, kept })
    }
}

/// Returns the states in which nothing survives that is not durable, at most so many of them, at places where something was
/// promised.
#[doc(hidden)]
pub fn at_promises<K: Copy>(promised: &[usize], most: usize, none: K) -> Vec<Choice<K>> {
    let every = promised.len().div_ceil(most.max(1)).max(1);
    let places = promised.iter().rev().step_by(every).take(most);
    places.map(|cut| Choice { cut: *cut, kept: Kept::Chosen { seed: 0, keep: none } }).collect()
}

/// Returns states by seed, at these lists of places in turn.
#[doc(hidden)]
pub fn by_seed<K>(
    places: [&[usize]; 2],
    seed: u64,
    mut keep: impl FnMut(&mut Random) -> K,
) -> impl Iterator<Item = Choice<K>> {
    let mut random = Random(seed);
    places.into_iter().cycle().map(move |places| {
        let (keep, cut) = (keep(&mut random), places[random.below(places.len())]);
        Choice { cut, kept: Kept::Chosen { seed: random.number() >> 32, keep } }
    })
}

/// Splitmix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014): states must be the same everywhere.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Random(pub u64);

#[doc(hidden)]
impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        usize::try_from(self.number() % limit).unwrap_or(0)
    }
}
