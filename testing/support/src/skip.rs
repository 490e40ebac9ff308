//! The message of a skipped test. It is not printed by a macro, whose output the harness does not show if the test
//! passes.

use core::fmt::Display;
use std::io::Write;

/// Prints the name of a test that cannot run here, with the reason. `xtask/src/skips.rs` lists the permitted
/// reasons; what a test met may follow one after a colon.
pub fn skip(test: &str, why: impl Display) {
    // If standard output is closed, the line is lost, and the test has nothing else to do.
    drop(writeln!(std::io::stdout(), "skipped: {test}: {why}"));
}
