//! The English of comments, documents and messages, and the links of documents.
//!
//! `xtask/prose.txt` lists turns of phrase that a reader has to read twice, each with the number of places that may
//! still have it. Sentences of more than 35 words are counted in the same way.

#[cfg(test)]
mod excerpts;
mod links;
mod passages;
mod phrases;

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::command::Cmd;
use crate::host::Host;
use crate::report::{Finding, Report, Tests};

const PHRASES: &str = "xtask/prose.txt";
/// The greatest number of words of a sentence that is not too long.
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
    let (headers, programs) = (sources(host, "*.h")?, sources(host, "*.c")?);
    report.check(
        "phrases",
        "no listed turn of phrase is used more often than permitted",
        || {
            let mut passages = Vec::new();
            for source in &code {
                passages.extend(passages::of_rust(source)?);
            }
            passages.extend(headers.iter().chain(&programs).flat_map(passages::of_c));
            passages.extend(documents.iter().flat_map(passages::of_markdown));
            let list = fs::read_to_string(host.root().join(PHRASES))
                .with_context(|| format!("cannot read {PHRASES}"))?;
            let faults = phrases::faults(&phrases::parse(&list)?, &passages);
            ensure!(faults.is_empty(), "{}", faults.join("\n"));
            Ok(Finding::passed(Tests::default()))
        },
    )?;
    report.check(
        "links",
        "every link leads to a file or an item, and those of documents to a heading",
        || {
            let built = Cmd::cargo("doc --workspace --no-deps --all-features")
                .env("RUSTDOCFLAGS", "-D warnings")
                .check()?;
            if built.failure().is_some() {
                return Ok(built);
            }
            let pages = host.target_dir("doc");
            let mut faults = links::faults(host.root(), &pages, &documents);
            faults.extend(links::faults_of_pages(&pages.join("cachemaint"))?);
            ensure!(faults.is_empty(), "{} broken links:\n{}", faults.len(), faults.join("\n"));
            Ok(Finding::passed(Tests::default()))
        },
    )
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
