//! The event since the last commit of a store, in words.

use super::text::row;
use cachemaint::report::Statement;
use cachemaint_inspect::survival::Survival;
use cachemaint_store::Verdict;
use std::io::{self, Write};

/// Returns the verdict in sentences, one for each line.
pub(super) fn sentences(verdict: &Verdict, was_sealed: bool) -> Vec<String> {
    let evidence = verdict.evidence.join("; ");
    let mut sentences = vec![format!("since the last commit: {}: {evidence}", verdict.origin)];
    if let Some(promise) = &verdict.promise {
        sentences.push(format!("survival of committed data: {}", words(promise)));
    }
    sentences.push(if was_sealed {
        "the store had been sealed".to_owned()
    } else {
        "the store had not been sealed, so all blobs were verified".to_owned()
    });
    sentences
}

/// Returns a statement with its reason and its source.
pub(super) fn words(statement: &Statement<Survival>) -> String {
    format!("{}: {} ({})", statement.answer, statement.text, source(statement))
}

/// Returns the source of a statement, and its certainty.
pub(super) fn source(statement: &Statement<Survival>) -> String {
    format!("{}; {}", statement.source, statement.certainty)
}

pub(super) fn write(out: &mut impl Write, verdict: &Verdict) -> io::Result<()> {
    row(out, "happened", verdict.origin)?;
    row(out, "because", verdict.evidence.join("; "))?;
    match &verdict.promise {
        Some(promise) => row(out, "survives it", words(promise)),
        None => Ok(()),
    }
}
