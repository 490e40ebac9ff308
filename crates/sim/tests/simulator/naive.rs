//! The models again, as directly as possible: relations between stores, and every set of stores that they allow. This
//! is slow, and shares nothing with the simulator except the manuals.

use std::collections::{BTreeMap, BTreeSet};

/// Words of a line.
pub(super) const LINE: u64 = 8;
/// Words of a page.
const PAGE: u64 = 512;

/// An instruction; words are numbered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Do {
    Store {
        word: u64,
        value: u64,
        releases: bool,
    },
    /// Words in any order.
    Copy {
        words: Vec<(u64, u64)>,
    },
    /// Words whose order with earlier stores is open too, by ordinary stores.
    Scattered {
        words: Vec<(u64, u64)>,
    },
    Streaming {
        word: u64,
        value: u64,
    },
    Load {
        word: u64,
        acquires: bool,
    },
    Writeback {
        word: u64,
    },
    Clflush {
        word: u64,
    },
    Fence,
    Barrier,
    /// Another process goes on.
    Kill,
    Note,
}

/// The kind of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    X86,
    Arm64,
    Neutral,
    Eadr,
    Pages,
    Kept,
}

/// A program: instructions of threads in the order of memory.
pub(super) type Program = Vec<(usize, Do)>;

/// A store of one word.
struct Stored {
    event: usize,
    thread: usize,
    word: u64,
    value: u64,
    /// True if the order of the store with earlier ones is open, unless its thread fences in between. A copy has its
    /// place before all later stores, since it has returned. A streaming store has no place until its thread fences.
    is_open: bool,
    is_streaming: bool,
    releases: bool,
}

/// A program with its relations.
pub(super) struct Naive<'a> {
    kind: Kind,
    program: &'a [(usize, Do)],
    stores: Vec<Stored>,
    /// `before[s]` has `r`: `r` is persistent if `s` is.
    before: Vec<BTreeSet<usize>>,
}

/// The words that are not zero.
pub(super) type Memory = BTreeMap<u64, u64>;

impl<'a> Naive<'a> {
    pub(super) fn new(kind: Kind, program: &'a [(usize, Do)]) -> Self {
        let mut stores = Vec::new();
        for (event, (thread, instruction)) in program.iter().enumerate() {
            let mut store = |word, value, is_open, is_streaming, releases| {
                let thread = *thread;
                stores.push(Stored { event, thread, word, value, is_open, is_streaming, releases });
            };
            match instruction {
                Do::Store { word, value, releases } => {
                    store(*word, *value, false, false, *releases);
                }
                Do::Streaming { word, value } => store(*word, *value, true, true, false),
                Do::Copy { words } => {
                    for (word, value) in words {
                        store(*word, *value, false, false, false);
                    }
                }
                Do::Scattered { words } => {
                    for (word, value) in words {
                        store(*word, *value, true, false, false);
                    }
                }
                _ => {}
            }
        }
        let mut naive = Self { kind, program, stores, before: Vec::new() };
        naive.before = close(naive.direct());
        // Persistence in order is a matter of one line.
        for (later, before) in naive.before.iter_mut().enumerate() {
            let line = naive.stores[later].word / LINE;
            before.retain(|earlier| naive.stores[*earlier].word / LINE == line);
        }
        naive
    }

    fn is_total(&self) -> bool {
        matches!(self.kind, Kind::X86 | Kind::Eadr | Kind::Kept)
    }

    /// Returns true if a thread made a fence or barrier between two events.
    fn fenced(&self, thread: usize, from: usize, to: usize) -> bool {
        let is_one = |(other, instruction): &(usize, Do)| {
            *other == thread && matches!(instruction, Do::Fence | Do::Barrier)
        };
        from < to && self.program[from + 1..to].iter().any(is_one)
    }

    /// Returns true if a store's place in the order is settled at an event.
    fn is_settled(&self, store: &Stored, at: usize) -> bool {
        let has_returned = !store.is_streaming && store.event < at;
        !store.is_open || has_returned || self.fenced(store.thread, store.event, at)
    }

    /// Returns the store that a load read from.
    fn read_from(&self, load: usize, word: u64) -> Option<usize> {
        (0..self.stores.len())
            .rev()
            .find(|store| self.stores[*store].word == word && self.stores[*store].event < load)
    }

    /// Returns the loads of a thread before an event: the time, the store of another thread, and true for an acquire.
    fn loads(&self, thread: usize, before: usize) -> Vec<(usize, usize, bool)> {
        let mut loads = Vec::new();
        for (event, (other, instruction)) in self.program[..before].iter().enumerate() {
            if let Do::Load { word, acquires } = instruction
                && *other == thread
                && let Some(store) = self.read_from(event, *word)
                && self.stores[store].thread != thread
            {
                loads.push((event, store, *acquires));
            }
        }
        loads
    }

    /// Returns the stores directly before each store.
    fn direct(&self) -> Vec<BTreeSet<usize>> {
        let all = 0..self.stores.len();
        all.clone()
            .map(|later| all.clone().filter(|earlier| self.is_before(*earlier, later)).collect())
            .collect()
    }

    fn is_before(&self, earlier: usize, later: usize) -> bool {
        let (r, s) = (&self.stores[earlier], &self.stores[later]);
        if earlier >= later || r.event == s.event && r.word != s.word {
            return false;
        }
        if r.word == s.word {
            return true;
        }
        match self.kind {
            Kind::Neutral | Kind::Pages => false,
            Kind::X86 | Kind::Eadr | Kind::Kept => {
                r.word / LINE == s.word / LINE && !s.is_open && self.is_settled(r, s.event)
            }
            Kind::Arm64 => self.is_observed_before(earlier, later),
        }
    }

    /// Returns true on arm64 if a release, acquire or a barrier orders the stores.
    fn is_observed_before(&self, earlier: usize, later: usize) -> bool {
        let (r, s) = (&self.stores[earlier], &self.stores[later]);
        let is_own = r.thread == s.thread;
        let by_own = is_own
            && (self.fenced(s.thread, r.event, s.event)
                || s.releases && self.is_settled(r, s.event));
        let by_load = self.loads(s.thread, s.event).into_iter().any(|(load, from, acquires)| {
            from == earlier && (acquires || s.releases || self.fenced(s.thread, load, s.event))
        });
        by_own || by_load
    }

    /// Returns the stores that are sure to survive a crash when the events before `end` have happened.
    fn sure(&self, end: usize) -> BTreeSet<usize> {
        let mut sure = BTreeSet::new();
        for (event, (thread, instruction)) in self.program[..end].iter().enumerate() {
            match instruction {
                Do::Writeback { word } | Do::Clflush { word } if self.is_written_back_model() => {
                    let is_done = matches!(instruction, Do::Clflush { .. })
                        && self.kind == Kind::X86
                        || self.completes(*thread, event, end);
                    if is_done {
                        sure.extend(self.known(*thread, event, *word));
                    }
                }
                _ => {}
            }
        }
        for (number, store) in self.stores.iter().enumerate() {
            let is_completed = store.is_streaming && self.completes(store.thread, store.event, end);
            let is_sure = store.event < end
                && match self.kind {
                    Kind::Kept => true,
                    Kind::Eadr => !store.is_streaming || is_completed,
                    Kind::Pages => false,
                    Kind::X86 | Kind::Arm64 | Kind::Neutral => is_completed,
                };
            if is_sure {
                sure.insert(number);
            }
        }
        let needed: Vec<_> = sure.iter().flat_map(|store| self.before[*store].clone()).collect();
        sure.extend(needed);
        sure
    }

    fn is_written_back_model(&self) -> bool {
        matches!(self.kind, Kind::X86 | Kind::Arm64 | Kind::Neutral | Kind::Pages)
    }

    /// Returns true if a completing fence of the thread follows an event.
    fn completes(&self, thread: usize, event: usize, end: usize) -> bool {
        let is_one =
            |(other, instruction): &(usize, Do)| *other == thread && *instruction == Do::Fence;
        event < end && self.program[event + 1..end].iter().any(is_one)
    }

    /// Returns true if a write-back of one word has the other one: on each architecture if it is the same, on those with
    /// lines of this size if it is in the same line, and if both are in one page that the system writes.
    fn are_written_back_together(&self, one: u64, other: u64) -> bool {
        match self.kind {
            Kind::Neutral => one == other,
            Kind::Pages => one / PAGE == other / PAGE,
            _ => one / LINE == other / LINE,
        }
    }

    /// Returns the stores that a thread's write-back of a word has for sure.
    fn known(&self, thread: usize, event: usize, word: u64) -> Vec<usize> {
        let loads = self.loads(thread, event);
        let is_one = |number: &usize| {
            let store = &self.stores[*number];
            let is_loaded = loads.iter().any(|(_, from, _)| {
                if self.is_total() {
                    *from == *number || self.tso_before(*number, *from)
                } else {
                    *from == *number
                }
            });
            store.event < event
                && self.are_written_back_together(word, store.word)
                && (!store.is_streaming || self.is_settled(store, event))
                && (store.thread == thread || is_loaded || self.fenced(thread, store.event, event))
        };
        (0..self.stores.len()).filter(is_one).collect()
    }

    /// Returns true if on x86 a reader of `later` must see `earlier` in memory. That is so by program order, by the
    /// values that a thread had read before it stored, by order of a word; again and again. A store whose order is open
    /// comes after earlier reads of its thread, and after earlier stores if there is a fence in between.
    fn tso_before(&self, earlier: usize, later: usize) -> bool {
        if earlier >= later {
            return false;
        }
        let s = &self.stores[later];
        let by_program = |other: usize| {
            let r = &self.stores[other];
            r.thread == s.thread
                && r.event < s.event
                && self.is_settled(r, s.event)
                && (!s.is_open || self.fenced(s.thread, r.event, s.event))
        };
        let is_directly_before =
            |other: usize| self.stores[other].word == s.word || by_program(other);
        let loads = self.loads(s.thread, s.event);
        is_directly_before(earlier)
            || loads.iter().any(|(_, from, _)| *from == earlier || self.tso_before(earlier, *from))
            || (earlier + 1..later)
                .any(|middle| is_directly_before(middle) && self.tso_before(earlier, middle))
    }

    /// Returns every memory that a crash may leave, with the number of notes made. `below` is the memory before.
    pub(super) fn images(&self, below: &Memory) -> BTreeSet<(usize, Memory)> {
        let mut images = BTreeSet::new();
        for during in 0..=self.program.len() {
            // Event `during` has begun: its stores may be there, the write-backs it completes are not sure yet.
            let made: Vec<_> = (0..self.stores.len())
                .filter(|store| self.stores[*store].event <= during)
                .collect();
            let sure = self.sure(during);
            let is_note = |(_, instruction): &&(usize, Do)| *instruction == Do::Note;
            let notes = self.program[..during].iter().filter(is_note).count();
            for extra in 0..=self.late_notes(during) {
                for image in self.sets(&made, &sure, below) {
                    images.insert((notes + extra, image));
                }
            }
        }
        images
    }

    /// Notes that the thread may have made although an effect is still in its store buffer.
    fn late_notes(&self, during: usize) -> usize {
        let Some((thread, instruction)) = self.program.get(during) else { return 0 };
        let is_buffered = match instruction {
            Do::Store { .. } | Do::Copy { .. } | Do::Scattered { .. } => self.kind == Kind::Eadr,
            Do::Clflush { .. } => self.kind == Kind::X86,
            _ => false,
        };
        if !is_buffered {
            return 0;
        }
        // An effect has left the buffer if another thread has read the thread's store that made it, or a later one.
        let is_seen = |event: usize, other: usize, word: u64| {
            let from = self.read_from(event, word).map(|store| &self.stores[store]);
            from.is_some_and(|from| {
                from.thread == *thread && from.event >= during && other != *thread
            })
        };
        let later = self.program.iter().enumerate().skip(during + 1);
        let until = later.take_while(|(event, (other, instruction))| match instruction {
            Do::Fence => other != thread,
            Do::Note => other == thread,
            Do::Load { word, .. } => !is_seen(*event, *other, *word),
            _ => true,
        });
        until.filter(|(_, (_, instruction))| *instruction == Do::Note).count()
    }

    /// Returns the memories of every allowed set of stores.
    fn sets(&self, made: &[usize], sure: &BTreeSet<usize>, below: &Memory) -> Vec<Memory> {
        let open: Vec<_> = made.iter().copied().filter(|store| !sure.contains(store)).collect();
        // As many as a generated program can have: each stores two words at most.
        assert!(open.len() <= 16, "too many sets");
        let mut memories = Vec::new();
        for chosen in 0..1_u32 << open.len() {
            let is_chosen = |store: &usize| {
                sure.contains(store)
                    || open
                        .iter()
                        .position(|one| one == store)
                        .is_some_and(|place| chosen >> place & 1 == 1)
            };
            let set: Vec<_> = made.iter().copied().filter(is_chosen).collect();
            if set
                .iter()
                .all(|store| self.before[*store].iter().all(|earlier| set.contains(earlier)))
            {
                let mut memory = below.clone();
                for store in set {
                    memory.insert(self.stores[store].word, self.stores[store].value);
                }
                memory.retain(|_, value| *value != 0);
                memories.push(memory);
            }
        }
        memories
    }
}

/// Returns the transitive closure; a store before another has a smaller number.
fn close(mut before: Vec<BTreeSet<usize>>) -> Vec<BTreeSet<usize>> {
    for later in 0..before.len() {
        let direct: Vec<_> = before[later].iter().copied().collect();
        for earlier in direct {
            let further = before[earlier].clone();
            before[later].extend(further);
        }
    }
    before
}
