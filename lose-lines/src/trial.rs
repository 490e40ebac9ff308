//! The loop of every test: states are checked in parallel, failures are counted by their kinds, and the fewest losses of the
//! commonest kinds are reported.

use core::cmp::Reverse;
use core::fmt::Display;

use anyhow::{Result, bail};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::check::{Failure, Verdict};
use crate::pool;
use crate::report::{Progress, Report};

/// The number of kinds of failures that are explained.
const EXPLAINED: usize = 3;

/// The number of losses that are listed.
const LISTED: usize = 6;

/// A state without its content.
#[derive(Clone, Debug, Serialize)]
pub struct Trial<C: Display> {
    /// The name of the state.
    #[serde(serialize_with = "displayed")]
    pub choice: C,
    /// The number of lines that the program had printed: what it had acknowledged.
    pub acknowledged: usize,
    /// True if a failure can be a loss of such a line.
    pub is_between: bool,
    /// The number of units that were not durable: effects of calls, sectors, or lines of the cache.
    pub pending: usize,
    /// The number of these that were lost.
    pub lost: usize,
    /// True if an fsync would have prevented the loss if the clock had ticked before it.
    pub depends_on_clock: bool,
}

/// Serializes a value as it is printed.
fn displayed<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// The check of a state.
pub struct Checked<C: Display, E> {
    pub trial: Trial<C>,
    pub verdict: Verdict,
    pub evidence: E,
}

/// A lost unit.
#[derive(Clone, Debug, Serialize)]
pub struct Lost {
    /// The unit, and the reason why it could be lost, if that is known.
    pub what: String,
    /// The same for programs.
    pub facts: Value,
}

/// The fewest losses with which a check fails.
#[derive(Clone, Debug, Serialize)]
pub struct Reason<C: Display> {
    /// The state without other losses.
    #[serde(serialize_with = "displayed")]
    pub choice: C,
    pub failure: Failure,
    pub lost: Vec<Lost>,
    /// Sentences about the cause.
    pub cause: Vec<String>,
}

/// The states of a recording and their checks.
pub trait Trials: Sync {
    /// The name of a state.
    type Choice: Display + Clone + Send;
    /// A state to be checked.
    type State: Send;
    /// Checks one state after the other.
    type Checker;
    /// What a check leaves for an explanation.
    type Evidence: Send;
    /// The units that a cut loses.
    const UNITS: &'static str;

    /// Returns the checker of this number.
    fn checker(&self, number: usize) -> Result<Self::Checker>;

    /// Checks a state. An error is the host's, not the program's.
    fn check(
        &self,
        checker: &mut Self::Checker,
        state: Self::State,
    ) -> Result<Checked<Self::Choice, Self::Evidence>>;

    /// Returns the fewest losses with which the check of a state fails in the same way.
    fn reason(&self, failed: &Failed<Self::Choice, Self::Evidence>)
    -> Result<Reason<Self::Choice>>;
}

/// Checks states, and passes on each result in their order.
///
/// # Errors
/// If the host fails. What was reached by then was passed on.
pub fn each<T: Trials>(
    trials: &T,
    states: impl Iterator<Item = T::State> + Send,
    jobs: usize,
    mut take: impl FnMut(Checked<T::Choice, T::Evidence>) -> Result<()>,
) -> Result<()> {
    pool::in_order(
        states,
        jobs,
        |number| trials.checker(number),
        |checker, state| trials.check(checker, state),
        |_place, checked| take(checked),
    )
}

/// Refuses a check that fails, or a file system that is not mounted, although nothing was lost: such a check finds no losses.
pub fn succeeds(verdict: Verdict) -> Result<()> {
    match verdict {
        Verdict::Right => Ok(()),
        Verdict::Failed(failure) => bail!(
            "the check FAILED although nothing was lost: it {}\n{}",
            failure.why,
            failure.shown().trim_end()
        ),
        Verdict::Unmountable { why } => {
            bail!("the file system cannot be mounted although nothing was lost: {why}")
        }
    }
}

/// Failures of one kind.
pub struct Failed<C: Display, E> {
    /// One of the states, best one that does not depend on the clock.
    pub trial: Trial<C>,
    pub failure: Failure,
    pub evidence: E,
    kind: String,
    states: usize,
    /// The states that do not depend on the clock.
    timeless: usize,
}

/// Failures of the states of a test.
pub type FailedOf<T> = Failed<<T as Trials>::Choice, <T as Trials>::Evidence>;

/// Failures by their kinds: one end and one first line of the output, but for numbers and hashes.
struct Kinds<C: Display, E>(Vec<Failed<C, E>>);

impl<C: Display, E> Kinds<C, E> {
    fn add(&mut self, trial: Trial<C>, failure: Failure, evidence: E) {
        let (kind, is_timeless) = (failure.kind(), !trial.depends_on_clock);
        let Some(known) = self.0.iter_mut().find(|known| known.kind == kind) else {
            let timeless = is_timeless.into();
            self.0.push(Failed { trial, failure, evidence, kind, states: 1, timeless });
            return;
        };
        if known.timeless == 0 && is_timeless {
            (known.trial, known.failure, known.evidence) = (trial, failure, evidence);
        }
        known.states += 1;
        known.timeless += usize::from(is_timeless);
    }

    /// Returns the kinds, the commonest first.
    fn by_number(mut self) -> Vec<Failed<C, E>> {
        self.0.sort_by_key(|kind| Reverse(kind.states));
        self.0
    }
}

/// The wording of reports on the states of a test.
pub struct Wording<'a, C> {
    /// The rules by which states were chosen.
    pub model: String,
    /// For failures that are only warnings, a sentence on that.
    pub warning: Option<String>,
    /// Returns the command that repeats a state.
    pub repeating: &'a dyn Fn(&C) -> String,
}

/// The results of the checks of many states.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub distinct: usize,
    /// The states after an acknowledgement.
    pub between: usize,
    pub failed: usize,
    /// The states whose file system was not mounted.
    pub unmountable: usize,
    pub pending: usize,
    pub lost: usize,
    pub kinds: Vec<(String, usize)>,
}

impl Found {
    /// Adds the check of a state.
    pub fn add<C: Display, E>(&mut self, Checked { trial, verdict, .. }: &Checked<C, E>) {
        self.distinct += 1;
        self.between += usize::from(trial.is_between);
        self.pending += trial.pending;
        self.lost += trial.lost;
        self.failed += usize::from(matches!(verdict, Verdict::Failed(_)));
        self.unmountable += usize::from(matches!(verdict, Verdict::Unmountable { .. }));
    }
}

/// Checks states, and reports them.
///
/// # Errors
/// If the host fails. Failures that were found by then were reported.
pub fn run<T: Trials>(
    trials: &T,
    states: impl Iterator<Item = T::State> + Send,
    (at_most, jobs): (usize, usize),
    wording: &Wording<'_, T::Choice>,
    report: &mut Report,
) -> Result<Found> {
    let (mut progress, mut found) = (Progress::new(at_most), Found::default());
    let mut kinds = Kinds(Vec::new());
    let checked = each(trials, states, jobs, |checked| {
        found.add(&checked);
        progress.step(matches!(checked.verdict, Verdict::Failed(_)));
        let said = wording.state::<T>(&checked, found.unmountable, report);
        if let Checked { trial, verdict: Verdict::Failed(failure), evidence } = checked {
            kinds.add(trial, failure, evidence);
        }
        said
    });
    let explained = if wording.warning.is_some() { 1 } else { EXPLAINED };
    for (number, kind) in kinds.by_number().into_iter().enumerate() {
        if number < explained {
            wording.failure(trials, &kind, "", report)?;
        }
        found.kinds.push((kind.failure.name(), kind.states));
    }
    checked.map(|()| found)
}

impl<C: Display + Clone> Wording<'_, C> {
    fn head<T: Trials>(&self, trial: &Trial<C>) -> String {
        let Trial { choice, acknowledged, pending, lost, .. } = trial;
        let (model, units) = (&self.model, T::UNITS);
        format!(
            "{model}, state {choice}: acknowledged {acknowledged}, {lost} of {pending} {units} lost"
        )
    }

    /// Reports a state. The first file system that is not mounted is reported at once.
    fn state<T: Trials<Choice = C>>(
        &self,
        Checked { trial, verdict, .. }: &Checked<C, T::Evidence>,
        unmountable: usize,
        report: &mut Report,
    ) -> Result<()> {
        let mut text = String::new();
        if let (Verdict::Unmountable { why }, 1) = (verdict, unmountable) {
            report.repeats();
            text = format!(
                "{}, the file system was NOT MOUNTED: {why}\n   no check was run on this state\n   to repeat it: {}",
                self.head::<T>(trial),
                (self.repeating)(&trial.choice)
            );
        }
        let document = json!({ "model": self.model, "trial": trial, "result": verdict });
        report.say("state", &text, &document)
    }

    /// Explains and reports failures of one kind, which were found in this way.
    pub fn failure<T: Trials<Choice = C>>(
        &self,
        trials: &T,
        failed: &Failed<C, T::Evidence>,
        how: &str,
        report: &mut Report,
    ) -> Result<()> {
        let Failed { trial, states, timeless, .. } = failed;
        let is_warning = self.warning.is_some();
        let reason = trials.reason(failed).unwrap_or_else(|why| Reason {
            choice: trial.choice.clone(),
            failure: failed.failure.clone(),
            lost: Vec::new(),
            cause: vec![format!("the fewest losses were not found: {why:#}")],
        });
        let Failure { why, .. } = &reason.failure;
        let verdict = if is_warning { "fails" } else { "FAILED" };
        let head = self.head::<T>(trial);
        let mut text = format!("{how}{head}, the check {verdict}: it {why}\n");
        text.push_str(&reason.failure.shown());
        let losses = reason.lost.iter().take(LISTED).map(|lost| lost.what.clone());
        let more = reason.lost.len().checked_sub(LISTED).filter(|more| *more > 0);
        let more = more.map(|more| format!("and {more} more; --json has all"));
        let lines = losses.chain(more).chain(reason.cause.iter().cloned());
        let lines = lines.chain(self.warning.clone()).chain(on_the_clock(*states, *timeless));
        lines.for_each(|line| text.extend(["   ", &line, "\n"]));
        let mut document = json!({
            "model": self.model, "is_warning": is_warning, "trial": trial, "reason": reason, "states": states,
            "timeless": timeless,
        });
        if how.is_empty() {
            let repeat = (self.repeating)(&reason.choice);
            report.repeats();
            text.extend(["   to repeat it: ", &repeat]);
            document["repeat"] = json!(repeat);
        } else {
            document["how"] = json!(how.trim_end());
        }
        // A failure that cannot be printed is one.
        if !is_warning {
            report.failed(format!("{} state {}", self.model, trial.choice), text.clone());
        }
        report.say("failure", &text, &document)
    }

    /// Reports the results of all states. `more` is added for a reader and for programs.
    pub fn summary(
        &self,
        found: &Found,
        (more, facts): (&str, &Value),
        report: &mut Report,
    ) -> Result<()> {
        let Found { distinct, between, failed, unmountable, pending, lost, kinds } = found;
        let (model, seed, is_warning) = (&self.model, report.seed, self.warning.is_some());
        let by_kind: Map<_, _> =
            kinds.iter().map(|(kind, states)| (kind.clone(), json!(states))).collect();
        let mut document = json!({
            "model": model, "is_warning": is_warning, "seed": seed, "distinct": distinct, "between": between,
            "failed": failed, "not_mounted": unmountable, "pending": pending, "lost": lost, "kinds": by_kind,
        });
        if let (Value::Object(document), Value::Object(facts)) = (&mut document, facts) {
            document.extend(facts.clone());
        }
        if !is_warning && *failed == 0 {
            report.passed(format!("{model}: {distinct} states"));
        }
        let warning = if is_warning && *failed > 0 { " (a warning)" } else { "" };
        let mounted = match unmountable {
            0 => String::new(),
            count => format!(", {count} not mounted"),
        };
        let mut text = format!(
            "{model}: {failed} of {distinct} distinct states failed{warning}{mounted}; {between} states are after an \
             acknowledgement; seed {seed}; {more}"
        );
        let kinds = kinds.iter().filter(|_kind| kinds.len() > 1);
        text.extend(kinds.map(|(kind, states)| format!("\n   {states} times: it {kind}")));
        report.say("summary", &text, &document)
    }
}

/// Says which of the failures of one kind need a clock that stands still.
fn on_the_clock(failed: usize, timeless: usize) -> Option<String> {
    let others = match timeless {
        _ if timeless == failed => return None,
        0 => String::from("no state fails in this way without that"),
        _ => format!("{timeless} of {failed} states fail in this way without that"),
    };
    Some(format!(
        "it can depend on the clock: a sync of a file that was written in place commits earlier names only if the clock has \
         ticked since the file's last change; {others}"
    ))
}

/// Checks states in quiet. Returns the results and the first failure.
pub fn first_failure<T: Trials>(
    trials: &T,
    states: impl Iterator<Item = T::State> + Send,
    jobs: usize,
) -> Result<(Found, Option<FailedOf<T>>)> {
    let (mut found, mut kinds) = (Found::default(), Kinds(Vec::new()));
    each(trials, states, jobs, |checked| {
        found.add(&checked);
        let Checked { trial, verdict, evidence } = checked;
        if let (Verdict::Failed(failure), true) = (verdict, kinds.0.is_empty()) {
            kinds.add(trial, failure, evidence);
        }
        Ok(())
    })?;
    Ok((found, kinds.0.pop()))
}
