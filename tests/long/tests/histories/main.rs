//! Generated histories of the journal, the store and the recorder: several lives, with all
//! that can be under way at each crash.

// Histories run on a simulated medium, without `unsafe` and with many cases: Miri would take hours and find nothing.
#![cfg(all(target_has_atomic = "64", not(miri)))]
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of records are small")]

mod journal;
mod payload;
mod recorder;
mod store;

use cachemaint_sim::{Histories, Model, Simulation, Structure};
use cachemaint_test_support::cases::{HISTORIES, cases};

/// Histories for each structure and model. Of the defects under `tests/regressions`, each is found within the first five
/// hundred.
const USUAL: u64 = HISTORIES;
/// For structures with many operations.
const WIDE: u64 = HISTORIES;
/// For structures whose operations others try too, apart from each other.
const MIXED: u64 = HISTORIES / 2;

const SEED: u64 = 0;

/// Searches under the model whose crashes leave the fewest states, and under the one that has the fewest promises.
#[track_caller]
#[expect(clippy::print_stdout, reason = "how much was tried")]
fn assert_safe<S: Structure>(structure: &S, bytes: u64, histories: u64) {
    for model in [Model::X86, Model::NEUTRAL] {
        let search = Histories::new(Simulation::new(model, bytes)).seed(SEED);
        let begun = std::time::Instant::now();
        let searched = search.cases(cases(histories)).search(structure);
        println!("{searched} in {:?}", begun.elapsed());
        searched.assert_safe();
    }
}
