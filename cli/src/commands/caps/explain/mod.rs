//! The long form of the report: each topic in words, with its facts on this machine, their sources and their certainty.
//!
//! Facts of the report are taken from there, so that no sentence here can disagree with it. Instructions, fences and
//! refusals come from the architecture, effects of hypervisors and survival from their tables, regions from the kernel.

mod cpu;
mod guest;
mod persistence;
#[cfg(test)]
mod tests;

use super::TEXT;
use crate::commands::text::wrapped;
use cachemaint::report::HostReport;
use cachemaint::survival::{Certainty, Statement};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// Columns of a screen.
const WIDTH: usize = 80;

/// A name to ask by, and the subject of its explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Topic {
    /// The name, in lower case with hyphens.
    pub(super) name: String,
    /// The subject, in one line.
    pub(super) title: String,
}

/// A topic in its long form. It prints in 80 columns.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    topic: Topic,
    /// The answer for this machine comes first.
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    /// The subject in a word or two.
    about: String,
    text: String,
    /// The source of the text; empty for an answer of this machine.
    source: String,
    /// `None` for an answer of this machine.
    certainty: Option<Certainty>,
}

impl Entry {
    /// Returns an answer of this machine.
    fn here(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { about: about.into(), text: text.into(), source: String::new(), certainty: None }
    }

    /// Returns a statement of a document.
    fn said(about: impl Into<String>, text: impl Into<String>, source: impl Into<String>) -> Self {
        let (about, text, source) = (about.into(), text.into(), source.into());
        Self { about, text, source, certainty: Some(Certainty::Documented) }
    }

    fn sure(self, certainty: Certainty) -> Self {
        Self { certainty: Some(certainty), ..self }
    }

    /// Returns the same source for another text.
    fn saying(self, text: String) -> Self {
        Self { text, ..self }
    }

    fn stated<T>(about: impl Into<String>, statement: &Statement<T>) -> Self {
        Self::said(about, statement.text, statement.source).sure(statement.certainty)
    }
}

type Explain = fn(&HostReport) -> Vec<Entry>;

/// The topics that every machine has; each instruction of its architecture is one more.
const TOPICS: [(&str, &str, Explain); 18] = [
    ("fences", "the fences, and the operations that each completes", cpu::fences),
    ("points", "the points of a write-back, and the instructions to them", cpu::points),
    ("line", "the unit that one instruction works on, and that to pad to", cpu::line),
    (
        "streaming-stores",
        "stores that bypass the cache, and their effect on it",
        cpu::streaming_stores,
    ),
    ("whole-cache", "the whole cache at once, and the reasons for a refusal", cpu::whole_cache),
    ("aliasing", "one page in the data cache twice, and SHMLBA", cpu::aliasing),
    ("hypervisor", "the hypervisor of this guest, and its effects", guest::hypervisor),
    ("confidential", "encrypted and isolated guests", guest::confidential),
    ("container", "the effects of a container, and the files it hides", guest::container),
    ("live-migration", "changes while a program runs", guest::live_migration),
    (
        "persistence-domains",
        "memory that survives power loss, and its guarantor",
        persistence::domains,
    ),
    ("adr", "the domain that ends at the memory controller", persistence::adr),
    ("eadr", "the domain that has the CPU caches in it", persistence::eadr),
    ("gpf", "Global Persistent Flush of CXL devices", persistence::gpf),
    ("granularity", "the smallest unit that is made persistent", persistence::granularity),
    ("map-sync", "the promise of MAP_SYNC, and its limits", persistence::map_sync),
    ("deep-persist", "the additional promise of a deep flush", persistence::deep_persist),
    ("survival", "the events that each medium survives, cell by cell", persistence::survival),
];

/// Returns the instructions of this architecture, and the subjects of the report's rows.
pub(super) fn topics(report: &HostReport) -> Vec<Topic> {
    let instructions = report.cpu.instructions().map(|availability| Topic {
        name: name_of(availability.instruction.name),
        title: "the instruction: its effect, and its presence here".to_string(),
    });
    let others = TOPICS
        .iter()
        .map(|(name, title, _)| Topic { name: (*name).to_string(), title: (*title).to_string() });
    instructions.chain(others).collect()
}

/// Returns the long form of a topic on this machine; `None` if no topic has this name. Blanks and
/// underscores stand for hyphens, and case does not matter: `dc cvap` is `dc-cvap`.
pub(super) fn explain(report: &HostReport, topic: &str) -> Option<Explanation> {
    let name = name_of(topic);
    let topic = topics(report).into_iter().find(|topic| topic.name == name)?;
    let entries = match TOPICS.iter().find(|(known, ..)| *known == name) {
        Some((.., explain)) => explain(report),
        None => cpu::instruction(report, &name)?,
    };
    Some(Explanation { topic, entries })
}

/// Returns the name to ask by.
fn name_of(text: &str) -> String {
    let plain = |c: char| if matches!(c, ' ' | '_') { '-' } else { c.to_ascii_lowercase() };
    text.trim().chars().map(plain).collect()
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.topic.name, self.topic.title)?;
        for Entry { about, text, source, certainty } in &self.entries {
            writeln!(f, "\n{}", wrapped(about, TEXT..WIDTH, broken(text)))?;
            if let Some(certainty) = certainty {
                let source = format!("[{certainty}: {source}]");
                writeln!(f, "{}", wrapped("", TEXT..WIDTH, source))?;
            }
        }
        Ok(())
    }
}

/// Breaks words that are too long for any line, as the kernel's paths can be.
fn broken(text: &str) -> String {
    let pieces = |word: &str| {
        let letters: Vec<char> = word.chars().collect();
        letters.chunks(WIDTH - TEXT).map(String::from_iter).collect::<Vec<_>>().join(" ")
    };
    text.split(' ').map(pieces).collect::<Vec<_>>().join(" ")
}
