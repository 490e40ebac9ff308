//! The expected output of `cachemaint caps --json` on a machine, as a file under `testing/lab/expected`, and the
//! differences of a report from it.
//!
//! A file has two keys. `source` names, for each part of the report, the manual, kernel file or definition of the
//! machine that demands it, so that a value never comes from a run. `report` is a subset of the report: each of its
//! values must be there and equal. A list of objects that have a `name` is a subset too, matched by name; every other
//! list must be equal.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The folder of the files in the workspace.
pub(super) const FOLDER: &str = "testing/lab/expected";

/// The expected report of a machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    source: Map<String, Value>,
    report: Value,
}

impl Expectation {
    /// Reads the file `name` of the workspace at `tree`.
    pub(crate) fn read(tree: &Path, name: &str) -> Result<Self> {
        let file = tree.join(FOLDER).join(format!("{name}.json"));
        let read = || Self::parse(&fs::read_to_string(&file)?);
        read().with_context(|| format!("cannot use {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let expectation: Self = serde_json::from_str(text)?;
        ensure!(!expectation.source.is_empty(), "it names no source");
        Ok(expectation)
    }

    /// Returns one line for each value that differs from the expected report. A report that cannot be read is a
    /// difference.
    pub(crate) fn differences(&self, report: &str) -> Vec<String> {
        let mut differences = Vec::new();
        match serde_json::from_str(report) {
            Ok(found) => compare("", &self.report, Some(&found), &mut differences),
            Err(error) => differences.push(format!("the report is not JSON: {error}")),
        }
        differences
    }

    /// Returns the expected choice, in the words that the test `chosen_here` reads from `CACHEMAINT_EXPECT`.
    pub(crate) fn choice(&self) -> Result<String> {
        let items = [
            ("writeback", "/cpu/writeback/coherency", "instruction"),
            ("persistence", "/cpu/writeback/persistence", "instruction"),
            ("deep", "/cpu/writeback/deep_persistence", "instruction"),
            ("line", "/cpu/line", "bytes"),
        ];
        let item = |(name, place, key)| Ok(format!("{name}={}", self.answer(place, key)?));
        Ok(items.into_iter().map(item).collect::<Result<Vec<_>>>()?.join(","))
    }

    /// Returns the value `key` of the answer at `place`, or that it is refused.
    fn answer(&self, place: &str, key: &str) -> Result<String> {
        let answer = self.report.pointer(place);
        let answer = answer.with_context(|| format!("it demands nothing at {place}"))?;
        match (answer.get("available"), answer.get(key)) {
            (Some(Value::Bool(false)), None) => Ok(String::from("refused")),
            (_, Some(Value::String(text))) => Ok(text.clone()),
            (_, Some(value)) => Ok(value.to_string()),
            (_, None) => bail!("it demands neither {key} nor a refusal at {place}"),
        }
    }
}

/// Adds the differences between `found` and the expected value at `path`.
fn compare(path: &str, expected: &Value, found: Option<&Value>, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(fields), Some(Value::Object(there))) => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                compare(&format!("{path}{dot}{key}"), value, there.get(key), differences);
            }
        }
        (Value::Array(items), Some(Value::Array(there))) if are_named(items) => {
            for item in items {
                let name = item.get("name");
                let namesake = there.iter().find(|other| other.get("name") == name);
                let name = name.and_then(Value::as_str).unwrap_or_default();
                compare(&format!("{path}[{name}]"), item, namesake, differences);
            }
        }
        (_, Some(found)) if expected == found => {}
        (_, Some(found)) => {
            differences.push(format!("{path}: expected {expected}, found {found}"));
        }
        (_, None) => differences.push(format!("{path}: expected {expected}, found nothing")),
    }
}

/// Returns true if this is a list of objects with names. An empty list demands that the report's list is empty.
fn are_named(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get("name").is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::Expectation;

    const REPORT: &str = r#"{
        "schema": 1,
        "cpu": {
            "line": {"available": true, "bytes": 64},
            "instructions": [
                {"name": "dc cvac", "status": "present", "point": "coherency"},
                {"name": "dc cvap", "status": "absent", "missing": "instruction"}
            ],
            "writeback": {
                "coherency": {"available": true, "instruction": "dc cvac", "before": null},
                "persistence": {"available": false, "missing": "point"},
                "deep_persistence": {"available": false, "missing": "point"}
            },
            "notes": []
        }
    }"#;

    fn expecting(report: &str) -> Expectation {
        Expectation::parse(&format!(r#"{{"source": {{"all": "a manual"}}, "report": {report}}}"#))
            .unwrap()
    }

    fn differences(report: &str) -> Vec<String> {
        expecting(report).differences(REPORT)
    }

    #[test]
    fn each_value_that_is_not_as_expected_is_named_with_its_place() {
        let subset = r#"{"cpu": {
            "line": {"bytes": 64},
            "instructions": [{"name": "dc cvap", "status": "absent"}],
            "writeback": {"coherency": {"before": null}},
            "notes": []
        }}"#;
        assert_eq!(differences(subset), [""; 0]);
        assert_eq!(differences(REPORT), [""; 0]);
        assert_eq!(
            differences(
                r#"{"cpu": {
                    "line": {"bytes": 256, "granule": null},
                    "instructions": [{"name": "dc cvap", "status": "present"}, {"name": "dc cvadp"}]
                }}"#
            ),
            [
                r#"cpu.instructions[dc cvap].status: expected "present", found "absent""#,
                r#"cpu.instructions[dc cvadp]: expected {"name":"dc cvadp"}, found nothing"#,
                "cpu.line.bytes: expected 256, found 64",
                "cpu.line.granule: expected null, found nothing",
            ]
        );
    }

    #[test]
    fn the_choice_is_in_the_words_of_the_test() {
        assert_eq!(
            expecting(REPORT).choice().unwrap(),
            "writeback=dc cvac,persistence=refused,deep=refused,line=64"
        );
    }
}
