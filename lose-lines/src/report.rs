//! Results: each at once on standard output, as text or as a line of JSON, and all of them in a file for `JUnit`.

use core::time::Duration;
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use lose_lines_machine::machine::programs::End;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::check::in_words;

/// Tells a reader about the progress, on standard error. A closed terminal does not end a test.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "lose-lines: {text}"));
}

/// The time after which the progress of checks is noted.
const SILENT: Duration = Duration::from_secs(10);

/// Tells how far the checks of states are.
#[derive(Debug)]
pub struct Progress {
    all: usize,
    done: usize,
    failed: usize,
    noted: Instant,
}

impl Progress {
    /// Begins checks of at most this many states.
    pub fn new(all: usize) -> Self {
        Self { all, done: 0, failed: 0, noted: Instant::now() }
    }

    /// Counts a check.
    pub fn step(&mut self, has_failed: bool) {
        self.done += 1;
        self.failed += usize::from(has_failed);
        if self.noted.elapsed() > SILENT {
            self.noted = Instant::now();
            let Self { all, done, failed, .. } = self;
            note(&format!("checked {done} of at most {all} states; failed: {failed}"));
        }
    }
}

/// The characters of a program in the name of its recording: a name has 255 bytes, a character up to four.
const NAMED: usize = 50;

/// Returns the file in which a command keeps the recording of a program whose check failed. The command's next such run
/// replaces it.
pub fn recording_of(command: &str, program: &Path) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    let name = program.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let name: String = name.chars().take(NAMED).collect();
    env::temp_dir().join(format!("lose-lines-{command}-{user}-{name}.log"))
}

/// The report of one test.
#[derive(Debug)]
pub struct Report {
    command: &'static str,
    is_json: bool,
    pub seed: u64,
    /// Names of the tests with their failures.
    cases: Vec<(String, Option<String>)>,
    has_repeat: bool,
}

impl Report {
    /// Begins the report of this command. With JSON each result is a document in a line, with its kind in `event`.
    pub const fn new(command: &'static str, is_json: bool, seed: u64) -> Self {
        Self { command, is_json, seed, cases: Vec::new(), has_repeat: false }
    }

    /// Returns a result as it is printed; empty if it has no text.
    fn printed(&self, event: &str, text: &str, document: &impl Serialize) -> String {
        if self.is_json {
            let mut line = json!({ "command": self.command, "event": event });
            if let (Value::Object(line), Value::Object(more)) = (&mut line, json!(document)) {
                line.extend(more);
            }
            return format!("{line}\n");
        }
        if text.is_empty() { String::new() } else { text.trim_end().to_owned() + "\n" }
    }

    /// Prints a result of this kind at once, whatever fails afterwards. The document is an object.
    pub fn say(&self, event: &str, text: &str, document: &impl Serialize) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.printed(event, text, document).as_bytes())
            .and_then(|()| out.flush())
            .context("cannot print the results")
    }

    /// Reports the run that was recorded, with what it did.
    pub fn recorded(
        &self,
        (end, time): (Option<End>, Duration),
        counts: &[(&str, u64)],
        notes: &BTreeSet<String>,
    ) -> Result<()> {
        let seconds = time.as_secs_f64();
        let named = counts.iter().map(|(name, count)| (name.replace(' ', "_"), json!(count)));
        let document = json!({
            "seconds": seconds, "has_ended": end.is_some(), "code": end.and_then(|end| end.0), "seed": self.seed,
            "counts": named.collect::<Map<_, _>>(), "notes": notes,
        });
        let end = match end {
            Some((Some(0), _)) => String::from("succeeded"),
            Some(end) => in_words(end),
            None => String::from("did not end and was killed"),
        };
        let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let counts = counts.join(", ");
        let mut text = format!("recorded: the program {end} after {seconds:.1} s; {counts}");
        text.extend(notes.iter().flat_map(|note| ["\nnote: ", note]));
        self.say("recorded", &text, &document)
    }

    /// Adds a test that succeeded.
    pub fn passed(&mut self, name: String) {
        self.cases.push((name, None));
    }

    /// Adds a failure, which a printed command repeats.
    pub fn failed(&mut self, name: String, text: String) {
        self.cases.push((name, Some(text)));
    }

    /// Returns true if a check has failed.
    pub fn has_failed(&self) -> bool {
        self.cases.iter().any(|(_, failure)| failure.is_some())
    }

    /// Notes that a command was printed that reads the recording.
    pub const fn repeats(&mut self) {
        self.has_repeat = true;
    }

    /// Returns true if a printed command reads the recording.
    pub const fn needs_recording(&self) -> bool {
        self.has_repeat
    }

    /// Writes the report for `JUnit`.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failures = self.cases.iter().filter(|(_, failure)| failure.is_some()).count();
        let case = |(name, failure): &(String, Option<String>)| {
            let (name, failure) = (escaped(name), failure.as_deref().map(escaped));
            let failure = failure.map(|text| format!("<failure>{text}</failure>"));
            format!("  <testcase name=\"{name}\">{}</testcase>\n", failure.unwrap_or_default())
        };
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"lose-lines {}\" tests=\"{}\" failures=\"{failures}\">\n{}</testsuite>\n",
            self.command,
            self.cases.len(),
            self.cases.iter().map(case).collect::<String>()
        );
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn escaped(text: &str) -> String {
    let pairs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::Report;
    use serde_json::json;

    #[test]
    fn a_result_is_one_line_of_either_form() {
        let (text, document) = (Report::new("cut", false, 3), json!({ "seed": 3 }));
        assert_eq!(text.printed("recorded", "on ext4\n", &document), "on ext4\n");
        assert_eq!(text.printed("recorded", "", &document), "");
        assert_eq!(
            Report::new("cut", true, 3).printed("recorded", "on ext4", &document),
            "{\"command\":\"cut\",\"event\":\"recorded\",\"seed\":3}\n"
        );
    }
}
