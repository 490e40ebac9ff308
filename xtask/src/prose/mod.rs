//! The English of comments, documents and messages, and the links of documents.
//!
//! `xtask/prose.txt` lists turns of phrase that a reader has to read twice, each with the number of places that may
//! still have it. Long sentences are listed, and do not fail the check.

mod links;
mod passages;
mod phrases;

use std::fs;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result, ensure};

use crate::command::Cmd;
use crate::host::Host;
use crate::report::{Finding, Report, Tests};
use passages::Passage;

const PHRASES: &str = "xtask/prose.txt";
/// The greatest number of words of a sentence that is not listed.
const LONGEST: usize = 35;

/// A file of the tree and its text.
#[derive(Debug)]
struct Source {
    path: String,
    text: String,
}

pub(crate) fn prose(host: &Host, report: &mut Report) -> Result<()> {
    let code = sources(host, "*.rs")?;
    let documents = sources(host, "*.md")?;
    report.check(
        "phrases",
        "no listed turn of phrase is used more often than permitted",
        || {
            let mut passages = Vec::new();
            for source in &code {
                passages.extend(passages::of_rust(source)?);
            }
            passages.extend(documents.iter().flat_map(passages::of_markdown));
            list_long_sentences(&passages)?;
            let list = fs::read_to_string(host.root().join(PHRASES))
                .with_context(|| format!("cannot read {PHRASES}"))?;
            let faults = phrases::faults(&phrases::parse(&list)?, &passages);
            ensure!(faults.is_empty(), "{}", faults.join("\n"));
            Ok(Finding::passed(Tests::default()))
        },
    )?;
    report.check("links", "every link of a document leads to a file, a heading or an item", || {
        Cmd::cargo("doc --workspace --no-deps --all-features")
            .env("RUSTDOCFLAGS", "-D warnings")
            .check()?;
        let pages = host.target_dir("doc");
        let faults = links::faults(host.root(), &pages, &documents);
        ensure!(faults.is_empty(), "{} broken links:\n{}", faults.len(), faults.join("\n"));
        Ok(Finding::passed(Tests::default()))
    })
}

fn sources(host: &Host, pattern: &str) -> Result<Vec<Source>> {
    host.sources(pattern)?
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(host.root().join(&path))
                .with_context(|| format!("cannot read {path}"))?;
            Ok(Source { path, text })
        })
        .collect()
}

fn list_long_sentences(passages: &[Passage]) -> Result<()> {
    let long = passages.iter().flat_map(|passage| {
        let words = |sentence: &&str| sentence.split_whitespace().count() > LONGEST;
        let begin = |sentence: &str| {
            let words: Vec<&str> = sentence.split_whitespace().take(8).collect();
            format!("{}:{}: {} ...\n", passage.path, passage.line, words.join(" "))
        };
        passage.text.split_inclusive(['.', '!', '?']).filter(words).map(begin)
    });
    let lines: Vec<String> = long.collect();
    let list =
        format!("{} sentences of more than {LONGEST} words:\n{}", lines.len(), lines.concat());
    Ok(io::stdout().write_all(list.as_bytes())?)
}
