//! Results on standard output, each at once: a line of text, or a line of JSON.

use core::fmt::Display;
use core::time::Duration;
use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// Tells a reader about the progress, on standard error. A closed terminal does not end a test.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "lose-lines: {text}"));
}

/// The time after which the progress of checks is told.
const SILENT: Duration = Duration::from_secs(10);

/// Tells how far the checks of states are.
#[derive(Debug)]
pub struct Progress {
    all: usize,
    done: usize,
    failed: usize,
    told: Instant,
}

impl Progress {
    /// Begins checks of at most this many states.
    pub fn new(all: usize) -> Self {
        Self { all, done: 0, failed: 0, told: Instant::now() }
    }

    /// Counts a check.
    pub fn step(&mut self, has_failed: bool) {
        self.done += 1;
        self.failed += usize::from(has_failed);
        if self.told.elapsed() > SILENT {
            self.told = Instant::now();
            let Self { all, done, failed, .. } = self;
            note(&format!("checked {done} of at most {all} states; failed: {failed}"));
        }
    }
}

/// Returns the file that keeps the recording of a program whose check failed. The next such run replaces it.
pub fn recording_of(program: &Path) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    let name = program.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    env::temp_dir().join(format!("lose-lines-{user}-{name}.log"))
}

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    /// One document a line, with the kind of the result in `event`.
    Json,
}

impl Form {
    pub const fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }

    /// Returns a result of this kind as it is printed; empty if it has no text.
    fn printed(self, event: &str, text: &impl Display, document: &impl Serialize) -> String {
        match self {
            Self::Text => {
                let text = text.to_string();
                if text.is_empty() { text } else { text.trim_end().to_owned() + "\n" }
            }
            Self::Json => {
                let mut line = json!({ "event": event });
                if let (Value::Object(line), Value::Object(more)) = (&mut line, json!(document)) {
                    line.extend(more);
                }
                format!("{line}\n")
            }
        }
    }

    /// Prints a result of this kind at once, whatever fails afterwards. The document is an object.
    pub fn say(self, event: &str, text: &impl Display, document: &impl Serialize) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.printed(event, text, document).as_bytes())
            .and_then(|()| out.flush())
            .context("cannot print the results")
    }
}

#[cfg(test)]
mod tests {
    use super::Form;
    use serde_json::json;

    #[test]
    fn a_result_is_one_line_of_either_form() {
        let document = json!({ "seed": 3 });
        assert_eq!(Form::Text.printed("recorded", &"on ext4\n", &document), "on ext4\n");
        assert_eq!(Form::Text.printed("recorded", &"", &document), "");
        assert_eq!(
            Form::Json.printed("recorded", &"on ext4", &document),
            "{\"event\":\"recorded\",\"seed\":3}\n"
        );
    }
}
