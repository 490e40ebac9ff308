//! Generated histories of the journal, the store of preserved state and the recorder: several lives, with all
//! that can be under way at each crash.

// Histories run on a simulated medium, without `unsafe` and with many cases: Miri would take hours and find nothing.
#![cfg(all(target_has_atomic = "64", not(miri)))]
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of records are small")]

/// All tests have one name in front, by which they are left out on emulators: they would take minutes there.
mod histories {
    mod journal;
    #[path = "../preserve/part.rs"]
    mod part;
    mod payload;
    mod preserve;
    mod recorder;
}

mod cases;

use cachemaint::sim::{Histories, Model, Simulation, Structure};
use cases::{HISTORIES, cases};

/// Lives that are spent on all short histories: some seconds for each structure and model.
const ALL: u64 = 12_000;
const SEED: u64 = 0;

/// Searches under the model whose crashes leave the fewest states, and under the one that has the fewest promises.
#[track_caller]
#[expect(clippy::print_stdout, reason = "how much was tried")]
fn assert_safe<S: Structure>(structure: &S, bytes: u64) {
    // Of the defects under `tests/regressions`, each is found within the first five hundred.
    let by_chance = cases(HISTORIES);
    for model in [Model::X86, Model::NEUTRAL] {
        let histories = Histories::new(Simulation::new(model, bytes));
        let searched = histories.all(ALL).by_chance(by_chance, SEED).search(structure);
        println!("{searched}");
        searched.assert_safe();
    }
}
