//! Mutation: does a test fail for each write-back, fence and ordering that is taken away?
//!
//! No source is changed. Each operation on a [`SimMedium`](super::SimMedium) knows where in the source it was
//! called; a mutant is one such place whose operation is left out or weakened, everywhere else the code is
//! what it is. A mutant under which no scenario fails *survives*: either the operation is not needed, or no
//! scenario needs it.

use super::exploration::Exploration;
use super::machine::Place;
use super::model::{Model, Order};
use super::simulation::Simulation;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Weakening {
    /// Nothing is written back.
    NoWriteback,
    /// Of several lines (or pages) only the first is written back.
    FirstLineOnly,
    /// Of several lines (or pages) all but the first are written back.
    NotTheFirstLine,
    /// There is no fence.
    NoFence,
    /// A store releases nothing.
    RelaxedStore,
    /// A load acquires nothing.
    RelaxedLoad,
}

impl Weakening {
    /// Whether it can matter: ordinary stores and loads are ordered on x86, and the neutral model orders
    /// none.
    fn matters(self, model: &Model) -> bool {
        !matches!(self, Self::RelaxedStore | Self::RelaxedLoad) || model.order == Order::Partial
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NoWriteback => "write-back left out",
            Self::FirstLineOnly => "write-back of the first line only",
            Self::NotTheFirstLine => "write-back of all lines but the first",
            Self::NoFence => "fence left out",
            Self::RelaxedStore => "store without release",
            Self::RelaxedLoad => "load without acquire",
        }
    }
}

impl fmt::Display for Weakening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A weakened operation at a place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mutant {
    file: &'static str,
    line: u32,
    column: u32,
    weakening: Weakening,
}

impl Mutant {
    const fn new(place: Place, weakening: Weakening) -> Self {
        Self { file: place.file(), line: place.line(), column: place.column(), weakening }
    }

    /// The source file, as the compiler was given it.
    #[must_use]
    pub const fn file(&self) -> &'static str {
        self.file
    }

    /// The line in the file, from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// What became of the operation.
    #[must_use]
    pub const fn weakening(&self) -> Weakening {
        self.weakening
    }

    /// The line of source, if the file is found from the working directory or one above.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        let working = std::env::current_dir().ok()?;
        let text = working.ancestors().find_map(|folder| read(&folder.join(self.file)))?;
        let line = text.lines().nth(self.line as usize - 1)?;
        Some(line.trim().to_owned())
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.weakening)
    }
}

/// What a medium does besides its work: it weakens the operation of a mutant, and tells of those that could
/// be.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    mutant: Option<Mutant>,
    seen: Option<Arc<Mutex<BTreeSet<Mutant>>>>,
}

impl Watch {
    /// Whether this mutant is the one.
    fn weakens(&self, place: Place, weakening: Weakening) -> bool {
        let here = Mutant::new(place, weakening);
        if let Some(seen) = &self.seen {
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(here);
        }
        self.mutant == Some(here)
    }

    /// What is left of a write-back.
    pub(super) fn writeback(
        &self,
        range: Range<u64>,
        model: &Model,
        place: Place,
    ) -> Option<Range<u64>> {
        if range.is_empty() {
            return Some(range);
        }
        let boundary = model.end_of_unit(range.start);
        let (mut first_only, mut not_first) = (false, false);
        if boundary < range.end {
            first_only = self.weakens(place, Weakening::FirstLineOnly);
            not_first = self.weakens(place, Weakening::NotTheFirstLine);
        }
        let left = match (first_only, not_first) {
            (true, _) => range.start..boundary,
            (_, true) => boundary..range.end,
            _ => range,
        };
        (!self.weakens(place, Weakening::NoWriteback)).then_some(left)
    }

    /// Whether a fence is there.
    pub(super) fn fences(&self, place: Place) -> bool {
        !self.weakens(place, Weakening::NoFence)
    }

    /// The order of a store.
    pub(super) fn store(&self, order: Ordering, place: Place) -> Ordering {
        let is_relaxed = order == Ordering::Relaxed || self.weakens(place, Weakening::RelaxedStore);
        if is_relaxed { Ordering::Relaxed } else { order }
    }

    /// The order of a load.
    pub(super) fn load(&self, order: Ordering, place: Place) -> Ordering {
        let is_relaxed = order == Ordering::Relaxed || self.weakens(place, Weakening::RelaxedLoad);
        if is_relaxed { Ordering::Relaxed } else { order }
    }
}

/// What a scenario makes its simulations of: the model and the mutant under test.
#[derive(Clone, Debug)]
pub struct Setting {
    model: Model,
    watch: Watch,
}

impl Setting {
    /// A simulation under this model and mutant.
    #[must_use]
    pub fn simulation(&self, bytes: u64) -> Simulation {
        Simulation::new(self.model, bytes).watched(self.watch.clone())
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> Model {
        self.model
    }
}

/// A test that is run under each mutant: it explores and returns what was found.
pub type Scenario<'a> = &'a dyn Fn(&Setting) -> Exploration;

/// A survivor that changes nothing.
#[derive(Clone, Debug)]
struct Equivalent {
    file: &'static str,
    source: &'static str,
    weakening: Weakening,
    /// All, if it is empty.
    models: Vec<Model>,
}

/// Runs scenarios under every mutant of the operations that they make.
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
    /// Every mutant, under x86, arm64 and the neutral model.
    #[must_use]
    pub fn new() -> Self {
        let models = vec![Model::x86(), Model::arm64(), Model::neutral()];
        Self { models, equivalent: Vec::new(), only: None, sample: None }
    }

    /// Under these models.
    #[must_use]
    pub fn models(self, models: impl Into<Vec<Model>>) -> Self {
        Self { models: models.into(), ..self }
    }

    /// Only operations in files whose path has this in it.
    #[must_use]
    pub fn only_in(self, path: &'static str) -> Self {
        Self { only: Some(path), ..self }
    }

    /// Only so many mutants for each model, chosen by the seed.
    #[must_use]
    pub fn sample(self, mutants: usize, seed: u64) -> Self {
        Self { sample: Some((mutants, seed)), ..self }
    }

    /// This mutant may survive under these models (all, if none is named), since it changes nothing that
    /// matters there: `reason` is for the reader of the test. It is known by the end of its file's path and a
    /// part of its line of source, so that it is found again when the code around it changes.
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

    /// Runs the scenarios under each mutant.
    ///
    /// # Panics
    /// If a scenario fails without a mutant.
    #[must_use]
    #[track_caller]
    pub fn run(&self, scenarios: &[Scenario<'_>]) -> Survivors {
        let mut survivors = Survivors::default();
        for model in &self.models {
            let mutants = self.mutants(*model, scenarios);
            for mutant in mutants {
                let watch = Watch { mutant: Some(mutant), seen: None };
                let setting = Setting { model: *model, watch };
                let is_killed =
                    scenarios.iter().any(|scenario| scenario(&setting).failure().is_some());
                survivors.take(*model, mutant, is_killed, &self.equivalent);
            }
        }
        survivors.unused = self.unused(&survivors);
        survivors
    }

    /// The mutants of what the scenarios do.
    #[track_caller]
    fn mutants(&self, model: Model, scenarios: &[Scenario<'_>]) -> Vec<Mutant> {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let watch = Watch { mutant: None, seen: Some(Arc::clone(&seen)) };
        for scenario in scenarios {
            scenario(&Setting { model, watch: watch.clone() }).assert_safe();
        }
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_asked = |mutant: &&Mutant| self.only.is_none_or(|path| mutant.file.contains(path));
        let matters = |mutant: &&Mutant| mutant.weakening.matters(&model);
        let mut mutants: Vec<_> = seen.iter().filter(is_asked).filter(matters).copied().collect();
        if let Some((count, seed)) = self.sample {
            fastrand::Rng::with_seed(seed).shuffle(&mut mutants);
            mutants.truncate(count);
        }
        mutants
    }

    /// Entries of the list of equivalent mutants that no survivor matches. A sample says nothing of them.
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

impl Equivalent {
    fn is(&self, model: &Model, mutant: &Mutant) -> bool {
        (self.models.is_empty() || self.models.contains(model))
            && mutant.weakening == self.weakening
            && mutant.file.ends_with(self.file)
            && mutant.source().is_some_and(|source| source.contains(self.source))
    }
}

/// What a mutation run found.
#[derive(Clone, Debug, Default)]
pub struct Survivors {
    tried: usize,
    killed: usize,
    survived: Vec<(Model, Mutant)>,
    equivalent: Vec<(Model, Mutant)>,
    unused: Vec<String>,
}

impl Survivors {
    /// How many mutants were tried, over all models.
    #[must_use]
    pub const fn tried(&self) -> usize {
        self.tried
    }

    /// How many of them made a scenario fail.
    #[must_use]
    pub const fn killed(&self) -> usize {
        self.killed
    }

    /// Those that no scenario noticed and that are not listed as equivalent, with the model.
    #[must_use]
    pub fn survived(&self) -> &[(Model, Mutant)] {
        &self.survived
    }

    /// Panics unless mutants were tried and all were killed or are listed as equivalent, and each entry of
    /// that list was met.
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
        let Self { tried, killed, survived, equivalent, unused } = self;
        writeln!(
            f,
            "{tried} mutants: {killed} killed, {} survived, {} equivalent",
            survived.len(),
            equivalent.len()
        )?;
        // What survived under several models is one thing to mend.
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
