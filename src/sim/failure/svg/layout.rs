//! The place of everything in a drawing.

use super::stores::{Left, Word, left, words};
use crate::sim::failure::Failure;
use crate::sim::failure::crash::{Crash, is_shown};
use crate::sim::failure::violation::ViolationKind;
use crate::sim::machine::history::{Happened, What};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Events drawn of one run; the last ones matter.
pub(super) const EVENTS: usize = 60;
/// Lines drawn. Those with a store that is lost come first, all others share one row.
const ROWS: usize = 24;

// In pixels.
pub(super) const LEFT: usize = 120;
pub(super) const COLUMN: usize = 26;
pub(super) const ROW: usize = 56;
pub(super) const ROW_OF_WORDS: usize = 48;
pub(super) const LANE: usize = 24;
pub(super) const TEXT: usize = 18;
pub(super) const MARGIN: usize = 16;
/// The least width of a run, so that its heading fits.
const RUN: usize = 150;
/// The remains of a crash, and the space around them.
pub(super) const STRIP: usize = 12;
pub(super) const GAP: usize = 10;
/// The key below needs it.
const LEAST_WIDTH: usize = 880;
/// Widths of characters, estimated: of the heading and of other text.
const BOLD: usize = 9;
pub(super) const CHARACTER: usize = 7;

/// An event, and where it is drawn.
pub(super) struct Column<'a> {
    pub(super) x: usize,
    pub(super) number: u32,
    pub(super) event: &'a Happened,
    pub(super) note: &'a str,
}

/// A run, and the crash that ended it.
pub(super) struct Run<'a> {
    pub(super) x: usize,
    pub(super) width: usize,
    pub(super) crash: &'a Crash,
    pub(super) columns: Vec<Column<'a>>,
    pub(super) left_out: usize,
}

impl<'a> Run<'a> {
    fn new(x: usize, crash: &'a Crash) -> Self {
        let events = (0..crash.end).map(|number| (number, crash.event(number)));
        let drawn: Vec<_> = events.filter(|(_, event)| is_shown(event)).collect();
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

    /// Returns the place of the crash.
    pub(super) const fn end(&self) -> usize {
        self.x + self.width
    }
}

/// Everything with its place.
pub(super) struct Layout<'a> {
    pub(super) heading: Vec<String>,
    pub(super) runs: Vec<Run<'a>>,
    pub(super) rows: Vec<usize>,
    pub(super) has_others: bool,
    pub(super) has_crashed: bool,
    pub(super) has_threads: bool,
    pub(super) width: usize,
    /// The missing steps, in lines that fit.
    pub(super) advice: Vec<String>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(failure: &'a Failure) -> Self {
        let mut runs: Vec<Run<'_>> = Vec::new();
        for crash in &failure.crashes {
            let x = runs.last().map_or(LEFT, |run| run.end() + GAP);
            runs.push(Run::new(x, crash));
        }
        let stored: BTreeSet<_> = runs.iter().flat_map(lines_stored).collect();
        let rows = rows(&stored, &runs);
        let has_crashed = failure.violation.kind != ViolationKind::Workload;
        let recovery = if has_crashed { RUN } else { 0 };
        let end = runs.last().map_or(LEFT, Run::end);
        let width = (end + recovery + MARGIN).max(LEAST_WIDTH);
        let mut heading = broken(&format!("{}", failure.violation), width, BOLD);
        let advice = failure.advice().into_iter();
        let advice =
            advice.flat_map(|advice| broken(&format!("to mend: {advice}"), width, CHARACTER));
        heading.push(format!("under the model {}", failure.model));
        Self {
            heading,
            has_others: rows.len() < stored.len(),
            has_threads: runs.iter().flat_map(|run| &run.columns).any(|one| one.event.thread > 0),
            runs,
            rows,
            has_crashed,
            width,
            advice: advice.collect(),
        }
    }

    // From top to bottom: heading, names of the runs, numbers, threads, notes, rows, key.

    pub(super) fn top_of_runs(&self) -> usize {
        MARGIN + self.heading.len() * TEXT + GAP
    }

    pub(super) fn top_of_numbers(&self) -> usize {
        self.top_of_runs() + LANE
    }

    pub(super) fn top_of_notes(&self) -> usize {
        self.top_of_numbers() + TEXT + if self.has_threads { TEXT } else { 0 }
    }

    pub(super) fn top_of_rows(&self) -> usize {
        self.top_of_notes() + LANE + GAP
    }

    pub(super) fn end_of_rows(&self) -> usize {
        self.top_of_rows() + (self.rows.len() + usize::from(self.has_others)) * ROW
    }

    pub(super) fn height(&self) -> usize {
        self.end_of_rows() + GAP + 2 * LANE + GAP + self.advice.len() * TEXT + MARGIN
    }

    /// Returns the top of a line's row.
    pub(super) fn row(&self, line: usize) -> usize {
        let row = self.rows.binary_search(&line).unwrap_or(self.rows.len());
        self.top_of_rows() + row * ROW
    }
}

/// Returns the lines of the stores that are drawn.
fn lines_stored(run: &Run<'_>) -> BTreeSet<usize> {
    let of_column =
        |column: &Column<'_>| words(run.crash, column.number).into_iter().map(|word| word.line);
    run.columns.iter().flat_map(of_column).collect()
}

/// Returns the lines that get a row of their own.
fn rows(stored: &BTreeSet<usize>, runs: &[Run<'_>]) -> Vec<usize> {
    let is_lost = |word: &Word| word.left == Left::Lost;
    let is_damaged = |line: usize| runs.iter().any(|run| left(run.crash, line).iter().any(is_lost));
    let mut rows: Vec<_> = stored.iter().copied().collect();
    rows.sort_by_key(|line| (!is_damaged(*line), *line));
    rows.truncate(ROWS);
    rows.sort_unstable();
    rows
}

/// Returns a text in pieces that fit the width, with `character` pixels for a character.
fn broken(text: &str, width: usize, character: usize) -> Vec<String> {
    let most = (width - 2 * MARGIN) / character;
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
