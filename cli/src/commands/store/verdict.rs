//! The event since a stamp in a store, in words.

use super::text::row;
use super::visible;
use cachemaint::report::Statement;
use cachemaint_boots::Verdict;
use cachemaint_inspect::survival::Survival;
use std::io::{self, Write};

/// Returns a statement with its reason and its source.
fn words(statement: &Statement<Survival>) -> String {
    format!("{}: {} ({})", statement.answer, statement.text, source(statement))
}

/// Returns the source of a statement, and its certainty.
pub(super) fn source(statement: &Statement<Survival>) -> String {
    format!("{}; {}", statement.source, statement.certainty)
}

/// The rows on the event since the stamp in a blob.
pub(super) fn write(out: &mut impl Write, name: &str, verdict: &Verdict) -> io::Result<()> {
    row(out, "happened", format!("{}, since {}", verdict.origin, visible(name.as_bytes())))?;
    row(out, "because", verdict.evidence.join("; "))?;
    match &verdict.promise {
        Some(promise) => row(out, "survives it", words(promise)),
        None => Ok(()),
    }
}
