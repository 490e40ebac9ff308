//! The measured figures of the guide, written from recorded results.
//!
//! `docs/figures/NAME.json` is a record: what was measured, on which machine, and when. A benchmark writes one to
//! `target/figures/NAME.json`; copy it to `docs/figures` to publish it. This module writes each table between
//! `<!-- figures: NAME -->` and `<!-- end -->`, so that a figure is typed nowhere.

use core::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The page with the tables.
const PAGE: &str = "docs/figures.md";

/// The recorded results of a benchmark.
#[derive(Debug, Deserialize)]
struct Record {
    operation: String,
    cpu: String,
    kernel: String,
    medium: String,
    /// Year, month, day.
    date: String,
    method: String,
    /// Of every number.
    unit: String,
    #[serde(default)]
    note: String,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    results: Vec<Measured>,
}

/// What was measured of a contender.
#[derive(Debug, Deserialize)]
struct Measured {
    name: String,
    value: Value,
}

/// A median; the lowest and the highest one; a median with its interval; or words.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Median([f64; 1]),
    Range([f64; 2]),
    Interval([f64; 3]),
    Words(String),
}

/// Writes the tables.
pub(crate) fn write(root: &Path) -> Result<()> {
    fs::write(root.join(PAGE), page(root)?).context(PAGE)
}

/// Returns the page, as the records demand it.
fn page(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join(PAGE)).context(PAGE)?;
    fill(&text, |name| table(&record(root, name)?)).context(PAGE)
}

fn record(root: &Path, name: &str) -> Result<Record> {
    let path = format!("docs/figures/{name}.json");
    let text = fs::read_to_string(root.join(&path)).with_context(|| path.clone())?;
    let record: Record = serde_json::from_str(&text).with_context(|| path.clone())?;
    for result in record.cases.iter().flat_map(|case| &case.results) {
        if let Value::Interval([median, low, high]) = &result.value {
            let is_around = low <= median && median <= high;
            ensure!(is_around, "{path}: {}: the interval is beside the median", result.name);
        }
    }
    Ok(record)
}

/// Returns a page with the text of each marker in place.
fn fill(page: &str, of: impl Fn(&str) -> Result<String>) -> Result<String> {
    const BEGIN: &str = "<!-- figures: ";
    const END: &str = "<!-- end -->";
    let mut parts = page.split(BEGIN);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->").context("a marker does not end")?;
        let (_, rest) = rest.split_once(END).with_context(|| format!("{name} has no {END}"))?;
        write!(filled, "{BEGIN}{name} -->\n{}{END}{rest}", of(name)?)?;
    }
    Ok(filled)
}

/// Returns the machine and the method, and a table with a row for each case and a column for each contender.
fn table(record: &Record) -> Result<String> {
    let Record { operation, method, note, cases, .. } = record;
    let said = [operation.clone(), machine(record), method.clone(), note.clone()];
    let said: Vec<_> =
        said.iter().filter(|text| !text.is_empty()).map(|text| sentence(text)).collect();
    let mut columns: Vec<&str> = Vec::new();
    for result in cases.iter().flat_map(|case| &case.results) {
        if !columns.contains(&result.name.as_str()) {
            columns.push(&result.name);
        }
    }
    let mut table = format!("{}\n\n| | {} |\n", said.join(" "), columns.join(" | "));
    writeln!(table, "|---|{}", "---|".repeat(columns.len()))?;
    for case in cases {
        let cell = |name: &&str| {
            let found = case.results.iter().find(|result| result.name == *name);
            found.map(|result| result.value.words(&record.unit)).unwrap_or_default()
        };
        let cells: Vec<_> = columns.iter().map(cell).collect();
        writeln!(table, "| {} | {} |", case.name, cells.join(" | "))?;
    }
    Ok(table)
}

fn machine(Record { cpu, kernel, medium, date, .. }: &Record) -> String {
    format!("{cpu}, {kernel}, {medium}, {date}")
}

fn sentence(text: &str) -> String {
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}.", first.to_uppercase())
}

impl Value {
    fn high(&self) -> f64 {
        match self {
            Self::Median([high]) | Self::Range([_, high]) | Self::Interval([.., high]) => *high,
            Self::Words(_) => 0.0,
        }
    }

    fn words(&self, unit: &str) -> String {
        let (scale, unit) = scaled(self.high(), unit);
        let of = |value: &f64| number(value * scale);
        match self {
            Self::Median([median]) => format!("{}{unit}", of(median)),
            Self::Range([low, high]) => format!("{} to {}{unit}", of(low), of(high)),
            Self::Interval([median, low, high]) => {
                format!("{}{unit} ({} to {})", of(median), of(low), of(high))
            }
            Self::Words(words) => words.clone(),
        }
    }
}

/// Returns the factor and the words of the unit in which a value is printed.
fn scaled(value: f64, unit: &str) -> (f64, String) {
    match unit {
        "" => (1.0, String::new()),
        "ns" if value >= 5e3 => (1e-3, " µs".to_owned()),
        unit => (1.0, format!(" {unit}")),
    }
}

/// Returns a number with at most three digits, as far as they were recorded.
fn number(value: f64) -> String {
    let digits = [100.0, 10.0, 0.0].iter().position(|least| value >= *least).unwrap_or(0);
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{PAGE, Record, fill, page, table};
    use std::fs;
    use std::path::Path;

    const RECORD: &str = r#"{"operation": "append", "cpu": "A CPU", "kernel": "Linux 6.18", "medium": "DRAM",
        "date": "2026-11-30", "method": "medians of 201 blocks", "unit": "ns", "cases": [{"name": "append 64 B",
        "results": [{"name": "cachemaint", "value": [200.0, 190.0, 210.0]},
            {"name": "libpmemlog", "value": [400.0, 380.5, 420.0]}]}]}"#;

    fn record() -> Record {
        serde_json::from_str(RECORD).unwrap()
    }

    /// `BLESS=1` or `cargo xtask figures` writes them.
    #[test]
    fn the_page_shows_the_recorded_figures() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let expected = page(root).unwrap();
        if std::env::var_os("BLESS").is_some() {
            fs::write(root.join(PAGE), &expected).unwrap();
        }
        let found = fs::read_to_string(root.join(PAGE)).unwrap();
        assert!(found == expected, "{PAGE}: `cargo xtask figures` writes it");
    }

    #[test]
    fn a_table_has_the_machine_and_a_column_for_each_contender() {
        assert_eq!(
            table(&record()).unwrap(),
            "Append. A CPU, Linux 6.18, DRAM, 2026-11-30. Medians of 201 blocks.\n\n\
             | | cachemaint | libpmemlog |\n|---|---|---|\n| append 64 B | 200 ns (190 to 210) | 400 ns (380 to 420) |\n"
        );
    }

    #[test]
    fn a_marker_takes_its_table_and_leaves_the_rest_of_the_page() {
        let page = "a\n<!-- figures: b -->\nold\n<!-- end -->\nc\n";
        let filled = fill(page, |name| Ok(format!("{name}!\n"))).unwrap();
        assert_eq!(filled, "a\n<!-- figures: b -->\nb!\n<!-- end -->\nc\n");
        assert!(fill("<!-- figures: b -->\n", |_| Ok(String::new())).is_err());
    }
}
