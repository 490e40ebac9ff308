//! The output of results: headings and tables, without characters that a terminal would execute.

use crate::failure::unwritable;
use crate::streams;
use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use cachemaint_inspect::FileReport;
use cachemaint_inspect::survival::{Condition, Event, Stage, Survival};
use core::time::Duration;
use parse_size::Config;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::mem;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const UNSURE: Style = AnsiColor::Yellow.on_default();

/// The width of the column of labels.
const LABEL: usize = 12;
/// The width of a screen.
pub(crate) const WIDTH: usize = 80;

/// Prints a line of the command on standard error, without characters that a terminal executes: names of files and devices
/// can come from anywhere. A full disk or a closed pipe there ends no command.
macro_rules! tell {
    ($($words:tt)*) => { $crate::commands::text::write_error(format_args!($($words)*)) };
}
pub(crate) use tell;

/// By one call, so that lines of several commands stay whole.
pub(crate) fn write_error(words: fmt::Arguments<'_>) {
    let line = format!("cachemaint: {}\n", printable(words));
    io::stderr().write_all(line.as_bytes()).unwrap_or(());
}

/// Returns true for a character that a terminal executes, or that turns text around: control characters, those of C1
/// too, and those with the property `Bidi_Control` (Unicode Standard Annex 9).
fn is_executed(character: char) -> bool {
    let is_turning = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || is_turning
}

/// Returns the text without characters that a terminal executes: names of files and devices can come from anywhere.
pub(crate) fn printable(text: impl Display) -> String {
    let clean = |character: char| if is_executed(character) { '?' } else { character };
    text.to_string().chars().map(clean).collect()
}

/// The number of the form of JSON documents. It grows by one when a name changes its meaning or is removed.
pub(crate) const SCHEMA: u32 = 1;

/// A document of JSON about a file.
#[derive(Serialize)]
pub(crate) struct Document<'p, T> {
    schema: u32,
    path: Cow<'p, str>,
    #[serde(flatten)]
    rest: T,
}

impl<'p, T: Serialize> Document<'p, T> {
    pub(crate) fn of(path: &'p Path, rest: T) -> Self {
        Self { schema: SCHEMA, path: path.to_string_lossy(), rest }
    }
}

/// The form of JSON, without blanks. An integer beyond 2^53 is text, since readers that take numbers as doubles (jq 1.6,
/// JavaScript) round it silently.
struct Exact;

/// Integers up to this one are exact in a double.
const EXACT: u64 = 1 << 53;

impl Formatter for Exact {
    fn write_u64<W: ?Sized + Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value <= EXACT { write!(writer, "{value}") } else { write!(writer, "\"{value}\"") }
    }

    fn write_i64<W: ?Sized + Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        if value.unsigned_abs() <= EXACT {
            write!(writer, "{value}")
        } else {
            write!(writer, "\"{value}\"")
        }
    }
}

/// Appends a document as a line of JSON. Characters that a terminal executes are escaped.
pub(crate) fn write_json_line(
    out: &mut Vec<u8>,
    document: &impl Serialize,
) -> serde_json::Result<()> {
    let start = out.len();
    document.serialize(&mut Serializer::with_formatter(&mut *out, Exact))?;
    if let Some(json) = str::from_utf8(&out[start..]).ok().and_then(escaped) {
        out.truncate(start);
        out.extend_from_slice(json.as_bytes());
    }
    out.push(b'\n');
    Ok(())
}

/// Escapes the characters that JSON lets through, which can only be in its strings. Each has one unit in UTF-16. Returns
/// `None` without any of them.
fn escaped(json: &str) -> Option<String> {
    let is_left = |character: char| is_executed(character);
    // Nearly all output is of such bytes, and characters are slow to find.
    let is_plain = all_are(json.as_bytes(), |byte| matches!(byte, b' '..=b'~'));
    if is_plain || !json.contains(is_left) {
        return None;
    }
    let escape = |character| match character {
        left if is_left(left) => format!("\\u{:04x}", u32::from(left)),
        other => other.into(),
    };
    Some(json.chars().map(escape).collect())
}

/// Returns true if all bytes are of a kind. It ends between chunks only, so that many bytes are compared at once.
pub(crate) fn all_are(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.chunks(64).all(|chunk| chunk.iter().fold(true, |all, byte| all & is(*byte)))
}

pub(crate) fn heading(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{HEADING}{text}{HEADING:#}")
}

/// Writes a label and its value, which is wrapped at words to the width of the screen.
pub(crate) fn row(out: &mut impl Write, label: &str, value: impl Display) -> io::Result<()> {
    writeln!(out, "{}", wrapped(label, LABEL..WIDTH - 1, value))
}

/// Returns a label and its value, which is wrapped at words between two columns.
pub(crate) fn wrapped(label: &str, columns: Range<usize>, value: impl Display) -> String {
    let Range { start, end } = columns;
    let mut lines = Vec::new();
    let mut line = format!("{label:start$}");
    let mut is_begun = false;
    for word in printable(value).split(' ') {
        if is_begun && line.chars().count() + word.chars().count() > end {
            lines.push(mem::replace(&mut line, " ".repeat(start)));
        }
        line.extend([word, " "]);
        is_begun = true;
    }
    lines.push(line);
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// Standard output, without colours unless it is a terminal.
pub(crate) type Out = io::BufWriter<AutoStream<streams::Stdout>>;

/// Prints a result: the document as JSON, or text.
pub(crate) fn print(
    as_json: bool,
    document: &impl Serialize,
    write_text: impl FnOnce(&mut Out) -> io::Result<()>,
) -> anyhow::Result<()> {
    if as_json { write_json(document) } else { report(write_text) }
}

/// Prints a result in text, unless the user wants none.
pub(crate) fn report(write_text: impl FnOnce(&mut Out) -> io::Result<()>) -> anyhow::Result<()> {
    if is_quiet() {
        return Ok(());
    }
    let printed = streams::stdout().and_then(|out| {
        let mut out = io::BufWriter::new(AutoStream::auto(out));
        write_text(&mut out)?;
        out.flush()
    });
    printed.map_err(unwritable)
}

/// Prints one document by one call: `serde_json` hides from its callers that a pipe is broken.
pub(crate) fn write_json(document: &impl Serialize) -> anyhow::Result<()> {
    let mut line = Vec::new();
    write_json_line(&mut line, document)?;
    streams::stdout().and_then(|mut out| out.write_all(&line)).map_err(unwritable)
}

static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Notes the option `--quiet`.
pub(crate) fn be_quiet(is_quiet: bool) {
    IS_QUIET.store(is_quiet, Ordering::Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Returns seconds since 1970 as a time; `None` for 0, which is unknown, and for a time that no calendar has.
pub(crate) fn time(seconds: u64) -> Option<String> {
    (seconds > 0).then(|| utc(seconds)).flatten().map(|time| format!("{time}Z"))
}

/// The first second of the year 10000, which has more digits than a time of RFC 3339.
const YEAR_10000: u64 = 253_402_300_800;

/// Returns seconds since 1970 as a date and a time, without a zone; `None` after the year 9999. The numbers are days of the
/// Gregorian calendar, whose years begin in March here: the leap day is the last one (Hinnant, `civil_from_days`).
pub(crate) fn utc(seconds: u64) -> Option<String> {
    if seconds >= YEAR_10000 {
        return None;
    }
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

/// Writes the events that the bytes of a file survive, stored and persisted. A deep persist changes the source of an
/// answer and not the answer, so it has no column.
pub(crate) fn survival(out: &mut impl Write, report: &FileReport) -> io::Result<()> {
    heading(out, "What survives           stored only       persisted, deep or not")?;
    let mut conditions = Vec::new();
    for &event in Event::ALL {
        let mut cell = |stage| cell(report.survives(stage, event).answer, &mut conditions);
        let (stored_style, stored) = cell(Stage::Stored);
        let (style, persisted) = cell(Stage::Persisted);
        write!(out, "  {event:22}{stored_style}{stored:18}{stored_style:#}")?;
        writeln!(out, "{style}{persisted}{style:#}")?;
    }
    for (place, condition) in conditions.iter().enumerate() {
        writeln!(out, "  [{}] if {condition}", place + 1)?;
    }
    Ok(())
}

/// Returns a cell of the table. A condition is named by its number, and written once below.
fn cell(survival: Survival, conditions: &mut Vec<Condition>) -> (Style, String) {
    match survival {
        Survival::Yes => (GOOD, "yes".to_string()),
        Survival::No => (BAD, "no".to_string()),
        Survival::If(condition) => {
            let known = conditions.iter().position(|known| *known == condition);
            let place = known.unwrap_or_else(|| {
                conditions.push(condition);
                conditions.len() - 1
            });
            (UNSURE, format!("if [{}]", place + 1))
        }
        other => (UNSURE, other.to_string()),
    }
}

/// Returns a number with its thousands apart.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Returns a number of bytes in the largest unit that divides it.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| count >= *size && count.is_multiple_of(*size));
    unit.map_or_else(|| format!("{count} bytes"), |(size, name)| format!("{} {name}", count / size))
}

/// Parses bytes as they are written on a command line, in units of 1024: `4096`, `64k`, `1.5M`, `1GiB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let parsed = Config::new().with_binary().parse_size(text);
    parsed.map_err(|why| format!("{why}; write bytes such as 4096, 64k, 1.5M or 1GiB"))
}

/// Parses a time such as `10ms` or `1s`, which is not zero.
pub(crate) fn period(text: &str) -> Result<Duration, &'static str> {
    const UNITS: [(&str, f64); 6] =
        [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let unit =
        text.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
    let seconds = UNITS.into_iter().find(|(name, _)| *name == unit).map(|(_, seconds)| seconds);
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
    let time =
        seconds.zip(number).map(|(seconds, number)| Duration::try_from_secs_f64(seconds * number));
    time.and_then(Result::ok)
        .filter(|time| !time.is_zero())
        .ok_or("write a time such as 10ms or 1s")
}

#[cfg(test)]
mod tests {
    use super::{bytes, period, printable, row, size, thousands, time, write_json_line};
    use core::time::Duration;

    /// CSI of C1, an override of the direction and DEL, which JSON itself lets through; a newline, which it does not.
    #[test]
    fn json_has_nothing_that_a_terminal_executes() {
        let mut lines = b"\"before\"\n".to_vec();
        write_json_line(&mut lines, &"\u{9b}2J\u{202e}\u{7f}\nf\u{fc}r").unwrap();
        let expected = "\"before\"\n\"\\u009b2J\\u202e\\u007f\\nf\u{fc}r\"\n";
        assert_eq!(lines, expected.as_bytes());
        assert_eq!(printable("a\u{9b}\u{202e}b\n"), "a??b?");
    }

    /// 2^53 is the last integer up to which a double has each.
    #[test]
    fn integers_that_a_double_rounds_are_text() {
        let mut line = Vec::new();
        let limit = 9_007_199_254_740_992_u64;
        let document = serde_json::json!([limit, limit + 1, -9_007_199_254_740_993_i64, u64::MAX]);
        write_json_line(&mut line, &document).unwrap();
        let expected = "[9007199254740992,\"9007199254740993\",\"-9007199254740993\",\"18446744073709551615\"]\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
        assert_eq!(bytes(4 << 20), "4 MiB");
        assert_eq!(bytes(4097), "4097 bytes");
    }

    /// `date -u -d @SECONDS`: leap days, the days beside them, the turn of a year, and the last second of the year 9999.
    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (1, "1970-01-01T00:00:01Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(time(seconds).as_deref(), Some(expected), "{seconds}");
        }
        assert_eq!((time(0), time(253_402_300_800), time(u64::MAX)), (None, None, None));
    }

    #[test]
    fn periods_are_not_zero() {
        for (text, expected) in [
            ("10ms", Duration::from_millis(10)),
            ("1.5s", Duration::from_millis(1_500)),
            ("1ns", Duration::from_nanos(1)),
            ("2m", Duration::from_secs(120)),
        ] {
            assert_eq!(period(text), Ok(expected), "{text}");
        }
        for wrong in ["", "0ms", "-1s", "10", "ms", "1.2.3s", "1 s", "99999999999999999999h"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_written_in_units_of_1024() {
        for (text, expected) in [
            ("4096", 4096),
            ("64K", 65_536),
            ("1k", 1024),
            ("1.5M", 1_572_864),
            ("16MiB", 16_777_216),
            ("17179869183G", 18_446_744_072_635_809_792),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for wrong in ["", "K", "-1", "1X", "17179869184G", "18446744073709551616"] {
            let error = size(wrong).unwrap_err();
            assert!(error.ends_with("; write bytes such as 4096, 64k, 1.5M or 1GiB"), "{error}");
        }
    }

    #[test]
    fn long_values_are_wrapped_under_their_label() {
        let mut out = Vec::new();
        row(&mut out, "label", "word ".repeat(20).trim_end()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        assert!(lines[0].starts_with("label       word"));
        assert!(lines[1].starts_with("            word"));
    }
}
