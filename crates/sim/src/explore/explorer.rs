//! Explores the crashes of one run of a workload: every moment, every state, every crash in recovery.

use super::settings::{Effort, Settings};
use crate::crash::choices::{Choices, Way};
use crate::crash::image::{Image, Layer};
use crate::crash::points::{Point, points};
use crate::explore::exploration::Exploration;
use crate::failure::cause::Trial;
use crate::failure::violation::Violation;
use crate::failure::{Crash, Failure, widest};
use crate::machine::history::{Happened, History, What};
use crate::machine::model::Durable;
use crate::medium::state::Snapshot;
use crate::medium::{Ran, SimMedium};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// The functions under test without the type of their notes, so that the exploration is compiled once, not once for
/// each caller.
pub(super) trait Subject {
    /// Runs the workload in this order of its threads, and returns the violation that it panicked with.
    fn run(&self, schedule: Choices) -> (Ran, Option<Violation>);

    /// Runs recovery with the first `known` notes of the workload's last run. A panic is a violation too.
    fn recover(&self, medium: &SimMedium, known: usize) -> Result<(), Violation>;

    fn notes(&self) -> Vec<String>;
}

/// Returns the decisions at the time of an event.
fn at_event(snapshots: &[Snapshot], event: u32) -> Option<&Snapshot> {
    snapshots.iter().rev().find(|snapshot| snapshot.event <= event)
}

pub(super) struct Explorer<'a> {
    pub(super) settings: &'a Settings,
    pub(super) subject: &'a dyn Subject,
    pub(super) schedule: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Moment<'a> {
    image: &'a Image,
    /// The first cut with the image's decisions, some of which were made by reads of the cut run.
    since: u32,
    point: Point,
    /// The number of times that recovery may still be cut.
    in_recovery: u32,
}

impl Explorer<'_> {
    /// Explores all crashes of the workload except those before the event `known`. Returns the first failure.
    pub(super) fn crashes(
        &self,
        found: &mut Exploration,
        image: &Image,
        history: &Arc<History>,
        known: u32,
    ) -> Option<Box<Failure>> {
        // Later notes matter for an earlier crash if stores are buffered.
        let is_buffered = self.settings.model.durable == Durable::Visible;
        let is_new = |point: &Point| known == 0 || is_buffered || point.cut > known;
        let first = |points: Vec<Point>, found: &mut Exploration, in_recovery| {
            points.into_iter().find_map(|point| {
                let image = image.clone().under(Layer::new(Arc::clone(history), point.cut));
                let moment = Moment { image: &image, since: 0, point, in_recovery };
                self.crash(found, moment)
            })
        };
        let new = points(history).into_iter().filter(is_new).collect();
        let failure = first(new, found, self.settings.in_recovery)?;
        if failure.crashes() <= 1 {
            return Some(failure);
        }
        // A failure with a single crash is easier to understand, wherever it is.
        let simpler = first(points(history), found, 0);
        Some(simpler.unwrap_or(failure))
    }

    /// Explores the states that a crash may leave, as far as the effort goes. Returns the first failure.
    fn crash(&self, found: &mut Exploration, moment: Moment<'_>) -> Option<Box<Failure>> {
        found.crashes += 1;
        let ways = self.ways(found.crashes);
        ways.into_iter().find_map(|way| self.states(found, moment, way))
    }

    /// Explores the states of a crash by one strategy. Returns the first failure.
    fn states(
        &self,
        found: &mut Exploration,
        moment: Moment<'_>,
        way: Way,
    ) -> Option<Box<Failure>> {
        let mut choices = Choices::new(way);
        let mut tries = self.tries();
        // The number of choices shared with the previous run.
        let mut kept = None;
        loop {
            if found.recoveries >= self.settings.recoveries {
                found.is_exhaustive_so_far = false;
                let last = moment.image.layers.last();
                found.widest = found.widest.take().or_else(|| widest(last?));
                return None;
            }
            let is_cut_again = moment.in_recovery > 0;
            let (ran, verdict) = self.recover(moment.image, moment.point, choices, is_cut_again);
            found.recoveries += 1;
            if let Err(violation) = verdict {
                return Some(Box::new(self.failure(moment, ran, violation)));
            }
            if is_cut_again {
                let failure = self.nested(found, &ran, moment, kept);
                if failure.is_some() {
                    return failure;
                }
            }
            choices = ran.choices;
            tries -= 1;
            kept = Some(choices.advance().filter(|_| tries > 0)?);
        }
    }

    /// Explores every crash of a recovery that the previous run, with which it shares choices, did not have.
    fn nested(
        &self,
        found: &mut Exploration,
        ran: &Ran,
        moment: Moment<'_>,
        kept: Option<usize>,
    ) -> Option<Box<Failure>> {
        // Points of the recovery's own history; without a store of recovery they equal the previous crash.
        ran.history.stored().next()?;
        let history = Arc::clone(&ran.history);
        points(&history).into_iter().find_map(|nested| {
            let snapshot = at_event(&ran.snapshots, nested.cut)?;
            if kept.is_some_and(|kept| snapshot.depth <= kept) {
                return None;
            }
            let image = snapshot.image.clone().under(Layer::new(Arc::clone(&history), nested.cut));
            let point = Point { notes: moment.point.notes, ..nested };
            let (since, in_recovery) = (snapshot.event, moment.in_recovery - 1);
            self.crash(found, Moment { image: &image, since, point, in_recovery })
        })
    }

    fn recover(
        &self,
        image: &Image,
        point: Point,
        choices: Choices,
        is_cut: bool,
    ) -> (Ran, Result<(), Violation>) {
        let medium = self.settings.medium(image.clone(), choices);
        let medium = if is_cut { medium.with_snapshots() } else { medium.uncut() };
        let verdict = self.subject.recover(&medium, point.notes);
        let ran = medium.into_ran();
        let verdict = if ran.choices.differs() { Err(Violation::differs()) } else { verdict };
        (ran, verdict)
    }

    fn ways(&self, crashes: u64) -> Vec<Way> {
        match self.settings.effort {
            Effort::Exhaustive => vec![Way::All],
            Effort::Deviations(most) => vec![Way::NearFirst(most), Way::NearLast(most)],
            Effort::Random { seed, .. } => {
                vec![Way::Random(fastrand::Rng::with_seed(seed ^ crashes))]
            }
        }
    }

    fn tries(&self) -> u64 {
        match self.settings.effort {
            Effort::Random { states, .. } => u64::from(states.max(1)),
            Effort::Exhaustive | Effort::Deviations(_) => u64::MAX,
        }
    }

    /// Returns a simplified failure: with as few words other than the latest as trials can find, and with none if an
    /// earlier crash fails that way.
    fn failure(&self, moment: Moment<'_>, ran: Ran, violation: Violation) -> Failure {
        let Moment { image, point, .. } = moment;
        let (point, ran, violation) = self
            .without_deviations(moment)
            .unwrap_or_else(|| self.with_few_deviations(image, point, ran, violation));
        let taken = ran.choices.taken();
        let recovery = |image: &Image, notes, choices| {
            let (ran, verdict) = self.recover(image, Point { notes, ..point }, choices, false);
            (ran.choices, verdict.is_ok())
        };
        let trial =
            Trial { recovery: &recovery, image: image.cut(point.cut), notes: point.notes, taken };
        self.described(violation, ran.image.layers, point.notes).explained(trial)
    }

    pub(super) fn described(
        &self,
        violation: Violation,
        layers: Vec<Layer>,
        known: usize,
    ) -> Failure {
        let mut layers = layers.into_iter();
        let of_workload = |layer| {
            Crash::new(layer, "the workload".into()).with_notes(self.subject.notes(), known)
        };
        let workload = layers.next().map(of_workload);
        let of_recovery = |layer| Crash::new(layer, "recovery".into());
        let crashes = workload.into_iter().chain(layers.map(of_recovery)).collect();
        Failure::new(self.settings.model, violation, crashes)
    }

    /// Returns the earliest crash, after the last guarantee, note or decision about a word, that fails with the latest
    /// value of each word.
    fn without_deviations(&self, moment: Moment<'_>) -> Option<(Point, Ran, Violation)> {
        let Moment { image, since, point, .. } = moment;
        let events = &image.layers.last()?.history.events[..point.cut as usize];
        let is_boundary = |event: &Happened| event.guarantees || event.what == What::Note;
        let notes = events.iter().filter(|event| event.what == What::Note).count();
        // A note that was made while stores were in the CPU's buffer belongs to no earlier crash.
        if notes < point.notes {
            return None;
        }
        let first = events.iter().rposition(is_boundary).map_or(0, |last| last as u32 + 1);
        (first.max(since)..=point.cut).take(TRIED).find_map(|cut| {
            let (ran, verdict) =
                self.recover(&image.cut(cut), point, Choices::new(Way::NearFirst(0)), false);
            verdict.err().map(|violation| (Point { cut, ..point }, ran, violation))
        })
    }

    /// Returns the same crash, with fewer words other than the latest.
    fn with_few_deviations(
        &self,
        image: &Image,
        point: Point,
        mut ran: Ran,
        mut violation: Violation,
    ) -> (Point, Ran, Violation) {
        let mut place = 0;
        while place < ran.choices.taken().len() {
            let mut taken = ran.choices.taken();
            if taken[place] > 0 {
                taken[place] = 0;
                let (tried, verdict) =
                    self.recover(image, point, Choices::beginning(&taken), false);
                if let Err(again) = verdict
                    && deviations(&tried.choices.taken()) < deviations(&ran.choices.taken())
                {
                    (ran, violation) = (tried, again);
                }
            }
            place += 1;
        }
        (point, ran, violation)
    }

    pub(super) fn in_workload(
        &self,
        violation: Violation,
        image: &Image,
        history: &Arc<History>,
    ) -> Failure {
        let layer = Layer::new(Arc::clone(history), history.now());
        debug_assert!(image.layers.is_empty(), "a workload runs before any crash");
        let known = self.subject.notes().len();
        self.described(violation.in_workload(), vec![layer], known)
    }
}

/// The number of earlier crashes tried to simplify a failure.
const TRIED: usize = 100;

fn deviations(taken: &[u32]) -> usize {
    taken.iter().filter(|taken| **taken > 0).count()
}
