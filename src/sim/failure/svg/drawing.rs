//! Everything at its place, written as SVG.

use super::elements::{
    AMBER, DARK, GREEN, GREY, INK, LIGHT_AMBER, PAGE, PALE, RED, arrow, centred, diamond, escaped,
    label, rectangle,
};
use super::layout::{
    CHARACTER, COLUMN, Column, GAP, LANE, LEFT, Layout, MARGIN, ROW, ROW_OF_WORDS, Run, STRIP, TEXT,
};
use super::stores::{self, Left, Word, fate_in_words, is_complete};
use crate::sim::machine::history::What;
use crate::sim::machine::model::WORD;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

impl Left {
    /// Returns fill and outline. They differ in lightness too, for readers who do not see the
    /// colours.
    const fn colours(self) -> (&'static str, &'static str) {
        match self {
            Self::Lost => (RED, RED),
            Self::Kept => (LIGHT_AMBER, AMBER),
            Self::Unread => (PAGE, AMBER),
            Self::Sure => (GREEN, GREEN),
            Self::All => (GREY, GREY),
        }
    }
}

impl Layout<'_> {
    pub(super) fn write(&self, out: &mut String) -> fmt::Result {
        let (width, height) = (self.width, self.height());
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="{INK}">"#
        )?;
        writeln!(out, "{DARK}")?;
        rectangle(out, (0, 0), (width, height), PAGE)?;
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

    /// Writes the rows' names, and a stripe for each run.
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
        let has_crashed = self.has_crashed;
        let left =
            if has_crashed { fate_in_words(run.crash, column.number) } else { Left::All.text() };
        let title = format!("{place}: {}", text(column, left));
        writeln!(out, "<g><title>{}</title>", escaped(&title))?;
        match column.event.what {
            What::Store { .. } => words.iter().try_for_each(|word| {
                self.write_word(out, run, (column.x + 3, COLUMN - 6), *word)
            })?,
            What::Writeback { start, end, .. } => {
                let is_complete = is_complete(run.crash, column.number);
                self.write_writeback(out, run, middle, start..end, is_complete)?;
            }
            What::Fence { completes } => self.write_fence(out, middle, completes)?,
            What::Note => self.write_note(out, middle)?,
            What::Kill { .. } => self.write_kill(out, middle)?,
            What::Visible { .. } => {}
        }
        out.write_str("</g>\n")
    }

    /// Writes a word in its row; `x` is its start and its width.
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

    /// Writes an arrow down each row, dashed if no fence completed it.
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

    fn write_kill(&self, out: &mut String, x: usize) -> fmt::Result {
        let (top, end) = (self.top_of_rows() - 4, self.end_of_rows() - 4);
        writeln!(out, r#"<path d="M{x} {top}V{end}" stroke="{INK}"/>"#)
    }

    /// Returns the words that an event stored.
    fn words(&self, run: &Run<'_>, column: &Column<'_>) -> Vec<Word> {
        let words = stores::words(run.crash, column.number).into_iter();
        let left = |word: Word| if self.has_crashed { word.left } else { Left::All };
        words.map(|word| Word { left: left(word), ..word }).collect()
    }

    fn has_kills(&self) -> bool {
        let is_kill = |column: &Column<'_>| matches!(column.event.what, What::Kill { .. });
        self.runs.iter().flat_map(|run| &run.columns).any(is_kill)
    }

    fn write_note(&self, out: &mut String, x: usize) -> fmt::Result {
        diamond(out, (x, self.top_of_notes() + LANE / 2))
    }

    /// Writes the line of a crash, and the state in which it left each word.
    fn write_crash(&self, out: &mut String, run: &Run<'_>) -> fmt::Result {
        let (x, top, end) = (run.end(), self.top_of_runs() + GAP, self.end_of_rows());
        let what = if self.has_crashed { "crash" } else { "panic" };
        writeln!(out, "<g><title>{what}</title>")?;
        for line in self.rows.iter().filter(|_| self.has_crashed) {
            for word in stores::left(run.crash, *line) {
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
        for left in [Left::Lost, Left::Kept, Left::Unread, Left::Sure] {
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
        if self.has_kills() {
            writeln!(out, r#"<path d="M{} {top}v{LANE}" stroke="{INK}"/>"#, x + 114)?;
            label(out, (x + 120, y), "kill")?;
        }
        label(out, (MARGIN, y + LANE), HINT)?;
        self.advice.iter().zip(1..).try_for_each(|(line, number)| {
            label(out, (MARGIN, y + LANE + GAP + number * TEXT), line)
        })
    }
}

const HINT: &str = "Beside a crash: the state of each word after it. The tooltip of a mark is its place in the source.";

/// Returns the event in words. A store has left `left`.
fn text(column: &Column<'_>, left: &str) -> String {
    match column.event.what {
        What::Store { at, len, .. } => {
            let end = at + len;
            let range = if len == WORD { format!("{at:#x}") } else { format!("{at:#x}..{end:#x}") };
            format!("store {range}, {left}")
        }
        What::Writeback { start, end, .. } => format!("write back {start:#x}..{end:#x}"),
        What::Fence { completes: true } => "fence".into(),
        What::Fence { completes: false } => "barrier".into(),
        What::Note => format!("note {}", column.note),
        What::Kill { .. } => "kill".into(),
        What::Visible { .. } => String::new(),
    }
}
