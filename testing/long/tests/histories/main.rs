//! Generated histories of the journal, the store and the recorder: several lives, with all
//! that can be under way at each crash.

// Histories run on a simulated medium, without `unsafe` and with many cases: Miri would take hours and find nothing.
#![cfg(all(target_has_atomic = "64", not(miri)))]
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of records are small")]

mod journal;
mod payload;
mod recorder;
mod store;

use cachemaint_sim::{DamageKind, Histories, Model, Simulation, Structure};
use cachemaint_test_support::cases::{HISTORIES, cases};

/// Histories for each structure and model. Of the defects under `testing/defects`, each is found within the first five
/// hundred.
const USUAL: u64 = HISTORIES;
/// For structures with many operations.
const WIDE: u64 = HISTORIES;
/// For structures whose operations others try too, apart from each other.
const MIXED: u64 = HISTORIES / 2;

const SEED: u64 = 0;

/// The damage that a crash leaves, one kind in each search.
const DAMAGE: [DamageKind; 3] = [
    DamageKind::BadBlock { bytes: 512 },
    DamageKind::LostSector { bytes: 512 },
    DamageKind::FlippedWord,
];

/// Searches under the model whose crashes leave the fewest states, and under the one that has the fewest promises.
#[track_caller]
fn assert_safe<S: Structure>(structure: &S, bytes: u64, histories: u64) {
    for model in [Model::X86, Model::NEUTRAL] {
        assert_safe_on(Simulation::new(model, bytes), structure, histories);
    }
}

/// Searches with each damage.
#[track_caller]
fn assert_safe_from_damage<S: Structure>(structure: &S, bytes: u64, histories: u64) {
    for damage in DAMAGE {
        assert_safe_on(Simulation::new(Model::NEUTRAL, bytes).damage(damage), structure, histories);
    }
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "how much was tried")]
fn assert_safe_on<S: Structure>(simulation: Simulation, structure: &S, histories: u64) {
    let begun = std::time::Instant::now();
    let search = Histories::new(simulation).seed(SEED).cases(cases(histories));
    let searched = search.search(structure);
    println!("{searched} in {:?}", begun.elapsed());
    searched.assert_safe();
}
