//! The progress of a long reading of a journal, a store or a recording, on a terminal.

use super::text::Talk;
use cachemaint_journal::{Position, Progress};
use cachemaint_recorder::{Description, Event, Found, Skipped};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal as _};

/// Returns a bar, which is hidden if standard error is not a terminal.
pub(super) fn bar(what: &'static str) -> anyhow::Result<ProgressBar> {
    if Talk::is_quiet() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{msg} {bar:40} {bytes} of at most {total_bytes}")?;
    Ok(ProgressBar::new(0).with_style(style).with_message(what))
}

pub(super) fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.most);
    bar.set_position(progress.done);
}

/// Returns a bar for at most this many bytes. It is hidden too if the results are printed on the terminal.
pub(super) fn bar_beside_output(what: &'static str, most: u64) -> anyhow::Result<ProgressBar> {
    if io::stdout().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let bar = bar(what)?;
    bar.set_length(most);
    Ok(bar)
}

/// Shows that everything from `head` up to `reached` has been read.
pub(super) fn show_reached(bar: &ProgressBar, head: Position, reached: Position) {
    bar.set_position(reached.0.saturating_sub(head.0));
}

/// Returns the bytes of all sub-buffers of a recording.
pub(super) fn size(recording: &Description) -> u64 {
    let sub_buffers = u64::from(recording.shards) * u64::from(recording.sub_buffers);
    sub_buffers * u64::from(recording.sub_buffer_size)
}

/// Returns the bytes of a recording that an item takes.
pub(super) const fn bytes_of(found: &Found<'_>) -> u64 {
    match found {
        // Two words and the payload, in whole words.
        Found::Event(Event { payload, .. }) => 16 + payload.len().next_multiple_of(8) as u64,
        Found::Skipped(Skipped { len, .. }) => *len,
        _ => 0,
    }
}
