//! `cachemaint caps`: the report on this machine, on one screen; and the long form of each topic.

mod explain;
mod require;

use super::text;
use crate::failure::misused;
use cachemaint_inspect::HostReport;
use clap::builder::PossibleValuesParser;
use explain::Topic;
use serde::Serialize;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;

/// Show what this machine promises: instructions, caches, persistent memory, survival
///
/// In scripts, demand facts with --require: if one is not given, the exit code is 1, and standard error has the reason and
/// the remedy. An unknown fact counts as not given.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print everything as JSON
    #[arg(short, long)]
    json: bool,
    /// Explain a topic with its sources, such as clwb, whole-cache or survival; without a topic, list the topics
    #[arg(long, value_name = "TOPIC", num_args = 0..=1, default_missing_value = LIST)]
    explain: Option<String>,
    /// Fail unless this machine has this: an instruction such as clwb, or one of these facts; can be repeated
    #[arg(
        long,
        value_name = "FACT",
        value_parser = PossibleValuesParser::new(require::values()),
        conflicts_with = "explain"
    )]
    require: Vec<String>,
}

/// The word that asks for the topics.
const LIST: &str = "list";

/// The last lines of the report.
const MORE: [&str; 2] = [
    "More          cachemaint inspect FILE: how a file is persisted, what it survives",
    "              cachemaint caps --explain: all topics, with reasons and sources",
];

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let report = HostReport::host();
    if let Some(topic) = &arguments.explain {
        return explain(&report, topic, arguments.json);
    }
    let refused = arguments.require.iter().filter_map(|fact| require::refused(&report, fact));
    let refused: Vec<String> = refused.collect();
    let is_asked = !arguments.require.is_empty();
    let document = Document { report: &report, refused: is_asked.then_some(&refused) };
    text::print(arguments.json, &document, |out| {
        write!(out, "{report}")?;
        MORE.iter().try_for_each(|line| writeln!(out, "{line}"))
    })?;
    for why in &refused {
        text::tell!("{why}");
    }
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a HostReport,
    /// The demands that are not met; missing if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a Vec<String>>,
}

fn explain(report: &HostReport, topic: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    if topic == LIST {
        let topics = explain::topics(report);
        let document = json!({"schema": text::SCHEMA, "topics": &topics});
        text::print(as_json, &document, |out| write_topics(out, &topics))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(explanation) = explain::explain(report, topic) else {
        let names: Vec<String> =
            explain::topics(report).into_iter().map(|topic| topic.name).collect();
        let names = names.join(", ");
        return Err(misused(format_args!("there is no topic {topic}; choose one of: {names}")));
    };
    let mut document = json!(explanation);
    document["schema"] = text::SCHEMA.into();
    text::print(as_json, &document, |out| {
        let words = explanation.to_string();
        let (title, rest) = words.split_once('\n').unwrap_or((&words, ""));
        text::heading(out, title)?;
        write!(out, "{rest}")
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write_topics(out: &mut impl Write, topics: &[Topic]) -> io::Result<()> {
    text::heading(out, "cachemaint caps --explain TOPIC")?;
    topics.iter().try_for_each(|Topic { name, title }| writeln!(out, "  {name:20} {title}"))
}
