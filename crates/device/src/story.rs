//! The events of a run, and their description in words.

use crate::line::Line;
use crate::memory::Memory;
use crate::site::Site;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::panic::Location;

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
    /// A dirty line was written back over these bytes of a device or another CPU. `is_shared` if none of them was stored.
    Overwritten { bytes: Range<usize>, is_shared: bool },
    /// A device read memory while newer bytes were in a cache.
    ReadOld,
    /// A device read bytes that an eviction had written to memory, and no call.
    ReadEvicted,
    /// Dirty bytes were dropped. `is_shared` if they are all a neighbour's.
    Discarded { is_shared: bool },
    /// A CPU kept its copy, although these bytes in memory are newer.
    Stale(Range<usize>),
    /// A CPU stored to its copy, although these bytes in memory are newer.
    Late(Range<usize>),
    /// An invalidation came before loads that precede it.
    Early,
}

/// A call that could have helped. It is tried: a run has its effect, as if the driver had called it at the right time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    Release,
    ReleaseToWriter,
    Acquire,
    AcquireFirst,
    Order,
    WriteBackFirst,
}

/// The place at which buffers were allocated, or none for the program's own memory.
pub(crate) type Scope = Option<&'static Location<'static>>;
/// A remedy for the buffers of a scope.
pub(crate) type Trial = (Remedy, Scope);

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: u64,
    pub(crate) cpu: usize,
    pub(crate) what: What,
    pub(crate) hazard: Option<Hazard>,
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

impl Operation {
    /// Returns the scenario that needs the operation.
    pub(crate) fn exercise(self) -> &'static str {
        match self {
            Self::WriteBack => {
                "store to the buffer before it, and check the bytes that the device reads"
            }
            Self::WriteBackInvalidate => {
                "the buffer must be dirty when it is called: store to it before, once, bytes that the device then writes"
            }
            Self::Invalidate => {
                "let the device write other bytes than the buffer has, and check them after it"
            }
            Self::Discard => "store bytes that must be dropped, and check those in memory after it",
        }
    }
}

impl Hazard {
    /// Returns the remedies to try.
    pub(crate) fn remedies(&self) -> &'static [Remedy] {
        match self {
            Self::Overwritten { is_shared: false, .. } => &[Remedy::ReleaseToWriter],
            Self::ReadOld => &[Remedy::Release],
            Self::Discarded { .. } => &[Remedy::AcquireFirst, Remedy::WriteBackFirst],
            Self::Stale(_) => &[Remedy::Acquire, Remedy::ReleaseToWriter],
            Self::Late(_) => &[Remedy::AcquireFirst],
            Self::Early => &[Remedy::Order],
            Self::Overwritten { .. } | Self::ReadEvicted => &[],
        }
    }

    /// Returns the change of layout that would help. It cannot be tried.
    fn layout(&self) -> Option<&'static str> {
        match self {
            Self::Overwritten { is_shared: true, .. } => Some(
                "stored bytes and those of the other side share a line: give each a line of its own, or use a bounce buffer",
            ),
            Self::Discarded { is_shared: true } => Some(
                "the dirty bytes had to be written back first: pad or bounce the buffer, whose lines have other data too",
            ),
            _ => None,
        }
    }
}

impl Remedy {
    /// Returns the operations, one of which the driver has issued if it has made the call.
    fn calls(self) -> &'static [Operation] {
        match self {
            Self::Release => &[Operation::WriteBack, Operation::WriteBackInvalidate],
            Self::ReleaseToWriter => &[Operation::WriteBackInvalidate],
            Self::Acquire => &[Operation::Invalidate],
            Self::AcquireFirst | Self::Order | Self::WriteBackFirst => &[],
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Release => {
                "`release` before the other side is told to read would have written the line back"
            }
            Self::ReleaseToWriter => {
                "`release_to_writer` before the other side writes would have left no dirty line"
            }
            Self::Acquire => {
                "`acquire` after the other side has finished would have dropped the copy"
            }
            Self::AcquireFirst => {
                "`acquire` before the first store would have kept both the store and the other side's bytes"
            }
            Self::Order => {
                "`order_observed` after the load of the flag would have kept the invalidation behind that load"
            }
            Self::WriteBackFirst => {
                "the dirty bytes had to be written back first: by `release` for a reader, by `release_to_writer` before the \
                 other side writes"
            }
        }
    }
}

/// Describes the last lines that lost data, at most two, each with the events that led to the loss; and what helps.
pub(crate) fn tell(memory: &Memory, helpful: &[Trial]) -> String {
    let mut text = String::new();
    let mut lines: Vec<_> =
        memory.all_lines().filter_map(|line| Some((last_hazard(line, helpful)?, line))).collect();
    lines.sort_by_key(|(hazard, _)| std::cmp::Reverse(*hazard));
    let best = lines.first().map(|(hazard, _)| hazard.0);
    for ((_, _, n), line) in lines.into_iter().filter(|(hazard, _)| Some(hazard.0) == best).take(2)
    {
        let events = line.history();
        let (name, first) = memory.name_of_line(line.address);
        _ = writeln!(text, "\n{name}:");
        let offset = line.address.cast_signed() - first.cast_signed();
        let sentences =
            events[..=n].iter().map(|event| sentence(event, offset, memory.bases.len()));
        tell_line(&mut text, sentences.collect());
        let layout = events[n].hazard.as_ref().and_then(Hazard::layout);
        if let Some(layout) = layout.filter(|_| helpful.is_empty()) {
            _ = writeln!(text, "   => {layout}. This was not tried: it changes the layout.");
        }
    }
    for (remedy, scope) in helpful {
        let lines: Vec<_> = memory.all_lines().filter(|line| line.scope == *scope).collect();
        if lines.is_empty() {
            continue;
        }
        let buffer = memory.buffers.iter().find(|buffer| buffer.scope() == *scope);
        let name = buffer.map(|buffer| format!(" ({buffer})")).unwrap_or_default();
        _ = writeln!(text, "   => {}{name}. Tried: all seeds pass.", remedy.text());
        let calls = remedy.calls();
        if !calls.is_empty()
            && !lines.iter().any(|line| calls.iter().any(|of| line.met.contains(of)))
        {
            text += "      No such call on this buffer has reached the machine. If the driver makes one, its cache is not the \
                     machine, and this call did not reach the machine.\n";
        }
    }
    text
}

/// Returns the last event of a line that can have lost data: its rank, time and place. Those that a remedy helps come first,
/// and reads of evicted bytes last.
fn last_hazard(line: &Line, helpful: &[Trial]) -> Option<(u8, u64, usize)> {
    let rank = |(n, event): (usize, Event)| {
        let hazard = event.hazard?;
        let is_helped = hazard.remedies().iter().any(|of| helpful.contains(&(*of, line.scope)));
        let rank = if is_helped { 2 } else { u8::from(!matches!(hazard, Hazard::ReadEvicted)) };
        Some((rank, event.at, n))
    };
    line.history().into_iter().enumerate().filter_map(rank).max()
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

/// Returns the sentence of an event of a line, whose bytes count from `offset`.
fn sentence(event: &Event, offset: isize, cpus: usize) -> String {
    let Event { cpu, what, hazard, .. } = event;
    let bytes = |range: &Range<usize>| {
        let [from, to] = [range.start, range.end].map(|at| offset + at.cast_signed());
        format!("bytes {from}..{to}")
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
        None | Some(Hazard::Early) => told,
        Some(Hazard::Overwritten { bytes: range, .. }) => {
            format!("{told}, OVER {} written by the other side", bytes(range))
        }
        Some(Hazard::ReadOld) => format!("{told}: OLD bytes; the new ones are in the cache"),
        Some(Hazard::ReadEvicted) => {
            format!("{told}: NEW bytes, which no call has released, but an eviction has written")
        }
        Some(Hazard::Discarded { .. }) => format!("{told}, which was dirty: its stores are LOST"),
        Some(Hazard::Stale(range) | Hazard::Late(range)) => {
            format!("{told}: {} in memory are NEWER", bytes(range))
        }
    }
}
