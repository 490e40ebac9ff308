//! Inputs of the targets: media made from an input, and claims shared with the property tests.

// Written for tests; not everything is used here.
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of records are small")]

mod allocation;
#[path = "../../testing/support/src/bad_blocks.rs"]
mod bad_blocks;
mod image;
pub mod journal;
pub mod lose_lines;
pub mod recorder;
pub mod store;
mod value;

use arbitrary::{Arbitrary, Unstructured};

/// The targets by name.
pub const TARGETS: [(&str, fn(&[u8])); 9] = [
    ("journal_bytes", |input| run(input, |input| journal::bytes(&input))),
    ("journal_damage", |input| run(input, |input| journal::damage(&input))),
    ("store_bytes", |input| run(input, |input| store::bytes(&input))),
    ("store_damage", |input| run(input, |input| store::damage(&input))),
    ("recorder_bytes", |input| run(input, |input| recorder::bytes(&input))),
    ("recorder_damage", |input| run(input, |input| recorder::damage(&input))),
    ("lose_lines_recording", lose_lines::recording),
    ("lose_lines_drive_log", lose_lines::drive_log),
    ("lose_lines_nbd", lose_lines::nbd),
];

/// Runs a target with the input that `libFuzzer` makes from these bytes.
fn run<'i, T: Arbitrary<'i>>(input: &'i [u8], target: impl FnOnce(T)) {
    if let Ok(input) = T::arbitrary_take_rest(Unstructured::new(input)) {
        target(input);
    }
}
