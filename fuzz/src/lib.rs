//! What the targets share: media made of an input, and claims that the property tests make too.

// Written for tests, which do not use everything here.
#![expect(clippy::missing_panics_doc, reason = "a target that panics is a finding")]
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths of records are small")]

pub mod journal;
pub mod preserve;
pub mod recorder;
