//! The events of a run, and their description in words.

use crate::site::Site;
use std::fmt::{self, Write as _};
use std::ops::Range;

/// An operation of the driver, and the place of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) site: Site,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    WriteBack,
    Invalidate,
    WriteBackInvalidate,
    Discard,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Stored,
    NeighbourStored,
    Fetched,
    Evicted,
    WrittenBack(Call),
    Dropped(Call),
    LeftOut(Call),
    Unordered(Call),
    Read(Range<usize>),
    Written(Range<usize>),
    Kept,
}

/// The way in which an event can lose data.
#[derive(Clone, Debug)]
pub(crate) enum Hazard {
    /// A dirty line was written back over these bytes of a device or another CPU.
    Overwritten(Range<usize>),
    /// A device read memory while newer bytes were in a cache.
    ReadOld,
    /// Dirty bytes were dropped.
    Discarded,
    /// A CPU kept its copy, although these bytes in memory are newer.
    Stale(Range<usize>),
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The address of the line.
    pub(crate) line: usize,
    pub(crate) cpu: usize,
    pub(crate) what: What,
    pub(crate) hazard: Option<Hazard>,
}

/// An allocation in the arena, by which lines are named.
#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) bytes: Range<usize>,
    pub(crate) placed_at: &'static std::panic::Location<'static>,
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, placed_at } = self;
        write!(f, "the {} bytes placed at {}:{}", bytes.len(), placed_at.file(), placed_at.line())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.operation {
            Operation::WriteBack => "write-back (release)",
            Operation::Invalidate => "invalidation (acquire)",
            Operation::WriteBackInvalidate => "write-back and invalidation (release_to_writer)",
            Operation::Discard => "discard",
        };
        write!(f, "{operation} in {}", self.site.describe())
    }
}

impl Hazard {
    fn remedy(&self) -> &'static str {
        match self {
            Self::Overwritten(_) => {
                "`release_to_writer` before the other side writes would have left no dirty line; store nothing to it until \
                 the other side has finished"
            }
            Self::ReadOld => {
                "`release` before the other side is told to read would have written the line back"
            }
            Self::Discarded => {
                "the dirty bytes had to be written back first: by `release` for a reader, by `release_to_writer` before the \
                 other side writes; pad or bounce a buffer that shares its lines"
            }
            Self::Stale(_) => {
                "`acquire` after the other side has finished would have dropped the copy"
            }
        }
    }
}

/// Describes the last lines that lost data, at most two, each with the events that led to the loss.
pub(crate) fn tell(
    events: &[Event],
    allocations: &[Allocation],
    line_size: usize,
    cpus: usize,
) -> String {
    let mut text = String::new();
    let mut told = Vec::new();
    for (n, event) in events.iter().enumerate().rev() {
        if let Some(hazard) = &event.hazard
            && !told.contains(&event.line)
            && told.len() < 2
        {
            told.push(event.line);
            let (name, first) = name(event.line, allocations, line_size);
            _ = writeln!(text, "\n{name}:");
            let of_line = events[..=n].iter().filter(|other| other.line == event.line);
            let sentences = of_line.map(|event| sentence(event, first, cpus)).collect();
            tell_line(&mut text, sentences);
            _ = writeln!(text, "   => {}.", hazard.remedy());
        }
    }
    text
}

/// The number of events of a line that are printed; earlier ones are omitted.
const TOLD: usize = 10;

/// Numbers the last sentences. Repeated sentences, or pairs of them, are printed once.
fn tell_line(text: &mut String, all: Vec<String>) {
    let mut sentences: Vec<String> = Vec::new();
    for sentence in all {
        let last = sentences.len().wrapping_sub(1);
        let is_again = sentences.get(last) == Some(&sentence)
            || sentences.len() > 2
                && sentences[last - 1] == sentence
                && sentences[last - 2] == sentences[last];
        if !is_again {
            sentences.push(sentence);
        } else if sentences[last] != sentence {
            sentences.pop();
        }
    }
    let skipped = sentences.len().saturating_sub(TOLD);
    if skipped > 0 {
        _ = writeln!(text, "   … {skipped} earlier events");
    }
    for (n, sentence) in sentences.iter().enumerate().skip(skipped) {
        _ = writeln!(text, "  {:>2}. {sentence}", n + 1);
    }
}

/// Returns the name of a line, and the address from which its bytes are counted.
fn name(line: usize, allocations: &[Allocation], size: usize) -> (String, usize) {
    let within = |distance: usize| {
        let meets = |allocation: &&Allocation| {
            let Range { start, end } = allocation.bytes;
            start < line + size + distance && line < end + distance
        };
        allocations.iter().find(meets)
    };
    if let Some(allocation) = within(0) {
        let Range { start, end } = allocation.bytes;
        let (from, to) = (line.max(start) - start, (line + size).min(end) - start);
        let shared = if to - from < size { ", in a line shared with neighbours" } else { "" };
        (format!("Bytes {from}..{to} of {allocation}{shared}"), start)
    } else if let Some(allocation) = within(size) {
        (format!("The line next to {allocation}"), line)
    } else {
        let name = format!(
            "The line at {line:#x} of the program's own memory (bytes count from its start)"
        );
        (name, line)
    }
}

fn sentence(event: &Event, first: usize, cpus: usize) -> String {
    let Event { line, cpu, what, hazard } = event;
    let bytes = |range: &Range<usize>| {
        let offset = |at: usize| (line + at).cast_signed() - first.cast_signed();
        format!("bytes {}..{}", offset(range.start), offset(range.end))
    };
    let cpu = if cpus == 1 { "the CPU".to_owned() } else { format!("CPU {cpu}") };
    let told = match what {
        What::Stored => format!("{cpu} stored to the line: it is dirty"),
        What::NeighbourStored => format!("{cpu} stored to a neighbour in the line: it is dirty"),
        What::Fetched => format!("{cpu} fetched the line, by a load or by speculation"),
        What::Evicted => {
            format!("the cache evicted the dirty line of {cpu}, and wrote it to memory")
        }
        What::WrittenBack(call) => format!("{call} wrote the dirty line of {cpu} to memory"),
        What::Dropped(call) => format!("{call} dropped the line of {cpu}"),
        What::LeftOut(call) => format!("left out: {call}"),
        What::Unordered(call) => {
            format!(
                "{call} was carried out before loads that precede it: `order_observed` comes first"
            )
        }
        What::Read(range) => format!("the device read {} from memory", bytes(range)),
        What::Written(range) => format!("the device wrote {} to memory", bytes(range)),
        What::Kept => format!("{cpu} still has its old copy"),
    };
    match hazard {
        None => told,
        Some(Hazard::Overwritten(range)) => {
            format!("{told}, OVER {} written by the other side", bytes(range))
        }
        Some(Hazard::ReadOld) => format!("{told}: OLD bytes; the new ones are in the cache"),
        Some(Hazard::Discarded) => format!("{told}, which was dirty: its stores are LOST"),
        Some(Hazard::Stale(range)) => {
            format!("{told}: {} in memory are NEWER", bytes(range))
        }
    }
}
