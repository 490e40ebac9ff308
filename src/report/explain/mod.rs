//! The long form of the report: each topic in words, with what it is on this machine, who says so and
//! how sure it is.
//!
//! What the report has as data is taken from there, so that no sentence here can disagree with it:
//! instructions, fences and refusals from the architecture, effects of hypervisors and survival from
//! their tables, regions from the tree.

mod cpu;
mod guest;
mod persistence;

use super::host::HostReport;
use super::screen::row;
use crate::survival::{Certainty, Statement};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};

/// What can be explained: a name to ask by, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Topic {
    /// The name, in lower case with hyphens.
    pub name: String,
    /// What it is about, in one line.
    pub title: String,
}

/// A topic in its long form. It prints in 80 columns with `{}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// What is explained.
    pub topic: Topic,
    /// What there is to say, the answer for this machine first.
    pub entries: Vec<Entry>,
}

/// One thing that there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Entry {
    /// What it is about, in a word or two.
    pub about: String,
    /// The words.
    pub text: String,
    /// Who says so; empty if it is what this machine answered.
    pub source: String,
    /// How sure it is; `None` if it is what this machine answered.
    pub certainty: Option<Certainty>,
}

impl Entry {
    /// What this machine answered.
    fn here(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { about: about.into(), text: text.into(), source: String::new(), certainty: None }
    }

    /// What somebody says.
    fn said(about: impl Into<String>, text: impl Into<String>, source: impl Into<String>) -> Self {
        let (about, text, source) = (about.into(), text.into(), source.into());
        Self { about, text, source, certainty: Some(Certainty::Documented) }
    }

    fn sure(self, certainty: Certainty) -> Self {
        Self { certainty: Some(certainty), ..self }
    }

    /// The same source for these words.
    fn saying(self, text: String) -> Self {
        Self { text, ..self }
    }

    fn stated<T>(about: impl Into<String>, statement: &Statement<T>) -> Self {
        Self::said(about, statement.text, statement.source).sure(statement.certainty)
    }
}

/// What a topic says of a machine.
type Explain = fn(&HostReport) -> Vec<Entry>;

/// The topics that every machine has; each instruction of its architecture is one more.
const TOPICS: [(&str, &str, Explain); 20] = [
    ("fences", "which fence completes what", cpu::fences),
    ("points", "how far a write-back is aimed, and what reaches it", cpu::points),
    ("line", "the unit that one instruction works on", cpu::line),
    ("granule", "what to pad and align to", cpu::granule),
    ("streaming-stores", "whether stores that bypass the cache leave it", cpu::streaming_stores),
    ("whole-cache", "the whole cache at once, and who refuses it", cpu::whole_cache),
    ("aliasing", "whether one page can be in the data cache twice", cpu::aliasing),
    ("shmlba", "where shared mappings of one page must lie", cpu::shmlba),
    ("hypervisor", "whose guest this is, and what that changes", guest::hypervisor),
    ("confidential", "encrypted and isolated guests", guest::confidential),
    ("container", "what a container changes, and what it hides", guest::container),
    ("live-migration", "what may change while a program runs", guest::live_migration),
    ("persistence-domains", "what power loss does not lose, by whose word", persistence::domains),
    ("adr", "the domain that ends at the memory controller", persistence::adr),
    ("eadr", "the domain that has the CPU caches in it", persistence::eadr),
    ("gpf", "Global Persistent Flush of CXL devices", persistence::gpf),
    ("granularity", "the smallest unit that is made persistent", persistence::granularity),
    ("map-sync", "what MAP_SYNC promises, and what it does not", persistence::map_sync),
    ("deep-persist", "what a deep flush adds", persistence::deep_persist),
    ("survival", "what survives what, cell by cell", persistence::survival),
];

impl HostReport {
    /// What can be explained: the instructions of this architecture, and what the report's rows are
    /// about.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        let instructions = self.cpu.instructions().map(|availability| Topic {
            name: name_of(availability.instruction.name),
            title: "the instruction: what it does, and whether it is here".to_string(),
        });
        let others = TOPICS.iter().map(|(name, title, _)| Topic {
            name: (*name).to_string(),
            title: (*title).to_string(),
        });
        instructions.chain(others).collect()
    }

    /// The long form of a topic on this machine; `None` if there is no topic of this name. Blanks and
    /// underscores stand for hyphens, and case does not matter: `dc cvap` is `dc-cvap`.
    ///
    /// ```
    /// let report = cachemaint::report::HostReport::host();
    /// let survival = report.explain("survival").expect("every machine has this topic");
    /// println!("{survival}");
    /// ```
    #[must_use]
    pub fn explain(&self, topic: &str) -> Option<Explanation> {
        let name = name_of(topic);
        let topic = self.topics().into_iter().find(|topic| topic.name == name)?;
        let entries = match TOPICS.iter().find(|(known, ..)| *known == name) {
            Some((.., explain)) => explain(self),
            None => cpu::instruction(self, &name)?,
        };
        Some(Explanation { topic, entries })
    }
}

/// The name to ask by.
fn name_of(text: &str) -> String {
    let plain = |c: char| if matches!(c, ' ' | '_') { '-' } else { c.to_ascii_lowercase() };
    text.trim().chars().map(plain).collect()
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.topic.name, self.topic.title)?;
        for entry in &self.entries {
            writeln!(f)?;
            row(f, &entry.about, format_args!("{}", entry.text))?;
            if let Some(certainty) = entry.certainty {
                row(f, "", format_args!("[{}: {}]", certainty.name(), entry.source))?;
            }
        }
        Ok(())
    }
}
