//! Results on standard output, each at once: a line of text, or a line of JSON.

use core::fmt::Display;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// Tells a reader about the progress, on standard error. A closed terminal does not end a test.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "lose-lines: {text}"));
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
