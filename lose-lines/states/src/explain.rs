//! The losses of one cut, in words.

use std::collections::{BTreeMap, HashSet};

use crate::choice::{Choice, Kept};
use crate::graph::{Effect, Graph, Number};
use crate::image::Image;
use crate::model::Model;
use crate::operation::{Entry, Log, Object, Operation, Record, Synced, Via};
use crate::states::State;

/// A cut: the effects that are not durable there, and the states that it can leave.
#[derive(Debug)]
pub struct Cut<'a> {
    graph: Graph<'a>,
}

/// An operation that was lost, wholly or in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostOperation {
    /// The index of its record.
    pub record: usize,
    /// The number of its call.
    pub call: u64,
    /// The name of its call.
    pub name: String,
    /// The path of the file, or of the entry.
    pub path: String,
    /// The first lost byte and the number of bytes, of a write.
    pub range: Option<(u64, u64)>,
    /// The operation in words, with its place in the source.
    pub what: String,
    /// The reason why it was not durable: the rest of a sentence that begins with `what`.
    pub why: String,
}

impl<'a> Cut<'a> {
    /// Makes the cut before a record.
    #[must_use]
    pub fn new(log: &'a Log, model: Model, record: usize) -> Self {
        Self { graph: Graph::before(log, model, record) }
    }

    /// Returns the effects that a state loses.
    #[must_use]
    pub fn lost(&self, kept: &Kept) -> Vec<u32> {
        let kept: HashSet<_> = kept.of(&self.graph).into_iter().collect();
        self.graph.pending.iter().filter(|number| !kept.contains(number)).copied().collect()
    }

    /// Returns the effects that a state keeps of those that are not durable.
    #[must_use]
    pub fn kept(&self, kept: &Kept) -> Vec<u32> {
        kept.of(&self.graph)
    }

    /// Returns the state without these effects and what needs them.
    #[must_use]
    pub fn losing(&self, lost: &[u32]) -> State {
        let lost: HashSet<_> = lost.iter().copied().collect();
        self.state(&self.graph.closed(|number| !lost.contains(&number)))
    }

    /// Returns the state with only these effects and what they need, besides the durable ones.
    #[must_use]
    pub fn keeping(&self, kept: &[u32]) -> State {
        let needed: HashSet<_> = kept.iter().flat_map(|one| self.graph.needs(*one)).collect();
        self.state(&self.graph.closed(|number| needed.contains(&number)))
    }

    fn state(&self, kept: &[Number]) -> State {
        let graph = &self.graph;
        let has: HashSet<_> = kept.iter().collect();
        let lost: Vec<_> =
            graph.pending.iter().filter(|number| !has.contains(number)).copied().collect();
        State {
            image: graph.state(kept),
            lines: graph.lines,
            pending: graph.pending.len(),
            lost: lost.len(),
            depends_on_clock: graph.depends_on_clock(&lost),
            choice: Choice { cut: graph.at, kept: Kept::AllBut(lost) },
        }
    }

    /// Returns what is durable at the cut.
    #[must_use]
    pub fn durable(&self) -> &Image {
        &self.graph.image
    }

    /// Returns the operations of lost effects, in order, with the reason why each was not durable. The function returns the
    /// place with an index in [`Log::places`], to be printed.
    #[must_use]
    pub fn operations(
        &self,
        effects: &[u32],
        mut place: impl FnMut(usize) -> Option<String>,
    ) -> Vec<LostOperation> {
        let operation =
            |(record, numbers): (_, Vec<_>)| self.operation(record, &numbers, "", &mut place);
        self.by_record(effects).into_iter().map(operation).collect()
    }

    /// Returns the operations of effects that survived, in order. A size that does not bring its bytes is called a size.
    #[must_use]
    pub fn survivors(
        &self,
        effects: &[u32],
        mut place: impl FnMut(usize) -> Option<String>,
    ) -> Vec<LostOperation> {
        let operation = |(record, numbers): (usize, Vec<Number>)| {
            let brought: HashSet<_> =
                numbers.iter().flat_map(|one| self.graph.needs(*one)).collect();
            let is_of = |number: &Number| self.graph.atom(*number).record == record;
            let brought: Vec<Number> = brought.into_iter().filter(is_of).collect();
            let part = if self.range(&brought).is_none() { "the size after " } else { "" };
            self.operation(record, &numbers, part, &mut place)
        };
        self.by_record(effects).into_iter().map(operation).collect()
    }

    fn by_record(&self, effects: &[u32]) -> BTreeMap<usize, Vec<Number>> {
        let mut by_record: BTreeMap<usize, Vec<Number>> = BTreeMap::new();
        for number in effects {
            by_record.entry(self.graph.atom(*number).record).or_default().push(*number);
        }
        by_record
    }

    /// Returns an operation. `size` are the words before a write of which only the size is meant.
    fn operation(
        &self,
        record: usize,
        numbers: &[Number],
        size: &str,
        place: &mut impl FnMut(usize) -> Option<String>,
    ) -> LostOperation {
        let log = self.graph.log;
        let of = &log.records[record];
        let (what, path) = self.in_words(record, numbers, size);
        let at = of.place.and_then(&mut *place).map(|place| format!("{place}, "));
        LostOperation {
            record,
            call: of.call,
            name: of.name.clone().into_owned(),
            path,
            range: self.range(numbers),
            what: format!("{what} ({}call {})", at.unwrap_or_default(), of.call),
            why: self.why(record, place),
        }
    }

    /// Returns the range of bytes that these effects cover.
    fn range(&self, numbers: &[Number]) -> Option<(u64, u64)> {
        let ranges = numbers.iter().filter_map(|number| match self.graph.atom(*number).effect {
            Effect::Bytes { at, len, .. } => Some((at, at + len as u64)),
            _ => None,
        });
        let whole = ranges.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
        Some((whole.0, whole.1 - whole.0))
    }

    fn in_words(&self, record: usize, numbers: &[Number], size: &str) -> (String, String) {
        let log = self.graph.log;
        let path = |object: Object| log.path_before(object, record + 1);
        match &log.records[record].operation {
            Operation::Entries(entries) => entries_in_words(log, entries, record),
            Operation::Write { file, at, bytes, via } => {
                let path = path(*file);
                let verb = match via {
                    Via::Mapping => "the store through a mapping",
                    Via::Cache | Via::Direct => "the write",
                };
                let all = (*at, bytes.len() as u64);
                let part = match self.range(numbers) {
                    Some(part) if part != all => {
                        format!("bytes {}..{} of ", part.0, part.0 + part.1)
                    }
                    Some(_) => String::new(),
                    // Lost, all of it is: none of it is seen without its size.
                    None => size.to_owned(),
                };
                let (at, len) = all;
                (format!("{part}{verb} of {len} bytes at {at} of `{path}`"), path)
            }
            Operation::Resize { file, size } => {
                let path = path(*file);
                (format!("the change of the size of `{path}` to {size}"), path)
            }
            Operation::Zero { file, at, len } => {
                let path = path(*file);
                (format!("the hole of {len} bytes at {at} of `{path}`"), path)
            }
            Operation::WriteBack { file, .. } => {
                let path = path(*file);
                (format!("the write-back of `{path}`"), path)
            }
            Operation::Close { file } => {
                let path = path(*file);
                (format!("the close of `{path}`"), path)
            }
            _ => (String::from("an operation"), String::new()),
        }
    }

    fn why(&self, record: usize, place: &mut impl FnMut(usize) -> Option<String>) -> String {
        let log = self.graph.log;
        let (objects, noun): (Vec<Object>, _) = match &log.records[record].operation {
            Operation::Entries(entries) => {
                let mut directories: Vec<_> = entries.iter().map(|entry| entry.directory).collect();
                directories.dedup();
                let is_one = directories.len() == 1;
                (directories, if is_one { "its directory" } else { "its directories" })
            }
            Operation::Write { file, .. }
            | Operation::Resize { file, .. }
            | Operation::Zero { file, .. }
            | Operation::WriteBack { file, .. }
            | Operation::Close { file } => (vec![*file], "the file"),
            _ => return String::new(),
        };
        // One that began before the operation does not cover it.
        let is_later = |at: usize| {
            let begins = |of: &Record| {
                of.call == log.records[at].call && matches!(of.operation, Operation::Begin { .. })
            };
            !log.records[..record].iter().any(begins)
        };
        let syncs = |at: &usize| match &log.records[*at].operation {
            Operation::Sync { object, .. } => objects.contains(object) && is_later(*at),
            Operation::SyncAll => is_later(*at),
            _ => false,
        };
        let mut describe = |at: usize| {
            let of = &log.records[at];
            let place = of.place.and_then(&mut *place).map(|place| format!("{place}, "));
            format!("{} ({}call {})", of.name, place.unwrap_or_default(), of.call)
        };
        let cut = self.graph.at;
        if let Some(at) = (record + 1..cut).find(syncs) {
            let part = match &log.records[at].operation {
                Operation::Sync { part: Synced::Range { .. }, .. } => "another range",
                _ => "only the data",
            };
            return format!("was not made durable: the {} covers {part}", describe(at));
        }
        let sync = match noun {
            "the file" => "an fsync of the file",
            "its directory" => "an fsync of its directory",
            _ => "an fsync of its directories",
        };
        match (cut..log.records.len()).find(syncs) {
            Some(at) => format!(
                "was not followed by {sync} before the cut; the {} came too late",
                describe(at)
            ),
            None => format!("was not followed by {sync}"),
        }
    }
}

fn entries_in_words(log: &Log, entries: &[Entry], record: usize) -> (String, String) {
    let path = |entry: &Entry| {
        let name = String::from_utf8_lossy(&entry.name);
        match log.path_before(entry.directory, record + 1).as_str() {
            "." => name.into_owned(),
            directory => format!("{directory}/{name}"),
        }
    };
    match entries {
        [one] => {
            let path = path(one);
            let is_new = one.object.is_some_and(|object| {
                let mut before = log.records[..record].iter().flat_map(Record::entries);
                !before.any(|entry| entry.object == Some(object))
            });
            let verb = match (one.object, is_new) {
                (None, _) => "removal",
                (Some(_), true) => "creation",
                (Some(_), false) => "new name",
            };
            (format!("the {verb} of `{path}`"), path)
        }
        [old, new] if old.object.is_none() => {
            let (old, new) = (path(old), path(new));
            (format!("the rename of `{old}` to `{new}`"), new)
        }
        [one, other] => {
            let (one, other) = (path(one), path(other));
            (format!("the exchange of `{one}` and `{other}`"), one)
        }
        _ => (String::from("a change of entries"), String::new()),
    }
}
