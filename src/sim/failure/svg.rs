//! A failure as a drawing: time goes to the right, each line of memory is a row of its words.

use super::Failure;
use super::crash::Crash;
use crate::sim::failure::violation::ViolationKind;
use crate::sim::machine::history::{Happened, What};
use crate::sim::machine::model::WORD;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// Events drawn of one run; the last ones matter.
const EVENTS: usize = 60;
/// Lines drawn. Those with a store that is lost come first, all others share one row.
const ROWS: usize = 24;

// In pixels.
const LEFT: usize = 120;
const COLUMN: usize = 26;
const ROW: usize = 56;
const ROW_OF_WORDS: usize = 48;
const LANE: usize = 24;
const TEXT: usize = 18;
const MARGIN: usize = 16;
/// The least width of a run, so that its heading fits.
const RUN: usize = 150;
/// What a crash left, and the space around it.
const STRIP: usize = 12;
const GAP: usize = 10;
/// The key below needs it.
const LEAST_WIDTH: usize = 780;
/// Widths of characters, estimated: of the heading and of other text.
const BOLD: usize = 9;
const CHARACTER: usize = 7;

const GREEN: &str = "#1a7f37";
const AMBER: &str = "#d4a72c";
const LIGHT_AMBER: &str = "#fff1c2";
const RED: &str = "#cf222e";
const BLUE: &str = "#0969da";
const PURPLE: &str = "#8250df";
const GREY: &str = "#57606a";
const PALE: &str = "#eaeef2";
const INK: &str = "#1f2328";

impl Failure {
    /// The failure as a drawing, in SVG: time goes to the right, each line of memory is a row of its words.
    /// Stores are red where they are lost, amber where they are kept by chance and green where they are
    /// persistent. What a crash left of each word stands beside its line, and recovery goes on behind it.
    /// Each mark has its place in the source as a tooltip; the numbers are those of the text.
    ///
    /// Of each run the last 60 events are drawn. The same failure gives the same drawing.
    #[must_use]
    pub fn svg(&self) -> String {
        let drawing = Drawing::new(self);
        let mut out = String::new();
        // A string takes all that is written to it.
        match drawing.write(&mut out) {
            Ok(()) | Err(fmt::Error) => out,
        }
    }
}

/// What a crash left of a store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Lost,
    Kept,
    Sure,
    /// There was no crash.
    All,
}

impl Left {
    /// Fill and outline. They differ in lightness too, for those who do not see the colours.
    const fn colours(self) -> (&'static str, &'static str) {
        match self {
            Self::Lost => (RED, RED),
            Self::Kept => (LIGHT_AMBER, AMBER),
            Self::Sure => (GREEN, GREEN),
            Self::All => (GREY, GREY),
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Kept => "kept by chance",
            Self::Sure => "persistent",
            Self::All => "made",
        }
    }
}

/// A word of a row.
#[derive(Clone, Copy)]
struct Word {
    line: usize,
    /// Its place in the line.
    place: usize,
    left: Left,
}

/// An event, and where it is drawn.
struct Column<'a> {
    x: usize,
    number: u32,
    event: &'a Happened,
    note: &'a str,
}

/// A run, and the crash that ended it.
struct Run<'a> {
    x: usize,
    width: usize,
    crash: &'a Crash,
    columns: Vec<Column<'a>>,
    left_out: usize,
}

impl<'a> Run<'a> {
    fn new(x: usize, crash: &'a Crash) -> Self {
        let events = (0..crash.end).map(|number| (number, crash.event(number)));
        let drawn: Vec<_> = events.filter(|(_, event)| event.what != What::Visible).collect();
        let left_out = drawn.len().saturating_sub(EVENTS);
        let mut notes = crash.notes.iter().map(String::as_str);
        let mut columns = Vec::new();
        for (place, (number, event)) in drawn.into_iter().enumerate() {
            let is_note = event.what == What::Note;
            let note = if is_note { notes.next().unwrap_or_default() } else { "" };
            let Some(column) = place.checked_sub(left_out) else { continue };
            columns.push(Column { x: x + GAP + column * COLUMN, number, event, note });
        }
        let width = (columns.len() * COLUMN + 2 * GAP).max(RUN) + STRIP;
        Self { x, width, crash, columns, left_out }
    }

    /// Where the crash is.
    const fn end(&self) -> usize {
        self.x + self.width
    }
}

/// Everything with its place.
struct Drawing<'a> {
    heading: Vec<String>,
    runs: Vec<Run<'a>>,
    rows: Vec<usize>,
    has_others: bool,
    has_crashed: bool,
    has_threads: bool,
    width: usize,
}

impl<'a> Drawing<'a> {
    fn new(failure: &'a Failure) -> Self {
        let mut runs: Vec<Run<'_>> = Vec::new();
        for crash in &failure.crashes {
            let x = runs.last().map_or(LEFT, |run| run.end() + GAP);
            runs.push(Run::new(x, crash));
        }
        let stored: BTreeSet<_> = runs.iter().flat_map(lines_stored).collect();
        let rows = rows(&stored, &runs);
        let has_crashed = failure.violation().kind() != ViolationKind::Workload;
        let recovery = if has_crashed { RUN } else { 0 };
        let end = runs.last().map_or(LEFT, Run::end);
        let width = (end + recovery + MARGIN).max(LEAST_WIDTH);
        let mut heading = broken(&format!("{}", failure.violation()), width);
        heading.push(format!("under the model {}", failure.model()));
        Self {
            heading,
            has_others: rows.len() < stored.len(),
            has_threads: runs.iter().flat_map(|run| &run.columns).any(|one| one.event.thread > 0),
            runs,
            rows,
            has_crashed,
            width,
        }
    }

    // From top to bottom: heading, names of the runs, numbers, threads, notes, rows, key.

    fn top_of_runs(&self) -> usize {
        MARGIN + self.heading.len() * TEXT + GAP
    }

    fn top_of_numbers(&self) -> usize {
        self.top_of_runs() + LANE
    }

    fn top_of_notes(&self) -> usize {
        self.top_of_numbers() + TEXT + if self.has_threads { TEXT } else { 0 }
    }

    fn top_of_rows(&self) -> usize {
        self.top_of_notes() + LANE + GAP
    }

    fn end_of_rows(&self) -> usize {
        self.top_of_rows() + (self.rows.len() + usize::from(self.has_others)) * ROW
    }

    fn height(&self) -> usize {
        self.end_of_rows() + GAP + 2 * LANE + MARGIN
    }

    /// The top of a line's row.
    fn row(&self, line: usize) -> usize {
        let row = self.rows.binary_search(&line).unwrap_or(self.rows.len());
        self.top_of_rows() + row * ROW
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let (width, height) = (self.width, self.height());
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="{INK}">"#
        )?;
        rectangle(out, (0, 0), (width, height), "#ffffff")?;
        self.write_heading(out)?;
        self.write_rows(out)?;
        for run in &self.runs {
            self.write_run(out, run)?;
        }
        if self.has_crashed {
            let x = self.runs.last().map_or(LEFT, Run::end) + GAP;
            label(out, (x, self.top_of_runs() + TEXT), "recovery, which fails")?;
        }
        self.write_key(out)?;
        out.write_str("</svg>\n")
    }

    fn write_heading(&self, out: &mut String) -> fmt::Result {
        for (number, line) in self.heading.iter().enumerate() {
            let y = MARGIN + number * TEXT + TEXT / 2;
            let weight = if number + 1 < self.heading.len() { "bold" } else { "normal" };
            let text = escaped(line);
            writeln!(
                out,
                r#"<text x="{MARGIN}" y="{y}" font-size="14" font-weight="{weight}">{text}</text>"#
            )?;
        }
        Ok(())
    }

    /// The rows' names, and a stripe for each run.
    fn write_rows(&self, out: &mut String) -> fmt::Result {
        let Some(first) = self.runs.first() else { return Ok(()) };
        let model = &first.crash.layer.history.model;
        let name = |line: &usize| format!("line {:#x}", model.offset(*line, 0));
        let others = self.has_others.then(|| String::from("other lines"));
        for (row, name) in self.rows.iter().map(name).chain(others).enumerate() {
            let y = self.top_of_rows() + row * ROW;
            for run in &self.runs {
                let width = run.width - STRIP - 3;
                rectangle(out, (run.x, y), (width, ROW_OF_WORDS), PALE)?;
            }
            label(out, (MARGIN, y + ROW_OF_WORDS / 2 + 4), &name)?;
        }
        label(out, (MARGIN, self.top_of_numbers() + TEXT - 5), "event")?;
        if self.has_threads {
            label(out, (MARGIN, self.top_of_numbers() + 2 * TEXT - 5), "thread")?;
        }
        label(out, (MARGIN, self.top_of_notes() + TEXT - 2), "notes")
    }

    fn write_run(&self, out: &mut String, run: &Run<'_>) -> fmt::Result {
        let name = &run.crash.name;
        let name = match run.left_out {
            0 => name.clone(),
            events => format!("{name}, without its first {events} events"),
        };
        label(out, (run.x + GAP, self.top_of_runs() + TEXT), &name)?;
        for column in &run.columns {
            self.write_column(out, run, column)?;
        }
        self.write_crash(out, run)
    }

    fn write_column(&self, out: &mut String, run: &Run<'_>, column: &Column<'_>) -> fmt::Result {
        let middle = column.x + COLUMN / 2;
        let y = self.top_of_numbers() + TEXT - 5;
        centred(out, (middle, y), run.crash.number(column.number))?;
        if self.has_threads {
            centred(out, (middle, y + TEXT), column.event.thread)?;
        }
        let words = self.words(run, column);
        let place = column.event.place;
        let title = format!("{place}: {}", text(column, &words));
        writeln!(out, "<g><title>{}</title>", escaped(&title))?;
        match column.event.what {
            What::Store { .. } => words.iter().try_for_each(|word| {
                self.write_word(out, run, (column.x + 3, COLUMN - 6), *word)
            })?,
            What::Writeback { start, end, .. } => {
                let is_complete = is_complete(run.crash, column);
                self.write_writeback(out, run, middle, start..end, is_complete)?;
            }
            What::Fence { completes } => self.write_fence(out, middle, completes)?,
            What::Note => self.write_note(out, middle)?,
            What::Visible => {}
        }
        out.write_str("</g>\n")
    }

    /// A word in its row; `x` is where it starts and how wide it is.
    fn write_word(
        &self,
        out: &mut String,
        run: &Run<'_>,
        (x, width): (usize, usize),
        word: Word,
    ) -> fmt::Result {
        let words = run.crash.layer.history.model.words();
        let y = self.row(word.line) + word.place * ROW_OF_WORDS / words;
        let height = (ROW_OF_WORDS / words).saturating_sub(1).max(1);
        let (fill, outline) = word.left.colours();
        writeln!(
            out,
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}" stroke="{outline}"/>"#
        )
    }

    /// An arrow down each row, dashed if no fence completed it.
    fn write_writeback(
        &self,
        out: &mut String,
        run: &Run<'_>,
        x: usize,
        bytes: core::ops::Range<u64>,
        is_complete: bool,
    ) -> fmt::Result {
        if bytes.is_empty() {
            return Ok(());
        }
        let lines = run.crash.layer.history.model.lines(bytes.start, bytes.end);
        let rows: BTreeSet<_> = self
            .rows
            .iter()
            .filter(|line| lines.contains(*line))
            .map(|line| self.row(*line))
            .collect();
        rows.into_iter().try_for_each(|top| arrow(out, (x, top), ROW_OF_WORDS, is_complete))
    }

    fn write_fence(&self, out: &mut String, x: usize, completes: bool) -> fmt::Result {
        let (top, end) = (self.top_of_rows() - 4, self.end_of_rows() - 4);
        let dashes = if completes { "" } else { r#" stroke-dasharray="2 4""# };
        writeln!(out, r#"<path d="M{x} {top}V{end}" stroke="{GREY}" stroke-width="4"{dashes}/>"#)
    }

    /// The words that an event stored.
    fn words(&self, run: &Run<'_>, column: &Column<'_>) -> Vec<Word> {
        let words = words(run.crash, column).into_iter();
        let left = |word: Word| if self.has_crashed { word.left } else { Left::All };
        words.map(|word| Word { left: left(word), ..word }).collect()
    }

    fn write_note(&self, out: &mut String, x: usize) -> fmt::Result {
        diamond(out, (x, self.top_of_notes() + LANE / 2))
    }

    /// The line of a crash, and what it left of each word.
    fn write_crash(&self, out: &mut String, run: &Run<'_>) -> fmt::Result {
        let (x, top, end) = (run.end(), self.top_of_runs() + GAP, self.end_of_rows());
        let what = if self.has_crashed { "crash" } else { "panic" };
        writeln!(out, "<g><title>{what}</title>")?;
        for line in self.rows.iter().filter(|_| self.has_crashed) {
            for word in left(run.crash, *line) {
                self.write_word(out, run, (x - STRIP, STRIP - 3), word)?;
            }
        }
        writeln!(out, r#"<path d="M{x} {top}V{end}" stroke="{INK}" stroke-width="3"/></g>"#)?;
        writeln!(
            out,
            r#"<text x="{}" y="{}" text-anchor="end" font-weight="bold">{what}</text>"#,
            x - 6,
            top + 8
        )
    }

    fn write_key(&self, out: &mut String) -> fmt::Result {
        let top = self.end_of_rows() + GAP;
        let (middle, y) = (top + LANE / 2, top + LANE / 2 + 4);
        label(out, (MARGIN, y), "stores:")?;
        let mut x = MARGIN + 50;
        for left in [Left::Lost, Left::Kept, Left::Sure] {
            let (fill, outline) = left.colours();
            writeln!(
                out,
                r#"<rect x="{x}" y="{}" width="20" height="6" fill="{fill}" stroke="{outline}"/>"#,
                middle - 3
            )?;
            label(out, (x + 26, y), left.text())?;
            x += 36 + left.text().len() * CHARACTER;
        }
        for (is_complete, name) in [(true, "write-back"), (false, "one without its fence")] {
            arrow(out, (x + 6, top), LANE, is_complete)?;
            label(out, (x + 18, y), name)?;
            x += 26 + name.len() * CHARACTER;
        }
        writeln!(out, r#"<path d="M{x} {top}v{LANE}" stroke="{GREY}" stroke-width="4"/>"#)?;
        label(out, (x + 10, y), "fence")?;
        diamond(out, (x + 64, middle))?;
        label(out, (x + 76, y), "note")?;
        label(out, (MARGIN, y + LANE), HINT)
    }
}

const HINT: &str =
    "Beside a crash: what it left of each word. The tooltip of a mark is its place in the source.";

/// What happened, in words.
fn text(column: &Column<'_>, words: &[Word]) -> String {
    match column.event.what {
        What::Store { at, len, .. } => {
            let end = at + len;
            let range = if len == WORD { format!("{at:#x}") } else { format!("{at:#x}..{end:#x}") };
            format!("store {range}, {}", left_of_all(words))
        }
        What::Writeback { start, end, .. } => format!("write back {start:#x}..{end:#x}"),
        What::Fence { completes: true } => "fence".into(),
        What::Fence { completes: false } => "barrier".into(),
        What::Note => format!("note {}", column.note),
        What::Visible => String::new(),
    }
}

fn left_of_all(words: &[Word]) -> &'static str {
    let has = |left| words.iter().any(|word| word.left == left);
    match (has(Left::Lost), has(Left::Kept), has(Left::Sure)) {
        (true, false, false) => Left::Lost.text(),
        (true, ..) => "torn",
        (false, true, _) => Left::Kept.text(),
        (false, false, true) => Left::Sure.text(),
        (false, false, false) => Left::All.text(),
    }
}

/// The words that an event stored.
fn words(crash: &Crash, column: &Column<'_>) -> Vec<Word> {
    let What::Store { at, len, .. } = column.event.what else { return Vec::new() };
    let words = (at..at + len).step_by(size_of::<u64>());
    words.filter_map(|at| word(crash, at, column.number)).collect()
}

/// What is left of the store of a word by an event.
fn word(crash: &Crash, at: u64, event: u32) -> Option<Word> {
    let (line, place) = crash.layer.history.model.place(at);
    let stores = crash.layer.history.line(line)?;
    let before = stores.writes(place).iter().position(|write| write.event == event)?;
    let number = u32::try_from(before).ok()? + 1;
    Some(Word { line, place, left: left_of(crash, line, place, number)? })
}

/// What a crash left of the last stores of a line's words.
fn left(crash: &Crash, line: usize) -> Vec<Word> {
    let Some(stores) = crash.layer.history.line(line) else { return Vec::new() };
    let last = |place| match stores.made(place, crash.end) {
        0 => None,
        number => Some(Word { line, place, left: left_of(crash, line, place, number)? }),
    };
    (0..stores.len()).filter_map(last).collect()
}

/// What is left of a word's store of that number, from 1.
fn left_of(crash: &Crash, line: usize, place: usize, number: u32) -> Option<Left> {
    let layer = &crash.layer;
    let stores = layer.history.line(line)?;
    Some(match number {
        _ if stores.sure(place, layer.cut) >= number => Left::Sure,
        _ if layer.bounds(line, stores).high[place] >= number => Left::Kept,
        _ => Left::Lost,
    })
}

/// Whether a write-back was completed before the crash, by a fence of its thread or by itself.
fn is_complete(crash: &Crash, column: &Column<'_>) -> bool {
    let is_fence = |later: &Happened| {
        later.thread == column.event.thread && later.what == What::Fence { completes: true }
    };
    let mut later = column.number + 1..crash.end;
    column.event.guarantees || later.any(|event| is_fence(crash.event(event)))
}

/// The lines of the stores that are drawn.
fn lines_stored(run: &Run<'_>) -> BTreeSet<usize> {
    let of_column = |column| words(run.crash, column).into_iter().map(|word| word.line);
    run.columns.iter().flat_map(of_column).collect()
}

/// The lines that get a row of their own.
fn rows(stored: &BTreeSet<usize>, runs: &[Run<'_>]) -> Vec<usize> {
    let is_lost = |word: &Word| word.left == Left::Lost;
    let is_damaged = |line: usize| runs.iter().any(|run| left(run.crash, line).iter().any(is_lost));
    let mut rows: Vec<_> = stored.iter().copied().collect();
    rows.sort_by_key(|line| (!is_damaged(*line), *line));
    rows.truncate(ROWS);
    rows.sort_unstable();
    rows
}

/// A text in pieces that fit the width.
fn broken(text: &str, width: usize) -> Vec<String> {
    let most = (width - 2 * MARGIN) / BOLD;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

fn rectangle(
    out: &mut String,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
    fill: &str,
) -> fmt::Result {
    writeln!(out, r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"/>"#)
}

fn label(out: &mut String, (x, y): (usize, usize), text: &str) -> fmt::Result {
    writeln!(out, r#"<text x="{x}" y="{y}">{}</text>"#, escaped(text))
}

fn centred(out: &mut String, (x, y): (usize, usize), number: impl fmt::Display) -> fmt::Result {
    writeln!(out, r#"<text x="{x}" y="{y}" text-anchor="middle" font-size="10">{number}</text>"#)
}

fn diamond(out: &mut String, (x, y): (usize, usize)) -> fmt::Result {
    writeln!(out, r#"<path d="M{x} {}l7 7l-7 7l-7 -7z" fill="{PURPLE}"/>"#, y - 7)
}

/// A write-back.
fn arrow(
    out: &mut String,
    (x, y): (usize, usize),
    height: usize,
    is_complete: bool,
) -> fmt::Result {
    let end = y + height - 7;
    let dashes = if is_complete { "" } else { r#" stroke-dasharray="3 3""# };
    writeln!(out, r#"<path d="M{x} {y}V{end}" stroke="{BLUE}" stroke-width="2"{dashes}/>"#)?;
    let fill = if is_complete { BLUE } else { "#ffffff" };
    writeln!(out, r#"<path d="M{x} {}l-5 -8h10z" fill="{fill}" stroke="{BLUE}"/>"#, end + 7)
}

/// Text that may stand in XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use crate::medium::{Medium, Readable};
    use crate::sim::{Failure, Model, SimMedium, Simulation, Violation};
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use core::sync::atomic::Ordering::Relaxed;

    /// Two words of a line and one of another one, of which the last is published too early.
    fn workload(medium: &SimMedium, notes: &crate::sim::Notes<'_, &str>) {
        medium.write(0, &[1; 16]);
        medium.writeback(0..16).unwrap();
        medium.store(64, 1, Relaxed);
        medium.persist(64..72).unwrap();
        notes.add("a < b & \"c\"");
    }

    fn failure(recovery: impl Fn(&SimMedium) -> bool, model: Model) -> Failure {
        let judge = |medium: &SimMedium, _notes: &[&str]| {
            Violation::unless(recovery(medium), || "1 < 2 & <so on>".to_string())
        };
        let exploration = Simulation::new(model, 192).zeros().explore(workload, judge);
        exploration.failure().expect("a failure").clone()
    }

    /// Published without the first word.
    fn published_early() -> Failure {
        let is_right = |medium: &SimMedium| medium.load(64, Relaxed) <= medium.load(0, Relaxed);
        failure(is_right, Model::neutral())
    }

    /// Recovery that marks what it has done before that is persistent.
    fn recovered_twice() -> Failure {
        let is_right = |medium: &SimMedium| {
            if medium.load(136, Relaxed) == 1 {
                return medium.load(128, Relaxed) == 1;
            }
            medium.store(128, 1, Relaxed);
            medium.store(136, 1, Relaxed);
            medium.persist(128..144).unwrap();
            true
        };
        failure(is_right, Model::arm64())
    }

    /// The names of elements, each closed where it must be.
    fn assert_well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends");
            assert!(!text.contains(['>', '"']), "escaped: {text}");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name");
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) => assert_eq!(open.pop(), Some(name)),
                (_, true) => {}
                _ => open.push(name),
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "quoted: {tag}");
        }
        assert!(open.is_empty());
        for entity in svg.split('&').skip(1) {
            let is_known =
                ["lt;", "gt;", "amp;", "quot;"].iter().any(|name| entity.starts_with(name));
            assert!(is_known, "{entity}");
        }
    }

    fn titles(svg: &str) -> Vec<&str> {
        let title = |part: &'_ str| part.find("</title>");
        svg.split("<title>").skip(1).map(|part| &part[..title(part).expect("it ends")]).collect()
    }

    #[test]
    fn a_drawing_is_well_formed_and_always_the_same() {
        for failure in [published_early(), recovered_twice()] {
            let svg = failure.svg();
            assert_well_formed(&svg);
            assert_eq!(svg, failure.svg());
            assert!(svg.contains("&lt;so on&gt;"));
        }
    }

    #[test]
    fn each_mark_names_its_place_once() {
        for failure in [published_early(), recovered_twice()] {
            let svg = failure.svg();
            let places = titles(&svg).into_iter().filter(|title| *title != "crash");
            let crashes = failure.crashes.iter();
            let drawn = crashes.flat_map(|crash| (0..crash.end).map(|event| crash.event(event)));
            let expected: Vec<String> = drawn.map(|event| event.place.to_string()).collect();
            let found: Vec<_> = places.map(|title| title.split(": ").next().unwrap()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_store_that_is_lost_is_red() {
        let svg = published_early().svg();
        let (_, lost) = svg.split_once("store 0x0..0x10, torn").expect("the lost store");
        let (mark, _) = lost.split_once("</g>").expect("its end");
        assert!(mark.contains(super::RED), "{mark}");
        let (_, kept) = svg.split_once("store 0x40, kept by chance").expect("the store after it");
        let (mark, _) = kept.split_once("</g>").expect("its end");
        assert!(mark.contains(super::AMBER) && !mark.contains(super::RED), "{mark}");
    }

    #[test]
    fn a_long_run_is_drawn_without_its_beginning() {
        let outcome = Simulation::new(Model::x86(), 8 * 64).zeros().explore(
            |medium, notes| {
                (0..60).for_each(|word| medium.store(word * 8, 1, Relaxed));
                medium.store(63 * 8, 1, Relaxed);
                medium.persist(0..64).unwrap();
                notes.add("done");
            },
            |medium, notes| {
                let is_there = notes.is_empty() || medium.load(63 * 8, Relaxed) == 1;
                Violation::unless(is_there, || "gone".into())
            },
        );
        let svg = outcome.failure().expect("only one line is written back").svg();
        assert!(svg.contains("without its first 4 events"), "{svg}");
        assert_eq!(titles(&svg).len(), super::EVENTS + 1);
    }

    #[test]
    fn a_workload_that_panics_has_a_drawing_too() {
        let outcome = Simulation::new(Model::x86(), 64).zeros().explore(
            |medium, _notes: &crate::sim::Notes<'_, ()>| {
                medium.store(0, 1, Relaxed);
                medium.load(1, Relaxed);
            },
            |_, _| Ok(()),
        );
        let svg = outcome.failure().expect("a panic").svg();
        assert_well_formed(&svg);
        assert!(!svg.contains(">crash<"));
    }
}
