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

/// The effort of a search, and the length up to which it tries all histories.
#[derive(Clone, Copy)]
struct Effort {
    /// Lives that are spent on all short histories.
    all: u64,
    length: usize,
    /// Histories by chance. Of the defects under `tests/regressions`, each is found within the first five hundred.
    by_chance: u64,
}

/// Some seconds for each structure and model.
const USUAL: Effort = Effort { all: 12_000, length: 2, by_chance: HISTORIES };
/// For structures whose operations are too many for a greater length.
const WIDE: Effort = Effort { all: 3_000, length: 1, ..USUAL };
/// For structures whose operations others try too, apart from each other.
const MIXED: Effort = Effort { by_chance: HISTORIES / 2, ..WIDE };

const SEED: u64 = 0;

/// Searches under the model whose crashes leave the fewest states, and under the one that has the fewest promises.
#[track_caller]
#[expect(clippy::print_stdout, reason = "how much was tried")]
fn assert_safe<S: Structure>(structure: &S, bytes: u64, effort: Effort) {
    let Effort { all, length, by_chance } = effort;
    for model in [Model::X86, Model::NEUTRAL] {
        let histories = Histories::new(Simulation::new(model, bytes)).all(all);
        let searched = histories.by_chance(cases(by_chance), SEED).search(structure);
        println!("{searched}");
        searched.assert_safe();
        // Each operation and each parameter more lowers the length.
        assert!(searched.length >= Some(length), "not all histories of length {length} were tried");
    }
}
