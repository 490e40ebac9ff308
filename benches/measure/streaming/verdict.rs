//! The verdict from the figures, and the figures that it rests on.

use super::{After, Controls, Figures, Repeated};
use core::fmt;

/// The effect of streaming stores and a fence on lines in L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth answer")]
pub enum Verdict {
    /// The lines are no longer cached: the stored data has gone to memory.
    Evicts,
    /// The lines are still in L1, and dirty: the stored data is not in memory.
    StaysInL1,
    /// The figures contradict each other, or do not separate the controls.
    CannotTell,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Evicts => "evicts",
            Self::StaysInL1 => "stays in L1",
            Self::CannotTell => "unclear",
        })
    }
}

/// The answer of one kind of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth answer")]
pub enum Answer {
    /// The lines seem to be still in L1 and dirty.
    Stays,
    /// The lines seem not to be cached.
    Evicts,
    /// The figures give neither answer.
    Nothing,
}

/// One kind of figures, for one width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Bytes of one store.
    pub store_bytes: usize,
    /// The subject of the measurement.
    pub what: &'static str,
    /// The answer.
    pub says: Answer,
    /// The figures.
    pub figures: String,
}

/// A verdict with its findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// The verdict.
    pub verdict: Verdict,
    /// Each kind of figures for each width.
    pub findings: Vec<Finding>,
}

/// The minimum ratio between two controls for them to count as different.
const APART: f64 = 1.5;
/// The minimum ratio between two loops for one to count as faster in L1: more than the caches differ from each other.
const FASTER: f64 = 3.0;

/// Returns the conclusion from these figures. Every finding with an answer must have the same one, for every width, and
/// the load and one of the loops must be among them.
#[must_use]
pub fn conclude(controls: &Controls, figures: &[Figures]) -> Conclusion {
    let by_width: Vec<[Finding; 4]> =
        figures.iter().map(|figures| findings(controls, figures)).collect();
    let mut verdicts = by_width.iter().map(verdict);
    let first = verdicts.next().unwrap_or(Verdict::CannotTell);
    let verdict = if verdicts.all(|other| other == first) { first } else { Verdict::CannotTell };
    Conclusion { verdict, findings: by_width.into_iter().flatten().collect() }
}

fn verdict([load, writeback, line, pass]: &[Finding; 4]) -> Verdict {
    let all = [load, writeback, line, pass].map(|finding| finding.says);
    let a_loop_says = |answer| line.says == answer || pass.says == answer;
    match load.says {
        Answer::Stays if a_loop_says(Answer::Stays) && !all.contains(&Answer::Evicts) => {
            Verdict::StaysInL1
        }
        Answer::Evicts if a_loop_says(Answer::Evicts) && !all.contains(&Answer::Stays) => {
            Verdict::Evicts
        }
        Answer::Stays | Answer::Evicts | Answer::Nothing => Verdict::CannotTell,
    }
}

/// Returns the findings of load, write-back, line loop, and pass loop.
fn findings(controls: &Controls, figures: &Figures) -> [Finding; 4] {
    let finding = |what, (says, text)| Finding {
        store_bytes: figures.store_bytes.bytes(),
        what,
        says,
        figures: text,
    };
    let (load, writeback) = (&figures.load_ns, &figures.writeback_ns);
    [
        finding(
            "load after",
            after(load, ("L1", controls.load_cached_ns.median), controls.load_not_cached_ns.median),
        ),
        finding(
            "write-back after",
            after(
                writeback,
                ("dirty", controls.writeback_dirty_ns.median),
                controls.writeback_not_cached_ns.median,
            ),
        ),
        finding("one line again and again", repeated(&figures.line_ns)),
        finding("4 KiB again and again", repeated(&figures.pass_ns)),
    ]
}

/// Judges a cost after streaming stores: it is that of a line that stayed, or that of one that is not cached. Lines
/// that were not cached before must cost as much as uncached lines; otherwise the method is at fault.
fn after(cost: &After, (stayed, if_it_stays): (&str, f64), not_cached: f64) -> (Answer, String) {
    let (clean, dirty) = (cost.clean.median, cost.dirty.median);
    let nearer = |cost| nearer(cost, if_it_stays, not_cached);
    let says = match (nearer(clean), nearer(dirty), nearer(cost.not_cached.median)) {
        (clean, dirty, Answer::Evicts) if clean == dirty => clean,
        _ => Answer::Nothing,
    };
    let figures = format!(
        "{clean:.1} ns (was clean), {dirty:.1} ns (was dirty); {stayed} {if_it_stays:.1}, not cached \
         {not_cached:.1}"
    );
    (says, figures)
}

/// Returns the answer with the nearer cost on a scale of ratios, or neither in the middle.
fn nearer(cost: f64, stays: f64, evicts: f64) -> Answer {
    const NEAR: f64 = 0.25;
    if (evicts / stays).max(stays / evicts) < APART {
        return Answer::Nothing;
    }
    let place = (cost / stays).ln() / (evicts / stays).ln();
    if place <= NEAR {
        Answer::Stays
    } else if place >= 1.0 - NEAR {
        Answer::Evicts
    } else {
        Answer::Nothing
    }
}

/// Judges a loop: stores that reach memory take memory's time, whatever the initial state of the lines.
fn repeated(cost: &Repeated) -> (Answer, String) {
    let (cached, not_cached) = (cost.cached.median, cost.not_cached.median);
    let ratio = not_cached / cached;
    let says = if ratio >= FASTER {
        Answer::Stays
    } else if ratio.max(ratio.recip()) <= APART {
        Answer::Evicts
    } else {
        Answer::Nothing
    };
    (says, format!("{cached:.1} ns if read before, {not_cached:.1} ns if flushed before"))
}

#[cfg(test)]
mod tests {
    use super::{Answer, Verdict, conclude};
    use crate::measure::statistics::Estimate;
    use crate::measure::streaming::{After, Controls, Figures, PASS, Repeated, Width};

    fn exactly(median: f64) -> Estimate {
        Estimate { median, low: median, high: median, samples: 30 }
    }

    fn controls(load: [f64; 2], writeback: [f64; 3]) -> Controls {
        let [load_cached_ns, load_not_cached_ns] = load.map(exactly);
        let [writeback_dirty_ns, writeback_clean_ns, writeback_not_cached_ns] =
            writeback.map(exactly);
        Controls {
            load_cached_ns,
            load_not_cached_ns,
            writeback_dirty_ns,
            writeback_clean_ns,
            writeback_not_cached_ns,
        }
    }

    fn after([clean, dirty, not_cached]: [f64; 3]) -> After {
        After { clean: exactly(clean), dirty: exactly(dirty), not_cached: exactly(not_cached) }
    }

    fn repeated([cached, not_cached]: [f64; 2]) -> Repeated {
        Repeated { cached: exactly(cached), not_cached: exactly(not_cached) }
    }

    fn figures(load: [f64; 3], writeback: [f64; 3], line: [f64; 2], pass: [f64; 2]) -> Figures {
        Figures {
            store_bytes: Width::Bytes64,
            load_ns: after(load),
            writeback_ns: after(writeback),
            line_ns: repeated(line),
            pass_ns: repeated(pass),
        }
    }

    /// Recorded on an AMD Zen 5 (family 26, KVM guest). A load takes 52 ticks from L1 and 364 from memory, and it hits
    /// after streaming stores. One line costs 1 ns in L1 and 140 ns elsewhere; 4 KiB run at 251 GB/s and at 21 GB/s. A
    /// write-back costs 157 ns, as after an ordinary store. The cost for lines which are not dirty was not recorded, so
    /// that finding must not be needed.
    fn zen5() -> (Controls, Figures) {
        let pass = [251.0, 21.0].map(|gigabytes_per_second| PASS as f64 / gigabytes_per_second);
        (
            controls([52.0, 364.0], [157.0; 3]),
            figures([52.0, 52.0, 364.0], [157.0; 3], [1.0, 140.0], pass),
        )
    }

    /// These figures are invented for a CPU that evicts, as the Intel SDM vol. 1, 10.4.6.2 describes it: afterwards all
    /// lines cost as much as uncached lines, whatever their earlier state.
    fn evicting() -> (Controls, Figures) {
        (
            controls([2.0, 90.0], [160.0, 90.0, 80.0]),
            figures([90.0; 3], [80.0; 3], [150.0, 140.0], [200.0, 190.0]),
        )
    }

    fn verdict((controls, figures): (Controls, Figures)) -> Verdict {
        conclude(&controls, &[figures]).verdict
    }

    #[test]
    fn the_figures_of_zen_5_say_that_lines_stay() {
        let (controls, figures) = zen5();
        let conclusion = conclude(&controls, &[figures]);
        assert_eq!(conclusion.verdict, Verdict::StaysInL1);
        let says: Vec<_> = conclusion.findings.iter().map(|finding| finding.says).collect();
        assert_eq!(says, [Answer::Stays, Answer::Nothing, Answer::Stays, Answer::Stays]);
        assert!(conclusion.findings[3].figures.starts_with("16.3 ns if read before, 195.0 ns"));
    }

    #[test]
    fn lines_that_cost_what_uncached_lines_cost_were_evicted() {
        assert_eq!(verdict(evicting()), Verdict::Evicts);
    }

    #[test]
    fn figures_that_are_all_equal_say_nothing() {
        let equal =
            (controls([10.0; 2], [10.0; 3]), figures([10.0; 3], [10.0; 3], [10.0; 2], [10.0; 2]));
        assert_eq!(verdict(equal), Verdict::CannotTell);
    }

    #[test]
    fn no_figures_say_nothing() {
        assert_eq!(conclude(&zen5().0, &[]).verdict, Verdict::CannotTell);
    }

    #[test]
    fn one_finding_that_says_the_opposite_leaves_it_open() {
        let (controls, mut figures) = zen5();
        figures.line_ns = repeated([140.0, 140.0]);
        assert_eq!(verdict((controls, figures)), Verdict::CannotTell);
        let (controls, mut figures) = evicting();
        figures.writeback_ns = after([160.0, 160.0, 80.0]);
        assert_eq!(verdict((controls, figures)), Verdict::CannotTell);
    }

    /// The lines were in no cache and still hit afterwards, so loads hit for another reason.
    #[test]
    fn a_load_that_always_hits_says_nothing() {
        let (controls, mut figures) = zen5();
        figures.load_ns = after([52.0, 52.0, 52.0]);
        assert_eq!(verdict((controls, figures)), Verdict::CannotTell);
    }

    #[test]
    fn a_load_between_the_controls_says_nothing() {
        let (controls, mut figures) = zen5();
        // The geometric mean of 52 and 364.
        figures.load_ns = after([137.6, 137.6, 364.0]);
        assert_eq!(verdict((controls, figures)), Verdict::CannotTell);
    }

    #[test]
    fn widths_that_disagree_leave_it_open() {
        let (controls, stays) = zen5();
        let (_, evicts) = evicting();
        let slow = Figures { load_ns: after([364.0; 3]), ..evicts };
        assert_eq!(conclude(&controls, core::slice::from_ref(&slow)).verdict, Verdict::Evicts);
        assert_eq!(conclude(&controls, &[stays, slow]).verdict, Verdict::CannotTell);
    }
}
