//! Mutation: checks that a test fails for each removed write-back, fence and ordering.
//!
//! No source is changed. Each operation on a [`SimMedium`](super::SimMedium) knows its place in the source. A mutant is
//! one such place with its operation left out or weakened; all other code stays the same. A mutant under which no
//! scenario fails *survives*: either the operation is not needed, or no scenario needs it. A mutant is noticed only if
//! a scenario checks what the operation is for. Places that no scenario reaches have no mutants.

pub use crate::medium::watch::{Mutant, Weakening};

use crate::explore::exploration::Exploration;
use crate::explore::simulation::Simulation;
use crate::machine::model::Model;
use crate::medium::watch::Watch;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::iter;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::panic::resume_unwind;
use std::thread;

/// The settings of a scenario's simulations: the model and the mutant under test.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The model of its machine.
    pub model: Model,
    watch: Watch,
}

impl Setting {
    /// Returns a simulation under this model and mutant, on a medium of junk. Some mutants are noticed only on a medium
    /// of [zeros](Simulation::zeros), which pass for data where junk does not: use that in other scenarios.
    #[must_use]
    pub fn simulation(&self, bytes: u64) -> Simulation {
        Simulation::new(self.model, bytes).watched(self.watch.clone())
    }
}

/// A test that runs under each mutant: it explores and returns the result.
type Scenario<'a> = &'a (dyn Fn(&Setting) -> Exploration + Sync);

#[derive(Clone, Debug)]
struct Equivalent {
    file: &'static str,
    source: &'static str,
    weakening: Weakening,
    /// The models; all, if empty.
    models: Vec<Model>,
}

/// A run of scenarios under every mutant of their operations.
#[derive(Clone, Debug)]
pub struct Mutation {
    models: Vec<Model>,
    equivalent: Vec<Equivalent>,
    only: Option<&'static str>,
    sample: Option<(usize, u64)>,
}

impl Default for Mutation {
    fn default() -> Self {
        Self::new()
    }
}

impl Mutation {
    /// Returns a run of every mutant, under x86, arm64 and the neutral model.
    #[must_use]
    pub fn new() -> Self {
        let models = vec![Model::X86, Model::ARM64, Model::NEUTRAL];
        Self { models, equivalent: Vec::new(), only: None, sample: None }
    }

    /// Runs under only these models.
    #[must_use]
    pub fn models(self, models: impl Into<Vec<Model>>) -> Self {
        Self { models: models.into(), ..self }
    }

    /// Runs only mutants of operations in files with this in their path.
    #[must_use]
    pub fn only_in(self, path: &'static str) -> Self {
        Self { only: Some(path), ..self }
    }

    /// Runs only `mutants` mutants for each model, chosen by the seed.
    #[must_use]
    pub fn sample(self, mutants: usize, seed: u64) -> Self {
        Self { sample: Some((mutants, seed)), ..self }
    }

    /// Lets this mutant survive under these models (all, if none is named), since it changes nothing that matters
    /// there; `reason` is for the reader of the test. The mutant is identified by the end of its file's path and a part
    /// of its source line, so that it is still found when other code changes. The source is searched for in the working
    /// directory, which `cargo test` sets, and above it.
    #[must_use]
    pub fn equivalent(
        mut self,
        file: &'static str,
        source: &'static str,
        weakening: Weakening,
        models: &[Model],
        reason: &'static str,
    ) -> Self {
        debug_assert!(!reason.is_empty(), "an equivalent mutant needs a reason");
        self.equivalent.push(Equivalent { file, source, weakening, models: models.to_vec() });
        self
    }

    /// Runs the scenarios without a mutant, and then under each mutant until one fails, so put the quick ones first. A
    /// scenario that never reaches a mutant's place is skipped for it. Uses every core.
    ///
    /// # Panics
    /// If a scenario fails without a mutant.
    #[must_use]
    #[track_caller]
    pub fn run(&self, scenarios: &[Scenario<'_>]) -> Survivors {
        let mut mutants: Vec<(Model, Mutant, Vec<Scenario<'_>>)> = Vec::new();
        // Not `flat_map`: a panic within a closure does not name the caller.
        for model in &self.models {
            mutants.extend(self.mutants(*model, scenarios));
        }
        let killed = side_by_side(&mutants, |(model, mutant, reaching)| {
            let setting = Setting { model: *model, watch: Watch::weakening(*mutant) };
            reaching.iter().any(|scenario| scenario(&setting).failure.is_some())
        });
        let mut survivors = Survivors { models: self.models.len(), ..Survivors::default() };
        for ((model, mutant, _), is_killed) in mutants.into_iter().zip(killed) {
            survivors.take(model, mutant, is_killed, &self.equivalent);
        }
        survivors.unused = self.unused(&survivors);
        survivors
    }

    /// Returns the mutants under a model, each with the scenarios that reach its place.
    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion")]
    fn mutants<'a>(
        &self,
        model: Model,
        scenarios: &[Scenario<'a>],
    ) -> Vec<(Model, Mutant, Vec<Scenario<'a>>)> {
        let explored = side_by_side(scenarios, |scenario| {
            let watch = Watch::recording();
            (scenario(&Setting { model, watch: watch.clone() }), watch.seen())
        });
        let mut reaching: BTreeMap<Mutant, Vec<Scenario<'a>>> = BTreeMap::new();
        for (scenario, (exploration, seen)) in scenarios.iter().zip(explored) {
            if let Some(failure) = &exploration.failure {
                panic!("a scenario fails without any mutant: fix it first\n{failure}");
            }
            exploration.assert_safe();
            for mutant in seen {
                reaching.entry(mutant).or_default().push(*scenario);
            }
        }
        let is_asked = |mutant: &Mutant| self.only.is_none_or(|path| mutant.file.contains(path));
        reaching.retain(|mutant, _| is_asked(mutant) && mutant.weakening.matters(&model));
        let mut mutants: Vec<_> =
            reaching.into_iter().map(|(mutant, scenarios)| (model, mutant, scenarios)).collect();
        if let Some((count, seed)) = self.sample {
            fastrand::Rng::with_seed(seed).shuffle(&mut mutants);
            mutants.truncate(count);
        }
        mutants
    }

    /// Returns the entries of the list of equivalent mutants that no survivor matches; none for a sample, which proves
    /// nothing about them.
    fn unused(&self, survivors: &Survivors) -> Vec<String> {
        if self.sample.is_some() {
            return Vec::new();
        }
        let is_unused = |entry: &&Equivalent| {
            !survivors.equivalent.iter().any(|(model, mutant)| entry.is(model, mutant))
        };
        let name =
            |entry: &Equivalent| format!("{}: {}: {}", entry.file, entry.source, entry.weakening);
        self.equivalent.iter().filter(is_unused).map(name).collect()
    }
}

/// Returns the result of `work` for each item, in order, using as many threads as there are cores.
fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let take = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        items.get(index).map(|item| (index, work(item)))
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| iter::from_fn(take).collect::<Vec<_>>())).collect();
        let ended = workers.into_iter().map(thread::ScopedJoinHandle::join);
        ended.flat_map(|done| done.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

impl Equivalent {
    fn is(&self, model: &Model, mutant: &Mutant) -> bool {
        (self.models.is_empty() || self.models.contains(model))
            && mutant.weakening == self.weakening
            && mutant.file.ends_with(self.file)
            && mutant.source().is_some_and(|source| source.contains(self.source))
    }
}

/// The result of a mutation run.
#[derive(Clone, Debug, Default)]
pub struct Survivors {
    models: usize,
    /// The number of mutants that were tried. One that was tried under three models counts three times.
    pub tried: usize,
    /// The number of mutants that made a scenario fail, counted in the same way.
    pub killed: usize,
    /// The mutants, with their models, that no scenario noticed and that are not listed as equivalent.
    pub survived: Vec<(Model, Mutant)>,
    equivalent: Vec<(Model, Mutant)>,
    unused: Vec<String>,
}

impl Survivors {
    /// Panics unless mutants were tried, all were killed or are listed as equivalent, and each entry of that list was
    /// met. It proves nothing about operations that no scenario reaches.
    ///
    /// # Panics
    /// In these cases.
    #[track_caller]
    pub fn assert_none(&self) {
        assert!(self.tried > 0, "there was nothing to mutate");
        assert!(self.survived.is_empty() && self.unused.is_empty(), "{self}");
    }

    fn take(&mut self, model: Model, mutant: Mutant, is_killed: bool, equivalent: &[Equivalent]) {
        self.tried += 1;
        if is_killed {
            self.killed += 1;
        } else if equivalent.iter().any(|entry| entry.is(&model, &mutant)) {
            self.equivalent.push((model, mutant));
        } else {
            self.survived.push((model, mutant));
        }
    }
}

impl fmt::Display for Survivors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { models, tried, killed, survived, equivalent, unused } = self;
        write!(f, "{tried} mutants")?;
        if *models > 1 {
            write!(f, ", counted under each of {models} models")?;
        }
        writeln!(
            f,
            ": {killed} killed, {} survived, {} equivalent",
            survived.len(),
            equivalent.len()
        )?;
        if !survived.is_empty() {
            f.write_str(
                "no crash showed the defect of those that survived: check more after recovery, explore media of \
                 `zeros()` too, or list them as equivalent\n",
            )?;
        }
        let is_order = |(_, mutant): &(Model, Mutant)| {
            matches!(mutant.weakening, Weakening::RelaxedStore | Weakening::RelaxedLoad)
        };
        if survived.iter().any(is_order) {
            f.write_str(
                "keep a release and an acquire between threads: where these read or write back the stores of others, the \
                 simulator does not show the need\n",
            )?;
        }
        if survived.iter().any(|(_, mutant)| mutant.source().is_none()) {
            f.write_str(
                "sources of these were not found: run the test in its package, or no entry of the list matches\n",
            )?;
        }
        // A mutant that survived under several models is one thing to mend.
        let mut by_mutant: BTreeMap<&Mutant, Vec<&str>> = BTreeMap::new();
        for (model, mutant) in survived {
            by_mutant.entry(mutant).or_default().push(model.name());
        }
        for (mutant, models) in by_mutant {
            writeln!(f, "survived under {}: {mutant}", models.join(", "))?;
            if let Some(source) = mutant.source() {
                writeln!(f, "    {source}")?;
            }
        }
        unused
            .iter()
            .try_for_each(|entry| writeln!(f, "listed as equivalent, but did not survive: {entry}"))
    }
}
