//! `cachemaint caps`: the report on this machine, on one screen; and the long form of each topic.

mod explain;

use super::text;
use anstyle::{AnsiColor, Style};
use cachemaint::report::HostReport;
use explain::{Explanation, Topic};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// Show the promises of this machine: instructions, fences, caches, persistent memory, the survival of data
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print everything as JSON
    #[arg(short, long)]
    json: bool,
    /// Print the long form of a topic with its sources, such as `clwb`, `whole-cache`, `survival`;
    /// without a topic, or for `list`, the topics
    #[arg(long, value_name = "TOPIC", num_args = 0..=1, default_missing_value = LIST)]
    explain: Option<String>,
}

/// The word that asks for the topics.
const LIST: &str = "list";

/// The last lines of the report.
const MORE: [&str; 2] = [
    "More          cachemaint inspect FILE: a file's own medium, by lines or by msync",
    "              cachemaint caps --explain: all topics, with reasons and sources",
];

#[derive(Serialize)]
struct Topics {
    schema: u32,
    topics: Vec<Topic>,
}

#[derive(Serialize)]
struct Explained {
    schema: u32,
    #[serde(flatten)]
    explanation: Explanation,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let report = HostReport::host();
    if let Some(topic) = &arguments.explain {
        return explain(&report, topic, arguments.json);
    }
    text::print(arguments.json, &report, |out| {
        write_painted(out, &report.to_string())?;
        MORE.iter().try_for_each(|line| writeln!(out, "{}", painted(line)))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn explain(report: &HostReport, topic: &str, json: bool) -> anyhow::Result<ExitCode> {
    if topic == LIST {
        let document = Topics { schema: text::SCHEMA, topics: explain::topics(report) };
        text::print(json, &document, |out| write_topics(out, &document.topics))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(explanation) = explain::explain(report, topic) else {
        let names: Vec<String> =
            explain::topics(report).into_iter().map(|topic| topic.name).collect();
        let names = names.join(", ");
        text::tell!("nothing is known here of {topic}; the topics of this machine are {names}");
        // The exit code is that of any other argument that is not understood.
        return Ok(ExitCode::from(2));
    };
    let document = Explained { schema: text::SCHEMA, explanation };
    text::print(json, &document, |out| {
        let words = document.explanation.to_string();
        let (title, rest) = words.split_once('\n').unwrap_or((&words, ""));
        text::heading(out, title)?;
        write_painted(out, rest)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write_topics(out: &mut impl Write, topics: &[Topic]) -> io::Result<()> {
    text::heading(out, "cachemaint caps --explain TOPIC")?;
    topics.iter().try_for_each(|Topic { name, title }| writeln!(out, "  {name:20} {title}"))
}

fn write_painted(out: &mut impl Write, text: &str) -> io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "{}", painted(line)))
}

/// The column where the text of a row begins, behind its label.
const TEXT: usize = 14;

/// Returns the line with its label in bold and its verdicts in colour; anstream takes the colours out unless this is a
/// terminal.
fn painted(line: &str) -> String {
    let (label, text) = match line.split_at_checked(TEXT) {
        Some((label, text)) if !label.starts_with(' ') => (label, text),
        _ => ("", line),
    };
    let is_table = line.strip_prefix("  ").is_some_and(|rest| !rest.starts_with(' '));
    let bold = if label.is_empty() { Style::new() } else { Style::new().bold() };
    let mut painted = format!("{bold}{label}{bold:#}");
    for piece in text.split_inclusive(' ') {
        let word = piece.trim_end();
        let style = if is_table { cell(word) } else { verdict(word) };
        let blank = &piece[word.len()..];
        painted.extend([&format!("{style}{word}{style:#}"), blank]);
    }
    painted
}

/// Returns the colour of a word in a row.
fn verdict(word: &str) -> Style {
    match word {
        "present" => GREEN,
        "absent" | "refused" | "no:" | "none:" => RED,
        "unknown:" | "hidden?" => YELLOW,
        _ => Style::new(),
    }
}

/// Returns the colour of a word in the survival table.
fn cell(word: &str) -> Style {
    match word {
        "yes" => GREEN,
        "no" => RED,
        "if" | "?" => YELLOW,
        _ => Style::new(),
    }
}

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

#[cfg(test)]
mod tests {
    use super::painted;

    /// Colours may add to a line and never change its text.
    #[test]
    fn colours_only_add() {
        for line in [
            "Whole cache   no: WBINVD is privileged, and no one may",
            "              clflush    present writes back, drops    CPUID.1:EDX[19]",
            "  pmem, ADR      yes             yes             ? / yes         no / yes",
            "Short",
            "",
        ] {
            assert_eq!(anstream::adapter::strip_str(&painted(line)).to_string(), line);
        }
    }

    #[test]
    fn verdicts_are_coloured_and_prose_is_not() {
        let line = painted("Whole cache   no: no x86 instruction");
        assert_eq!(line.matches("\u{1b}[31m").count(), 1, "{line:?}");
        let row = painted("  RAM (tmpfs)    yes             no              no              no");
        assert_eq!(row.matches("\u{1b}[31m").count(), 3, "{row:?}");
    }
}
