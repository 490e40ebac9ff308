//! Choosing states by seed, and the states themselves.

use core::fmt;
use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::choice::{Choice, Keep, Kept, Random, at_promises, by_seed};
use crate::graph::{Graph, Number};
use crate::image::{Image, Shown};
use crate::model::Model;
use crate::operation::{Log, Operation};

/// Among ten states of a run, this many have each choice.
const SHARES: [Keep; 10] = [
    Keep::All,
    Keep::None,
    Keep::Half,
    Keep::Half,
    Keep::Some,
    Keep::Some,
    Keep::AllButOne,
    Keep::AllButOne,
    Keep::One,
    Keep::Before,
];

impl Kept {
    pub(crate) fn of(&self, graph: &Graph<'_>) -> Vec<Number> {
        let (seed, keep) = match self {
            Self::AllBut(lost) => return graph.closed(|number| !lost.contains(&number)),
            Self::Chosen { seed, keep } => (*seed, *keep),
        };
        let mut random = Random(seed);
        let pending = &graph.pending;
        let Some(one) = pending.get(random.below(pending.len())).copied() else {
            return Vec::new();
        };
        match keep {
            Keep::All => pending.clone(),
            Keep::None => Vec::new(),
            Keep::Half => graph.closed(|_number| random.number() & 1 == 0),
            Keep::Some => {
                let odds = random.below(95) + 3;
                graph.closed(|_number| random.below(100) < odds)
            }
            Keep::AllButOne => graph.closed(|number| number != one),
            Keep::One => {
                let needed = graph.needs(one);
                graph.closed(|number| needed.contains(&number))
            }
            Keep::Before => {
                let record = graph.atom(one).record;
                graph.closed(|number| graph.atom(number).record < record)
            }
        }
    }
}

/// A state that a power cut may leave.
#[derive(Clone, Debug)]
pub struct State {
    /// The name of the state.
    pub choice: Choice,
    /// The files.
    pub image: Image,
    /// The number of lines that the program had printed.
    pub lines: usize,
    /// The number of effects that were not durable, and of those that were lost.
    pub pending: usize,
    /// The number of lost effects.
    pub lost: usize,
    /// True if an fsync would have prevented the loss if the clock had ticked before it.
    pub depends_on_clock: bool,
}

/// What has been shown of a log: a reader needs it to believe that nothing is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The places between operations.
    pub places: usize,
    /// Those at which a state was shown.
    pub shown: usize,
    /// The operations that a sync made durable at some time.
    pub synced: usize,
    /// Those of them that no shown state had lost.
    pub never_lost: usize,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { places, shown, synced, never_lost } = self;
        write!(
            f,
            "{places} places to cut, {shown} shown; {never_lost} of {synced} synced operations never lost"
        )
    }
}

/// The distinct states of a log under a model, in the order of their cuts.
#[derive(Debug)]
pub struct States<'a> {
    graph: Graph<'a>,
    places: Vec<usize>,
    left: VecDeque<Choice>,
    /// Choices of the present place, in systematic order.
    more: VecDeque<Vec<Number>>,
    is_systematic: bool,
    count: usize,
    seed: u64,
    is_begun: bool,
    seen: Shown,
    shown: HashSet<usize>,
    lost: HashSet<usize>,
    built: usize,
}

impl<'a> States<'a> {
    /// Makes 1,000 choices by seed 0.
    #[must_use]
    pub fn new(log: &'a Log, model: Model) -> Self {
        let graph = Graph::new(log, model);
        let changes = |at: &usize| {
            !matches!(log.records[*at].operation, Operation::Make { .. } | Operation::Begin { .. })
        };
        let places = (log.begun..log.records.len()).filter(changes).chain([log.records.len()]);
        Self {
            graph,
            places: places.collect(),
            left: VecDeque::new(),
            more: VecDeque::new(),
            is_systematic: false,
            count: 1000,
            seed: 0,
            is_begun: false,
            seen: Shown::default(),
            shown: HashSet::new(),
            lost: HashSet::new(),
            built: 0,
        }
    }

    /// Makes this many choices by seed, besides the states just after each line and at the end. Equal states are returned
    /// once.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Chooses by this seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// At each place: all, none, and each effect and each operation lost alone and kept alone.
    #[must_use]
    pub fn systematic(mut self) -> Self {
        self.is_systematic = true;
        self
    }

    /// Returns only this state.
    #[must_use]
    pub fn only(mut self, choice: Choice) -> Self {
        (self.left, self.is_begun) = ([choice].into(), true);
        self
    }

    /// Returns what has been shown so far. Reads the log to its end.
    #[must_use]
    pub fn coverage(mut self) -> Coverage {
        self.graph.read_to(usize::MAX);
        let synced: HashSet<usize> =
            self.graph.synced.iter().map(|number| self.graph.atom(*number).record).collect();
        Coverage {
            places: self.places.len(),
            shown: self.shown.len(),
            synced: synced.len(),
            never_lost: synced.difference(&self.lost).count(),
        }
    }

    /// Returns the number of states that are still to be built, as far as it is known.
    #[must_use]
    pub fn at_most(&mut self) -> usize {
        if !self.is_begun {
            self.begin();
        }
        self.left.len()
    }

    /// Returns the number of states built so far, equal ones too.
    #[must_use]
    pub fn built(&self) -> usize {
        self.built
    }

    fn begin(&mut self) {
        self.is_begun = true;
        let chosen =
            |cut: &usize| Choice { cut: *cut, kept: Kept::Chosen { seed: 0, keep: Keep::All } };
        let mut all: Vec<Choice> = if self.is_systematic {
            self.places.iter().map(chosen).collect()
        } else if self.count == 0 {
            Vec::new()
        } else {
            let promised = self.promised();
            let mut all = at_promises(&promised, promised.len(), Keep::None);
            all.push(chosen(&self.graph.log.records.len()));
            let keep = |random: &mut Random| SHARES[random.below(SHARES.len())];
            // Half of them where the most has been promised.
            all.extend(by_seed([&self.places, &promised], self.seed, keep).take(self.count));
            all
        };
        all.sort();
        self.left = all.into();
    }

    /// Returns the places just after a line, and the end.
    fn promised(&self) -> Vec<usize> {
        let records = &self.graph.log.records;
        let is_line = |at: &usize| matches!(records[*at].operation, Operation::Line(_));
        let lines = (self.graph.log.begun..records.len()).filter(is_line);
        let places: BTreeSet<usize> = lines.map(|at| at + 1).chain([records.len()]).collect();
        places.into_iter().collect()
    }

    /// Returns the sets of effects to keep at the present place, besides all of them.
    fn sets(&self) -> VecDeque<Vec<Number>> {
        let graph = &self.graph;
        let mut sets = VecDeque::from([Vec::new()]);
        let records: BTreeSet<usize> =
            graph.pending.iter().map(|number| graph.atom(*number).record).collect();
        if graph.pending.len() <= 64 {
            for one in &graph.pending {
                let needed = graph.needs(*one);
                sets.push_back(graph.closed(|number| number != *one));
                sets.push_back(graph.closed(|number| needed.contains(&number)));
            }
        }
        for record in records {
            let is_of = |number: &Number| graph.atom(*number).record == record;
            sets.push_back(graph.closed(|number| !is_of(&number)));
            let of = graph.pending.iter().filter(|number| is_of(number));
            let needed: HashSet<_> = of.flat_map(|number| graph.needs(*number)).collect();
            sets.push_back(graph.closed(|number| needed.contains(&number)));
        }
        sets
    }

    /// Returns the state with these effects, unless an equal one was shown.
    fn show(&mut self, kept: &[Number], choice: Option<Choice>) -> Option<State> {
        let graph = &self.graph;
        let image = graph.state(kept);
        let kept: HashSet<_> = kept.iter().collect();
        let lost: Vec<_> =
            graph.pending.iter().filter(|number| !kept.contains(number)).copied().collect();
        self.built += 1;
        // Nothing changes before the next place.
        let place = self.places.partition_point(|place| *place < graph.at);
        self.shown.extend(self.places.get(place));
        self.lost.extend(lost.iter().map(|number| graph.atom(*number).record));
        if !self.seen.insert(graph.lines, image.clone()) {
            return None;
        }
        let (pending, losses) = (graph.pending.len(), lost.len());
        let depends_on_clock = graph.depends_on_clock(&lost);
        let choice = choice.unwrap_or(Choice { cut: graph.at, kept: Kept::AllBut(lost) });
        Some(State { choice, image, lines: graph.lines, pending, lost: losses, depends_on_clock })
    }
}

impl Iterator for States<'_> {
    type Item = State;

    fn next(&mut self) -> Option<State> {
        if !self.is_begun {
            self.begin();
        }
        loop {
            if let Some(kept) = self.more.pop_front() {
                if let Some(state) = self.show(&kept, None) {
                    return Some(state);
                }
                continue;
            }
            let choice = self.left.pop_front()?;
            self.graph.read_to(choice.cut);
            let kept = choice.kept.of(&self.graph);
            if self.is_systematic {
                self.more = self.sets();
            }
            if let Some(state) = self.show(&kept, Some(choice)) {
                return Some(state);
            }
        }
    }
}
