//! The outcome of a litmus test: the values of words after a crash at any moment.

use super::choices::{Choices, Way};
use super::image::{Image, Layer};
use super::points::points;
use crate::machine::Machine;
use crate::machine::model::WORD;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

impl Machine {
    /// Returns the values that the words can have after a crash at any moment from the beginning to
    /// now.
    #[must_use]
    pub fn outcomes(self, words: &[u64]) -> BTreeSet<Vec<u64>> {
        let beginning = Image::new(vec![0; self.bytes().div_ceil(WORD) as usize].into());
        let history = Arc::new(self.into_history());
        let mut outcomes = BTreeSet::new();
        for point in points(&history) {
            let mut choices = Choices::new(Way::All);
            loop {
                let layer = Layer::new(Arc::clone(&history), point.cut);
                let mut image = beginning.clone().under(layer);
                let read = |at: &u64| image.read(*at, u64::MAX, &mut choices);
                outcomes.insert(words.iter().map(read).collect());
                if choices.advance().is_none() {
                    break;
                }
            }
        }
        outcomes
    }
}
