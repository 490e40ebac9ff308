//! Short histories in every state of each crash, if the crashes leave few states.
//!
//! A search of all short histories goes on behind three states of a crash. A defect that needs another state of two
//! crashes in a row would be found by chance, if at all. The operations of most such defects leave few states, so that
//! all of them together take some hundred lives.

use super::Structure;
use super::search::{Failed, Search, Stop};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// The share of these histories: one life for so many of the lives that are spent on all short histories.
const SHARE: u64 = 4;

/// Lives to spend on each.
const LIVES: u64 = 512;

impl<S: Structure> Search<'_, S> {
    /// Tries short histories of two lives or more in every state, in the order of their lengths: those of few lives first,
    /// and those that repeat an operation. One that takes too many lives is left out. Returns the one that failed, and the
    /// method that found it.
    pub(super) fn few_states(&mut self) -> Option<Failed<S>> {
        let mut left = self.settings.all / SHARE;
        // The next length was begun, unless no history is longer.
        let next = usize::from(self.left == 0);
        let longest = self.length.map_or(0, |length| length + next);
        self.bound = u32::MAX;
        'all: for length in 1..=longest {
            for shape in shapes(length) {
                let operations: usize = shape.iter().sum();
                let count = (self.known.len() as u64).saturating_pow(operations as u32);
                for number in 0..count {
                    if left == 0 {
                        break 'all;
                    }
                    let lives = filled(&shape, &self.known, number);
                    let limit = left.min(LIVES);
                    self.left = limit;
                    let ended = self.given_anew(&lives);
                    left -= limit - self.left;
                    match ended {
                        Err(stop @ Stop::Failed(_)) => {
                            self.bound = self.settings.states;
                            return stop.failed(|| format!("in all states of length {length}"));
                        }
                        Ok(()) if !self.is_partial && !self.is_skipped => self.in_all_states += 1,
                        Ok(()) | Err(Stop::Spent) => {}
                    }
                }
            }
        }
        self.bound = self.settings.states;
        None
    }
}

/// Returns the numbers of operations in the lives of histories of a length: few lives first, and those whose operations are
/// spread over the lives.
fn shapes(length: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    for crashes in 1..=length {
        let mut shapes = spread(length - crashes, crashes + 1);
        shapes.sort_by_key(|shape| shape.iter().max().copied());
        all.append(&mut shapes);
    }
    all
}

/// Returns all numbers of operations of so many lives.
fn spread(operations: usize, lives: usize) -> Vec<Vec<usize>> {
    if lives == 1 {
        return vec![vec![operations]];
    }
    let mut all = Vec::new();
    for first in (0..=operations).rev() {
        for mut rest in spread(operations - first, lives - 1) {
            rest.insert(0, first);
            all.push(rest);
        }
    }
    all
}

/// Returns lives with the operations of a number. The first numbers have the same operation everywhere.
fn filled<O: Clone>(shape: &[usize], known: &[O], mut number: u64) -> Vec<Vec<O>> {
    let of = known.len().max(1) as u64;
    let mut first = None;
    let mut next = || {
        let digit = number % of;
        number /= of;
        // Behind the first operation a digit is the distance from that.
        let place = first.map_or(digit, |first| (first + digit) % of);
        first.get_or_insert(place);
        known[place as usize].clone()
    };
    shape.iter().map(|operations| (0..*operations).map(|_| next()).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{filled, shapes};
    use alloc::collections::BTreeSet;
    use alloc::vec;

    #[test]
    fn each_history_with_an_earlier_crash_comes_once() {
        assert_eq!(shapes(1), [[0, 0]]);
        assert_eq!(shapes(2), [vec![1, 0], vec![0, 1], vec![0, 0, 0]]);
        assert_eq!(shapes(3)[..3], [[1, 1], [2, 0], [0, 2]]);
        assert_eq!(shapes(3).len(), 3 + 3 + 1);
        let all: BTreeSet<_> =
            (0..9).map(|number| filled(&[1, 1], &['a', 'b', 'c'], number)).collect();
        assert_eq!(all.len(), 9);
        assert_eq!(filled(&[1, 1], &['a', 'b', 'c'], 1), [['b'], ['b']]);
        assert_eq!(filled::<char>(&[0, 0], &[], 0), [[], []]);
    }
}
