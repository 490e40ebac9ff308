//! Searches for a failing history, and for a shorter one that fails in the same way.

use super::generated::{Picks, Tree, chance, history, picked};
use super::life::Pick;
use super::runner::{End, Lived, Node, Past, Runner, script};
use super::{Histories, Structure};
use crate::crash::choices::{Choices, Way};
use crate::failure::violation::Violation;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use fastrand::Rng;
use proptest::strategy::ValueTree;

/// A failed history.
#[derive(Clone, Debug)]
pub(super) struct Trail<O> {
    pub(super) past: Vec<Past<O>>,
    /// The operations of the failed life.
    pub(super) operations: Vec<O>,
    /// The choices among the states that the last crash left.
    pub(super) taken: Vec<u32>,
    pub(super) schedule: Vec<u32>,
    pub(super) violation: Violation,
}

impl<O: Clone> Trail<O> {
    /// Returns the operations of each life. A last life that failed at its opening has no operations and is omitted.
    pub(super) fn lives(&self) -> Vec<Vec<O>> {
        let last = Some(&self.operations).filter(|operations| !operations.is_empty());
        self.past.iter().map(|past| &past.operations).chain(last).cloned().collect()
    }

    /// Returns the number of lives, including that of the failure, and of operations.
    pub(super) fn size(&self) -> (usize, usize) {
        let before: usize = self.past.iter().map(|past| past.operations.len()).sum();
        (self.past.len() + 1, before + self.operations.len())
    }
}

/// The reason why a search ends early.
pub(super) enum Stop<O> {
    /// The requested number of lives was reached.
    Spent,
    Failed(Box<Trail<O>>),
}

impl<O> Stop<O> {
    fn failed(self) -> Option<Trail<O>> {
        match self {
            Self::Failed(trail) => Some(*trail),
            Self::Spent => None,
        }
    }
}

/// A failed history, as a search found it.
pub(super) struct Failed<S: Structure> {
    pub(super) trail: Trail<S::Operation>,
    /// The generated history, unless it was given.
    pub(super) tree: Option<Tree>,
    pub(super) origin: String,
}

type Attempt<T, O> = Result<T, Stop<O>>;

/// The operations of the lives of a history, as they are generated or given.
enum Plan<'p, O> {
    Picks(&'p [Vec<u16>]),
    Lives(&'p [Vec<O>]),
}

impl<'p, O: PartialEq + Sync> Plan<'p, O> {
    const fn lives(&self) -> usize {
        match self {
            Self::Picks(picks) => picks.len(),
            Self::Lives(lives) => lives.len(),
        }
    }

    /// Returns the choice among the possible operations of a life.
    fn pick(&self, life: usize) -> Box<Pick<'p, O>> {
        match self {
            Self::Picks(picks) => {
                let mut left = picks[life].iter();
                Box::new(move |possible| picked(*left.next()?, possible.len()))
            }
            Self::Lives(lives) => Box::new(script(&lives[life])),
        }
    }
}

/// The number of lives to spend on a short history in every state of each crash.
const LIVES: u64 = 512;
/// The largest number of operations and crashes of such a history, not counting the last crash.
const SHORT: usize = 4;
/// The number of lives to spend on trying a simpler history systematically, and again at random.
const TRIES: u64 = 1_000;
/// The number of lives to spend on all simpler histories.
const ALL_TRIES: u64 = 20 * TRIES;
/// The same for a replay.
const REPLAY: u64 = 20_000;
/// The number of states of a crash that both open: the one found may be one of many.
const KNOWN_STATES: u32 = 64;
/// The number of states opened after a crash of a generated history, systematically and at random.
const STATES: u32 = 8;
/// The largest number of operations and crashes of a generated history.
const LONGEST: usize = 24;

pub(super) struct Search<'s, S: Structure> {
    pub(super) settings: &'s Histories,
    pub(super) runner: Runner<'s, S>,
    /// The number of states opened after a crash, systematically and at random.
    bound: u32,
    /// The lives before the current one.
    path: Vec<Past<S::Operation>>,
    /// The number of lives that may still be run.
    left: u64,
    lived: u64,
    pub(super) histories: u64,
    pub(super) states: u64,
    /// The short histories that were tried in every state of each crash, as far as the limit of lives allowed.
    short: Vec<Picks>,
    /// The largest number of operations that were possible.
    possible: usize,
    /// True if not all states of a given history were tried: a crash has left more than were opened, or a life has
    /// read, after its opening, words that a crash could have left in several states.
    is_partial: bool,
    chance: Rng,
}

impl<'s, S: Structure> Search<'s, S> {
    pub(super) fn new(settings: &'s Histories, structure: &'s S) -> Self {
        Self {
            settings,
            runner: Runner { simulation: &settings.simulation, structure },
            bound: STATES,
            path: Vec::new(),
            left: u64::MAX,
            lived: 0,
            histories: 0,
            states: 0,
            short: Vec::new(),
            possible: 1,
            is_partial: false,
            chance: Rng::with_seed(settings.seed),
        }
    }

    /// Tries generated histories: each at random, and short ones in every state. Returns the first that failed.
    pub(super) fn search(&mut self) -> Option<Failed<S>> {
        let Histories { seed, cases, .. } = *self.settings;
        // The number of lives to spend on short histories in every state: as many as on the others.
        let mut left = cases.saturating_mul(u64::from(STATES));
        (0..cases).find_map(|number| {
            let tree = history(seed, number, LONGEST)?;
            (self.bound, self.left) = (STATES, u64::MAX);
            let picks = tree.current();
            let trail = match self.by_chance(&Plan::Picks(&picks), number) {
                Err(Stop::Failed(trail)) => *trail,
                _ => self.in_all_states(&picks, &mut left)?,
            };
            let origin = format!("as number {number} of seed {seed}");
            Some(Failed { trail, tree: Some(tree), origin })
        })
    }

    /// Tries a short history in every state of each crash.
    fn in_all_states(&mut self, picks: &Picks, left: &mut u64) -> Option<Trail<S::Operation>> {
        let steps = picks.iter().map(|life| life.len() + 1).sum::<usize>() - 1;
        // Others have the same operations.
        let of = |pick: &u16| picked(*pick, self.possible).unwrap_or(0) as u16;
        let known: Picks = picks.iter().map(|life| life.iter().map(of).collect()).collect();
        if steps > SHORT || *left == 0 || self.short.contains(&known) {
            return None;
        }
        self.short.push(known);
        let limit = LIVES.min(*left);
        (self.bound, self.left) = (u32::MAX, limit);
        let tried = self.in_order(&Plan::Picks(picks));
        *left -= limit - self.left;
        tried.err()?.failed()
    }

    /// Simplifies a failed history as long as it fails in the same way.
    pub(super) fn shrunk(
        &mut self,
        mut tree: Tree,
        mut best: Trail<S::Operation>,
    ) -> Trail<S::Operation> {
        let end = self.lived + ALL_TRIES;
        let mut goes_on = tree.simplify();
        while goes_on && self.lived < end {
            let failed = self.find(&Plan::Picks(&tree.current()), TRIES);
            goes_on = match failed.filter(|trail| trail.violation.kind == best.violation.kind) {
                Some(trail) => {
                    best = trail;
                    tree.simplify()
                }
                None => tree.complicate(),
            };
        }
        best
    }

    /// Tries a given history again. Returns it if it failed.
    pub(super) fn replay(&mut self, lives: &[Vec<S::Operation>]) -> Option<Trail<S::Operation>> {
        self.find(&Plan::Lives(lives), REPLAY)
    }

    /// Tries a history with this number of lives systematically, and the untried parts with as many at random. Returns
    /// it if it failed. With the same settings it does the same, whatever was tried before.
    fn find(&mut self, plan: &Plan<'_, S::Operation>, lives: u64) -> Option<Trail<S::Operation>> {
        self.bound = KNOWN_STATES;
        (self.left, self.chance) = (lives, Rng::with_seed(self.settings.seed));
        match self.in_order(plan) {
            Ok(()) if !self.is_partial => return None,
            Ok(()) | Err(Stop::Spent) => self.left = lives,
            Err(Stop::Failed(trail)) => return Some(*trail),
        }
        (0..).find_map(|number| self.by_chance(plan, number).err())?.failed()
    }

    /// Tries all ends and states of a history, and records if something was left out.
    fn in_order(&mut self, plan: &Plan<'_, S::Operation>) -> Attempt<(), S::Operation> {
        self.path.clear();
        self.is_partial = false;
        self.behind(&self.runner.root(), plan)
    }

    fn spend(&mut self) -> Attempt<(), S::Operation> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Spent)?;
        self.lived += 1;
        Ok(())
    }

    fn stop(
        &self,
        operations: Vec<S::Operation>,
        (taken, schedule): (Vec<u32>, Vec<u32>),
        violation: Violation,
    ) -> Stop<S::Operation> {
        let past = self.path.clone();
        Stop::Failed(Box::new(Trail { past, operations, taken, schedule, violation }))
    }

    /// Runs a life, which must not fail.
    fn live(
        &mut self,
        node: &Node<S>,
        choices: (Choices, Choices),
        pick: &mut Pick<'_, S::Operation>,
    ) -> Attempt<Lived<S>, S::Operation> {
        self.spend()?;
        let lived = self.runner.live(node, choices, u64::MAX, pick);
        let Err(violation) = lived.verdict.clone() else { return Ok(lived) };
        let choices = (lived.choices.taken(), lived.schedule.clone());
        Err(self.stop(lived.operations(), choices, violation))
    }

    /// Opens the states that a crash left: each that the opening can distinguish. If these exceed the bound, opens that
    /// many systematically, and as many at random. Returns the choices that lead to each.
    fn states(&mut self, node: &Node<S>) -> Attempt<Vec<Vec<u32>>, S::Operation> {
        let mut states = Vec::new();
        let mut choices = Choices::new(Way::All);
        for _ in 0..self.bound {
            choices = self.open(node, choices, &mut states)?;
            if choices.advance().is_none() {
                return Ok(states);
            }
        }
        self.is_partial = true;
        self.open(node, Choices::new(Way::NearLast(0)), &mut states)?;
        for _ in 0..self.bound {
            let by_chance = Choices::new(Way::Random(self.chance.fork()));
            self.open(node, by_chance, &mut states)?;
        }
        Ok(states)
    }

    /// Opens the state that a crash left, and does nothing else.
    fn open(
        &mut self,
        node: &Node<S>,
        choices: Choices,
        states: &mut Vec<Vec<u32>>,
    ) -> Attempt<Choices, S::Operation> {
        self.spend()?;
        self.states += 1;
        let (choices, verdict) = self.runner.open(node, choices);
        verdict
            .map_err(|violation| self.stop(Vec::new(), (choices.taken(), Vec::new()), violation))?;
        states.push(choices.taken());
        Ok(choices)
    }

    /// Ends a history: opens the states that the last crash left.
    fn finish(&mut self, node: &Node<S>) -> Attempt<(), S::Operation> {
        self.histories += 1;
        self.states(node).map(drop)
    }

    /// Tries all ends and states of the rest of a history, from a node on.
    fn behind(
        &mut self,
        node: &Node<S>,
        plan: &Plan<'_, S::Operation>,
    ) -> Attempt<(), S::Operation> {
        let life = self.path.len();
        if life == plan.lives() {
            return self.finish(node);
        }
        for taken in self.states(node)? {
            let choices = (Choices::beginning(&taken), Choices::new(Way::All));
            let lived = self.live(node, choices, &mut *plan.pick(life))?;
            self.is_partial |= lived.choices.depth() > taken.len() || !lived.schedule.is_empty();
            self.crashes(node, lived, plan)?;
        }
        Ok(())
    }

    /// Tries all ends that a life can have in its last operation, the latest first. If the operation has left no trace,
    /// the life ends after it.
    fn crashes(
        &mut self,
        node: &Node<S>,
        lived: Lived<S>,
        plan: &Plan<'_, S::Operation>,
    ) -> Attempt<(), S::Operation> {
        let last = End::Kill(lived.death.changes);
        let past = lived.past(last);
        let (points, within) = if lived.is_idle() {
            (vec![lived.end()], Vec::new())
        } else {
            (lived.points(), lived.kills())
        };
        let ended = lived.into_ended();
        for end in points.into_iter().rev().map(End::Power).chain([last]) {
            self.go_on(Past { end, ..past.clone() }, &ended.node(end), plan)?;
        }
        for end in within.into_iter().rev().map(End::Kill) {
            let past = Past { end, ..past.clone() };
            let child = self.runner.again(node, &past).ended(end);
            self.go_on(past, &child, plan)?;
        }
        Ok(())
    }

    fn go_on(
        &mut self,
        past: Past<S::Operation>,
        child: &Node<S>,
        plan: &Plan<'_, S::Operation>,
    ) -> Attempt<(), S::Operation> {
        self.path.push(past);
        self.behind(child, plan)?;
        self.path.pop();
        Ok(())
    }

    /// Tries a history with random ends and states, chosen by a number.
    fn by_chance(
        &mut self,
        plan: &Plan<'_, S::Operation>,
        number: u64,
    ) -> Attempt<(), S::Operation> {
        let chance = &mut chance(self.settings.seed, number);
        self.path.clear();
        let mut node = self.runner.root();
        for life in 0..plan.lives() {
            let mut pick = plan.pick(life);
            let mut most = self.possible;
            // These use their own random numbers, so that a history is the same without them.
            let [damage, order] = [1, 2].map(|number| self::chance(chance.get_seed(), number));
            let choices = Choices::new(way(chance)).damaged_by(damage);
            let schedule = Choices::new(Way::Random(order));
            let lived = self.live(&node, (choices, schedule), &mut |possible| {
                most = most.max(possible.len());
                pick(possible)
            });
            self.possible = most;
            let lived = lived?;
            let end = end(&lived, chance);
            let past = lived.past(end);
            let is_within = matches!(end, End::Kill(changes) if changes < lived.death.changes);
            let lived = if is_within { self.runner.again(&node, &past) } else { lived };
            node = lived.ended(end);
            self.path.push(past);
        }
        self.finish(&node)
    }
}

/// Returns a strategy for the state after a crash: mostly the latest of each word, sometimes the oldest.
fn way(chance: &mut Rng) -> Way {
    match chance.u8(0..8) {
        0..4 => Way::NearFirst(0),
        4 => Way::NearLast(0),
        _ => Way::Random(chance.fork()),
    }
}

/// Returns the end of a life: a power loss or a kill, mostly after the last operation, sometimes within it.
fn end<S: Structure>(lived: &Lived<S>, chance: &mut Rng) -> End {
    let (first, last) = (lived.last_begun().changes, lived.death.changes);
    let is_late = chance.bool();
    if chance.u8(0..4) == 0 {
        // Before the first change of the operation it leaves what a life without the operation leaves.
        let first = last.min(first + 1);
        return End::Kill(if is_late { last } else { chance.u64(first..=last) });
    }
    let points = if is_late { Vec::new() } else { lived.points() };
    End::Power(chance.choice(points).unwrap_or_else(|| lived.end()))
}
