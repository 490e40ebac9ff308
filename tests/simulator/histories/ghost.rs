//! A record that a checksum rejects, and that a later life completes: it takes a certain state of each of two crashes.

use super::LINE;
use cachemaint::medium::Medium;
use cachemaint::sim::{Histories, Life, Model, Searched, Simulation, Structure, Violation};
use core::sync::atomic::Ordering::Relaxed;

const MODELS: [Model; 3] = [Model::X86, Model::NEUTRAL, Model::PAGES];

/// A log with space for one record: its length, a checksum that covers all of it, and two words. No number of a life is in
/// it.
struct Record {
    /// True if an opening erases a record that it rejects.
    erases: bool,
}

fn checksum(words: [u64; 3]) -> u64 {
    words
        .into_iter()
        .fold(1, |sum: u64, word| sum.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word)
        | 1
}

/// The number that was found or acknowledged, and the number of the last append.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    there: Option<u64>,
    under_way: Option<u64>,
    last: u64,
}

impl Record {
    fn open(medium: &impl Medium) -> Option<u64> {
        let load = |word: u64| medium.load(8 * word, Relaxed);
        let (proof, length) = (load(1), load(0));
        if proof == 0 || length != 2 {
            return None;
        }
        let words = [2, 3].map(load);
        (checksum([length, words[0], words[1]]) == proof).then_some(words[0])
    }
}

impl Structure for Record {
    type Operation = &'static str;
    type Model = Numbers;

    fn operations(&self, model: &Numbers) -> Vec<&'static str> {
        if model.there.is_none() { vec!["append", "wait"] } else { vec!["wait"] }
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let medium = life.medium;
        medium.persist(0..LINE)?; // a killed process may have left it in the caches
        let found = Self::open(medium);
        let Numbers { there, under_way, .. } = life.model();
        let is_right = found == there || there.is_none() && found == under_way;
        Violation::unless(is_right, || format!("{found:?}, not {there:?} or {under_way:?}"))?;
        if self.erases && found.is_none() {
            medium.write(0, &[0; 32]);
            medium.persist(0..32)?;
        }
        life.note(|model| *model = Numbers { there: found, under_way: None, ..*model });
        while let Some(operation) = life.next() {
            if operation == "wait" {
                continue;
            }
            let number = life.model().last + 1;
            life.note(|model| *model = Numbers { under_way: Some(number), last: number, ..*model });
            let words = [2, checksum([2, number, number]), number, number];
            medium.write(0, words.map(u64::to_le_bytes).as_flattened());
            medium.persist(0..32)?;
            life.note(|model| *model = Numbers { there: Some(number), under_way: None, ..*model });
        }
        Ok(())
    }
}

fn histories(model: Model, seed: u64) -> Histories {
    Histories::new(Simulation::new(model, LINE).zeros()).seed(seed)
}

fn search(model: Model, seed: u64) -> Searched<&'static str> {
    histories(model, seed).search(&Record { erases: false })
}

#[test]
fn a_record_that_a_later_life_completes_is_found_under_any_seed() {
    for model in MODELS {
        for seed in 0..4 {
            let found = search(model, seed);
            assert_eq!(found.lives, [["append"], ["append"]], "seed {seed}: {found}");
        }
    }
}

#[test]
fn a_record_that_a_later_life_completes_is_found_again_with_the_same_settings() {
    for model in MODELS {
        let found = search(model, 0);
        let again = histories(model, 0).replay(&Record { erases: false }, &found.lives);
        assert!(again.failure.is_some(), "{again}");
        assert_eq!(again.lives, found.lives);
    }
}

#[test]
fn an_erased_record_is_not_completed() {
    let found = histories(Model::NEUTRAL, 0).search(&Record { erases: true });
    found.assert_safe();
}
