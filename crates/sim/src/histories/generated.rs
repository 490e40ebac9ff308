//! Generated histories: operations and crashes that proptest chooses and simplifies.

use alloc::boxed::Box;
use alloc::vec::Vec;
use fastrand::Rng;
use proptest::collection::vec;
use proptest::num::u16::BinarySearch;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The operations of each life, as positions among all possible ones, in parts of 65536.
pub(super) type Picks = Vec<Vec<u16>>;

/// A history that can be made simpler: with fewer steps, and with operations earlier among the possible ones.
pub(super) type Tree = Box<dyn ValueTree<Value = Picks>>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Operation(u16),
    Crash,
}

/// Returns the index of the picked operation among this number; `None` if there is none.
pub(super) fn picked(pick: u16, possible: usize) -> Option<usize> {
    (possible > 0).then_some((usize::from(pick) * possible) >> u16::BITS)
}

/// Returns the source of randomness of a history, by its number.
pub(super) fn chance(seed: u64, number: u64) -> Rng {
    // The golden ratio, so that neighbouring numbers are unrelated.
    Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Returns the history with this number, of at most `longest` steps. Most have fewer.
pub(super) fn history(seed: u64, number: u64, longest: usize) -> Option<Tree> {
    let mut chance = chance(!seed, number);
    let most = 1 + (number % longest.max(1) as u64) as usize;
    let liked = (0..chance.usize(0..=4)).map(|_| chance.u16(..)).collect();
    // An operation interrupted by a crash is still at risk if the next opening is interrupted too, so many lives have
    // no operations.
    let step = prop_oneof![5 => Liked(liked).prop_map(Step::Operation), 2 => Just(Step::Crash)];
    let lives = vec(step, 0..=most).prop_map(|steps| lives(&steps));
    let mut bytes = [0; 32];
    chance.fill(&mut bytes);
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    lives.boxed().new_tree(&mut runner).ok()
}

fn lives(steps: &[Step]) -> Picks {
    let pick = |step: &Step| match *step {
        Step::Operation(pick) => Some(pick),
        Step::Crash => None,
    };
    let is_crash = |step: &Step| matches!(step, Step::Crash);
    steps.split(is_crash).map(|life| life.iter().filter_map(pick).collect()).collect()
}

/// The operations that a history prefers; all, if empty. A history that chooses from few operations reaches states that
/// need them several times (Groce et al., *Swarm Testing*, ISSTA 2012).
#[derive(Debug)]
struct Liked(Vec<u16>);

impl Strategy for Liked {
    type Tree = BinarySearch;
    type Value = u16;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let any = any::<u16>().new_tree(runner)?.current();
        let liked = picked(any, self.0.len()).map(|place| self.0[place]);
        Ok(BinarySearch::new(liked.unwrap_or(any)))
    }
}
