//! Looking for a history that fails: all short ones, and long ones by chance.

use super::chance::{self, Tastes};
use super::life::Pick;
use super::runner::{End, Lived, Node, Past, Runner, script};
use super::{Histories, Structure};
use crate::sim::crash::choices::{Choices, Way};
use crate::sim::failure::violation::Violation;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A history that failed.
#[derive(Clone, Debug)]
pub(super) struct Trail<O> {
    pub(super) past: Vec<Past<O>>,
    /// The operations of the life that failed.
    pub(super) operations: Vec<O>,
    /// The choices among the states that the last crash had left.
    pub(super) taken: Vec<u32>,
    pub(super) violation: Violation,
}

impl<O: Clone> Trail<O> {
    /// Returns the operations of each life. The last life has none if it failed at its opening, and is left out.
    pub(super) fn lives(&self) -> Vec<Vec<O>> {
        let last = Some(&self.operations).filter(|operations| !operations.is_empty());
        self.past.iter().map(|past| &past.operations).chain(last).cloned().collect()
    }

    /// Returns the number of lives, that of the failure included, and of operations.
    pub(super) fn size(&self) -> (usize, usize) {
        let before: usize = self.past.iter().map(|past| past.operations.len()).sum();
        (self.past.len() + 1, before + self.operations.len())
    }
}

/// The reason why a search ends early.
pub(super) enum Stop<O> {
    /// The requested number of lives was reached.
    Spent,
    Failed(Trail<O>),
}

/// A history that failed, and the method that found it.
pub(super) type Failed<S> = (Trail<<S as Structure>::Operation>, String);

impl<O> Stop<O> {
    /// Returns the history that failed, if there is one, and the method that found it.
    pub(super) fn failed(self, origin: impl FnOnce() -> String) -> Option<(Trail<O>, String)> {
        match self {
            Self::Failed(trail) => Some((trail, origin())),
            Self::Spent => None,
        }
    }
}

/// A part of a search.
type Attempt<T, O> = Result<T, Stop<O>>;

/// The rest of a search, behind a crash.
type Then<'t, 's, S> =
    &'t mut dyn FnMut(&mut Search<'s, S>, &Node<S>) -> Attempt<(), <S as Structure>::Operation>;

/// Chooses one of the operations that are possible in a life of this number; none, if the life ends.
type PickOf<'p, O> = dyn FnMut(usize, &[O]) -> Option<usize> + 'p;

/// States in order of a crash behind which a history goes on: all combinations would leave no time for operations.
const STATES: u32 = 1;

/// The factor by which a replay opens more states of each crash, if it has not opened all.
const MORE: u32 = 8;

/// Operations and crashes behind a life for which kills within it are tried, at most, its own crash included. With one,
/// the next life is an opening that is cut off. More would leave no time for operations.
const REST_AFTER_KILL: usize = 1;

/// The kills that are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kills {
    /// After the last operation.
    AtTheEnd,
    /// After the last operation, and within it.
    All,
}

/// A search.
pub(super) struct Search<'s, S: Structure> {
    pub(super) settings: &'s Histories,
    pub(super) runner: Runner<'s, S>,
    /// States in order, and by chance, that are opened after a crash.
    pub(super) bound: u32,
    /// The lives before the one that is lived.
    pub(super) path: Vec<Past<S::Operation>>,
    /// Lives that may still be lived.
    pub(super) left: u64,
    pub(super) histories: u64,
    pub(super) states: u64,
    /// The number of operations and crashes up to which all histories were tried.
    pub(super) length: Option<usize>,
    /// The number of last lives that had as many operations as they were to have, those without a trace included.
    complete: u64,
    /// The operations that were possible somewhere, in the order in which they were met.
    pub(super) known: Vec<S::Operation>,
    /// The number of histories with an earlier crash that were tried in every state of each crash.
    pub(super) in_all_states: u64,
    pub(super) by_chance: u64,
    /// True if not all states of a given history were tried. A crash has left more than were opened, or a life has read
    /// words behind its opening that a crash could have left in several states.
    pub(super) is_partial: bool,
    /// True if a crash of a given history has left more states than were opened.
    pub(super) is_cut: bool,
    /// True if an operation of a given history was not possible.
    pub(super) is_skipped: bool,
    chance: fastrand::Rng,
}

impl<'s, S: Structure> Search<'s, S> {
    pub(super) fn new(settings: &'s Histories, structure: &'s S) -> Self {
        let runner = Runner { simulation: &settings.simulation, structure };
        let chance = fastrand::Rng::with_seed(settings.seed);
        Self {
            settings,
            runner,
            bound: settings.states,
            path: Vec::new(),
            left: 0,
            histories: 0,
            states: 0,
            length: None,
            complete: 0,
            known: Vec::new(),
            in_all_states: 0,
            by_chance: 0,
            is_partial: false,
            is_cut: false,
            is_skipped: false,
            chance,
        }
    }

    /// Tries all histories in the order of their lengths, until the requested number of lives was reached. Returns the
    /// one that failed, and the method that found it.
    pub(super) fn all_short(&mut self) -> Option<Failed<S>> {
        self.left = self.settings.all;
        for length in 0.. {
            self.path.clear();
            let before = self.complete;
            if let Err(stop) = self.all(&self.runner.root(), length) {
                return stop.failed(|| format!("among all histories of length {length}"));
            }
            // A longer history begins with one of this length, which may have left no trace.
            if self.complete == before {
                return None;
            }
            self.length = Some(length);
        }
        None
    }

    /// Tries histories by chance. Returns the one that failed, and the method that found it.
    pub(super) fn by_chance(&mut self) -> Option<Failed<S>> {
        self.left = u64::MAX;
        (0..self.settings.by_chance).find_map(|number| {
            self.by_chance += 1;
            let stop = self.random(number).err()?;
            stop.failed(|| format!("by chance, number {number} of seed {}", self.settings.seed))
        })
    }

    /// Tries a given history, with more and more states of each crash, and by chance the parts that were not tried in
    /// order. Lives at most `all` lives in order, and `most` by chance. Returns the history if it failed. With the same
    /// settings it does the same, whatever was tried before, and with more lives it fails too.
    pub(super) fn replay(
        &mut self,
        lives: &[Vec<S::Operation>],
        all: u64,
        most: u64,
    ) -> Option<Failed<S>> {
        let Histories { seed, states, by_chance, .. } = *self.settings;
        self.chance = fastrand::Rng::with_seed(seed);
        (self.bound, self.left) = (states, all);
        loop {
            match self.given_anew(lives) {
                Ok(()) if !self.is_partial => return None,
                Ok(()) if self.is_cut => self.bound = self.bound.max(1).saturating_mul(MORE),
                Ok(()) | Err(Stop::Spent) => break,
                Err(stop) => return stop.failed(|| "as it was given".into()),
            }
        }
        // The lives before depend on their limit, and have drawn numbers.
        (self.bound, self.left) = (states, most);
        self.chance = fastrand::Rng::with_seed(seed);
        let ended = (0..by_chance).find_map(|number| {
            self.by_chance += 1;
            Some((number, self.scripted(&[], lives, number).err()?))
        });
        let (number, stop) = ended?;
        stop.failed(|| format!("as it was given, by chance, number {number} of seed {seed}"))
    }

    /// Tries all histories with these operations in their lives, and notes if something was left out.
    pub(super) fn given_anew(&mut self, lives: &[Vec<S::Operation>]) -> Attempt<(), S::Operation> {
        self.path.clear();
        (self.is_partial, self.is_cut, self.is_skipped) = (false, false, false);
        self.given(&self.runner.root(), lives)
    }

    /// Counts a life.
    fn spend(&mut self) -> Attempt<(), S::Operation> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Spent)?;
        Ok(())
    }

    fn stop(
        &self,
        operations: Vec<S::Operation>,
        taken: Vec<u32>,
        violation: Violation,
    ) -> Stop<S::Operation> {
        Stop::Failed(Trail { past: self.path.clone(), operations, taken, violation })
    }

    /// Lives a life, which must not fail.
    fn live(
        &mut self,
        node: &Node<S>,
        choices: Choices,
        pick: &mut Pick<'_, S::Operation>,
    ) -> Attempt<Lived<S>, S::Operation> {
        self.spend()?;
        let lived = self.runner.live(node, choices, u64::MAX, pick);
        let Err(violation) = lived.verdict.clone() else { return Ok(lived) };
        Err(self.stop(lived.operations(), lived.choices.taken(), violation))
    }

    /// Opens the states that a crash has left: each that the opening can distinguish. If these are more than `bound`,
    /// opens `bound` in order, and `bound` by chance. Returns the choices that lead to each.
    fn states(&mut self, node: &Node<S>, bound: u32) -> Attempt<Vec<Vec<u32>>, S::Operation> {
        let mut states = Vec::new();
        let mut choices = Choices::new(Way::All);
        for _ in 0..bound.max(1) {
            choices = self.open(node, choices, &mut states)?;
            if choices.advance().is_none() {
                return Ok(states);
            }
        }
        (self.is_partial, self.is_cut) = (true, true);
        self.open(node, Choices::new(Way::NearLast(0)), &mut states)?;
        for _ in 0..bound {
            let by_chance = Choices::new(Way::Random(self.chance.fork()));
            self.open(node, by_chance, &mut states)?;
        }
        Ok(states)
    }

    /// Opens the state that a crash has left, and does nothing more.
    fn open(
        &mut self,
        node: &Node<S>,
        choices: Choices,
        states: &mut Vec<Vec<u32>>,
    ) -> Attempt<Choices, S::Operation> {
        self.spend()?;
        self.states += 1;
        let (choices, verdict) = self.runner.open(node, choices);
        verdict.map_err(|violation| self.stop(Vec::new(), choices.taken(), violation))?;
        states.push(choices.taken());
        Ok(choices)
    }

    /// Ends a history: opens the states that the last crash has left.
    fn finish(&mut self, node: &Node<S>) -> Attempt<(), S::Operation> {
        self.histories += 1;
        self.states(node, self.bound).map(drop)
    }

    /// Tries all histories of `length` operations and crashes from a node on. The last crash does not count.
    pub(super) fn all(&mut self, node: &Node<S>, length: usize) -> Attempt<(), S::Operation> {
        for taken in self.states(node, STATES)? {
            for operations in 0..=length {
                self.lives(node, &taken, operations, length - operations)?;
            }
        }
        Ok(())
    }

    /// Tries all lives of `operations` operations, and the histories that go on for `rest` operations and crashes
    /// behind them.
    fn lives(
        &mut self,
        node: &Node<S>,
        taken: &[u32],
        operations: usize,
        rest: usize,
    ) -> Attempt<(), S::Operation> {
        let kills = if rest <= REST_AFTER_KILL { Kills::All } else { Kills::AtTheEnd };
        let mut order = Choices::new(Way::All);
        loop {
            let mut left = operations;
            let mut known = core::mem::take(&mut self.known);
            let mut pick = |possible: &[S::Operation]| {
                for operation in possible {
                    if !known.contains(operation) {
                        known.push(operation.clone());
                    }
                }
                left = left.checked_sub(1)?;
                match possible.len() {
                    0 => None,
                    1 => Some(0),
                    several => Some(order.choose(several as u32) as usize),
                }
            };
            let lived = self.live(node, Choices::beginning(taken), &mut pick);
            self.known = known;
            let lived = lived?;
            if lived.record.steps.len() == operations {
                self.complete += u64::from(rest == 0);
                self.crashes(node, lived, kills, &mut |search, child| match rest.checked_sub(1) {
                    None => search.finish(child),
                    Some(length) => search.all(child, length),
                })?;
            }
            if order.advance().is_none() {
                return Ok(());
            }
        }
    }

    /// Tries all histories with these operations in their lives, from a node on.
    pub(super) fn given(
        &mut self,
        node: &Node<S>,
        given: &[Vec<S::Operation>],
    ) -> Attempt<(), S::Operation> {
        let Some((operations, rest)) = given.split_first() else { return self.finish(node) };
        for taken in self.states(node, self.bound)? {
            let lived = self.live(node, Choices::beginning(&taken), &mut script(operations))?;
            self.is_partial |= lived.choices.depth() > taken.len();
            self.is_skipped |= lived.record.steps.len() < operations.len();
            if lived.is_idle() {
                self.idle(lived, rest)?;
                continue;
            }
            self.crashes(node, lived, Kills::All, &mut |search, child| search.given(child, rest))?;
        }
        Ok(())
    }

    /// Goes on behind a given life whose last operation has left no trace: it ends after it.
    fn idle(&mut self, lived: Lived<S>, rest: &[Vec<S::Operation>]) -> Attempt<(), S::Operation> {
        let (operations, taken) = (lived.operations(), lived.choices.taken());
        let ends = [End::Power(lived.end()), End::Kill(lived.death.changes)];
        let ended = lived.into_ended();
        for end in ends {
            let past = Past { operations: operations.clone(), taken: taken.clone(), end };
            self.go_on(past, &ended.node(end), &mut |search, child| search.given(child, rest))?;
        }
        Ok(())
    }

    /// Tries all ends that a life can have in its last operation, the latest first.
    fn crashes(
        &mut self,
        node: &Node<S>,
        lived: Lived<S>,
        kills: Kills,
        then: Then<'_, 's, S>,
    ) -> Attempt<(), S::Operation> {
        if lived.is_idle() {
            return Ok(());
        }
        let (operations, taken) = (lived.operations(), lived.choices.taken());
        let past = |end| Past { operations: operations.clone(), taken: taken.clone(), end };
        let within = if kills == Kills::All { lived.kills() } else { Vec::new() };
        let last = End::Kill(lived.death.changes);
        let points: Vec<_> = lived.points().into_iter().rev().map(End::Power).collect();
        let ended = lived.into_ended();
        for end in points.into_iter().chain([last]) {
            self.go_on(past(end), &ended.node(end), then)?;
        }
        for end in within.into_iter().rev().map(End::Kill) {
            let past = past(end);
            let child = self.runner.again(node, &past).ended(end);
            self.go_on(past, &child, then)?;
        }
        Ok(())
    }

    /// Goes on behind a crash.
    fn go_on(
        &mut self,
        past: Past<S::Operation>,
        child: &Node<S>,
        then: Then<'_, 's, S>,
    ) -> Attempt<(), S::Operation> {
        self.path.push(past);
        then(self, child)?;
        self.path.pop();
        Ok(())
    }

    /// Tries a history by chance, by its number.
    pub(super) fn random(&mut self, number: u64) -> Attempt<(), S::Operation> {
        let Histories { seed, lives, longest, .. } = *self.settings;
        let mut chance = chance::of_number(seed, number);
        let lives = chance.usize(1..=lives.max(1));
        let mut left: Vec<_> =
            (0..lives).map(|_| chance::operations(longest, &mut chance)).collect();
        let mut tastes = Tastes::new(chance.fork());
        self.path.clear();
        self.sample(self.runner.root(), lives, &mut chance, &mut |life, possible| {
            left[life] = left[life].checked_sub(1)?;
            tastes.pick(possible)
        })
    }

    /// Tries a history with these operations behind a past, the rest of it by chance, by its number.
    pub(super) fn scripted(
        &mut self,
        past: &[Past<S::Operation>],
        lives: &[Vec<S::Operation>],
        number: u64,
    ) -> Attempt<(), S::Operation> {
        let mut scripts: Vec<_> = lives.iter().map(|life| script(life)).collect();
        let mut chance = chance::of_number(self.settings.seed, number);
        self.path = past.to_vec();
        let node = self.runner.replay(past);
        self.sample(node, lives.len(), &mut chance, &mut |life, possible| scripts[life](possible))
    }

    /// Tries a history by chance of `count` lives, from a node on. `pick` chooses the operations of each.
    pub(super) fn sample(
        &mut self,
        mut node: Node<S>,
        count: usize,
        chance: &mut fastrand::Rng,
        pick: &mut PickOf<'_, S::Operation>,
    ) -> Attempt<(), S::Operation> {
        for life in 0..count {
            let way = Choices::new(chance::way(chance));
            let lived = self.live(&node, way, &mut |possible| pick(life, possible))?;
            let end = chance::end(&lived, chance);
            let past = Past { operations: lived.operations(), taken: lived.choices.taken(), end };
            let is_within = matches!(end, End::Kill(changes) if changes < lived.death.changes);
            let lived = if is_within { self.runner.again(&node, &past) } else { lived };
            node = lived.ended(end);
            self.path.push(past);
        }
        self.finish(&node)
    }
}
