//! The results of the checks, and the table and counts at the end.

use alloc::collections::BTreeMap;
use core::fmt;
use core::time::Duration;
use std::env;
use std::io::{self, Write as _};
use std::time::Instant;

use anyhow::Result;

use crate::output::Output;
use crate::skips;

/// Counts from the result lines of the test harness, or of other tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tests {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Tests that printed that they were skipped and returned, because the harness has no other method.
    skipped: u64,
    /// Tests that the names in the program's arguments left out.
    filtered: u64,
    /// The message of each test that was skipped or ignored.
    skips: Vec<String>,
}

impl Tests {
    /// Returns the counts of tests that were counted one by one.
    pub(crate) fn counted(passed: usize, failed: usize) -> Self {
        Self { passed: passed as u64, failed: failed as u64, ..Self::default() }
    }

    /// Returns the counts of one test that was not run.
    pub(crate) fn not_run(message: String) -> Self {
        Self { ignored: 1, skips: vec![message], ..Self::default() }
    }

    /// Adds the counts of another run.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skipped += other.skipped;
        self.filtered += other.filtered;
        self.skips.extend(other.skips);
    }

    /// Returns true if at least one passed, beside those that were skipped.
    pub(crate) fn have_passed(&self) -> bool {
        self.passed > self.skipped
    }

    /// Returns true if the names in the arguments match no test: a test was renamed. A target can lack all tests of a program.
    pub(crate) fn were_all_left_out(&self) -> bool {
        self.filtered > 0 && self.passed + self.failed + self.ignored == 0
    }

    /// Adds the counts of `line` if it is a harness's `test result:` line, and the message of a skipped or ignored test.
    /// The harness counts a test that prints that it was skipped among the passed.
    pub(crate) fn add_result_line(&mut self, line: &str) {
        if let Some((_, message)) = line.split_once("skipped: ") {
            self.skipped += 1;
            self.skips.push(message.trim_end().to_owned());
            return;
        }
        if line.starts_with("test ") && line.contains(" ... ignored") {
            self.skips.push(line.trim_end().to_owned());
            return;
        }
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        for part in counts.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(kind)) =
                (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match kind {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                "filtered" => self.filtered += number,
                _ => {}
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// The result of one check.
#[must_use]
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    outcome: Outcome,
    tests: Tests,
}

impl Finding {
    pub(crate) fn passed(tests: Tests) -> Self {
        Self { outcome: Outcome::Passed, tests }
    }

    pub(crate) fn failed(tests: Tests, why: String) -> Self {
        Self { outcome: Outcome::Failed(why), tests }
    }

    pub(crate) fn skipped(why: String) -> Self {
        Self { outcome: Outcome::Skipped(why), tests: Tests::default() }
    }

    /// Returns the finding of tests with these failures: an empty text passes.
    pub(crate) fn of(tests: Tests, failures: String) -> Self {
        if failures.is_empty() { Self::passed(tests) } else { Self::failed(tests, failures) }
    }

    pub(crate) fn is_skipped(&self) -> bool {
        matches!(self.outcome, Outcome::Skipped(_))
    }

    /// Returns the tests that the check counted.
    pub(crate) fn tests(&self) -> Tests {
        self.tests.clone()
    }

    /// Returns the message of each skip at `place` that the list does not have.
    fn unlisted(&self, place: &str) -> Vec<&str> {
        let tests = self.tests.skips.iter().map(String::as_str);
        let mut unlisted: Vec<&str> =
            tests.filter(|test| skips::permits_test(place, test).is_none()).collect();
        if let Some(why) =
            self.whole_skip().filter(|why| skips::permits_check(place, why).is_none())
        {
            unlisted.push(why);
        }
        unlisted
    }

    /// Returns the reason for which the list permits each skip at `place`.
    fn listed(&self, place: &str) -> impl Iterator<Item = &'static str> {
        let tests = self.tests.skips.iter().filter_map(|test| skips::permits_test(place, test));
        tests.chain(self.whole_skip().and_then(|why| skips::permits_check(place, why)))
    }

    /// Returns the reason why the check was skipped, unless each of its tests has a reason.
    fn whole_skip(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Skipped(why) if self.tests.skips.is_empty() => Some(why),
            _ => None,
        }
    }

    /// Returns the reason why the check failed, if it did.
    pub(crate) fn failure(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Failed(why) => Some(why),
            Outcome::Passed | Outcome::Skipped(_) => None,
        }
    }

    /// Returns the finding of a program that holds tests: it fails if none of them ran, and is skipped if each of them was.
    pub(crate) fn with_tests(self, program: impl fmt::Display) -> Self {
        let has_none = matches!(self.outcome, Outcome::Passed) && !self.tests.have_passed();
        match (has_none, self.tests.skipped > 0) {
            (false, _) => self,
            (true, false) => Self::failed(self.tests, format!("`{program}` ran no test")),
            (true, true) => {
                let why = format!("`{program}` skipped each of its tests");
                Self { outcome: Outcome::Skipped(why), ..self }
            }
        }
    }
}

/// A check that passed and counts no tests.
impl From<()> for Finding {
    fn from((): ()) -> Self {
        Self::passed(Tests::default())
    }
}

/// A check whose tests have all passed: their number.
impl From<usize> for Finding {
    fn from(passed: usize) -> Self {
        Self::passed(Tests::counted(passed, 0))
    }
}

/// The numbers of passed, failed and skipped tests. A check that holds no tests counts as one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    fn add(&mut self, finding: &Finding) {
        let Tests { passed: ended, failed, ignored, skipped, .. } = finding.tests;
        let passed = ended.saturating_sub(skipped);
        self.skipped += ignored + skipped;
        match finding.outcome {
            Outcome::Passed => self.passed += if ended == 0 { 1 } else { passed },
            Outcome::Failed(_) => {
                self.passed += passed;
                self.failed += failed.max(1);
            }
            Outcome::Skipped(_) => self.skipped += u64::from(ignored + skipped == 0),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Returns the result of `work`, and the time that it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

#[derive(Debug)]
struct Row {
    step: &'static str,
    name: String,
    finding: Finding,
    time: Duration,
}

/// The checks run so far.
#[derive(Debug)]
pub(crate) struct Report {
    step: &'static str,
    rows: Vec<Row>,
    start: Instant,
    /// True if a skip that is not listed fails its check.
    is_ci: bool,
}

impl Report {
    pub(crate) fn new() -> Self {
        let is_ci = env::var_os("CI").is_some();
        Self { step: "", rows: Vec::new(), start: Instant::now(), is_ci }
    }

    /// Adds the checks of another report behind those of this one.
    pub(crate) fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    /// Sets the step that the next checks belong to.
    pub(crate) fn begin(&mut self, step: &'static str) {
        self.step = step;
    }

    /// Prints what a check proves, then runs it. An error of `work` fails the check and does not end the run.
    pub(crate) fn check(
        &mut self,
        name: &str,
        proves: &str,
        work: impl FnOnce() -> Result<Finding>,
    ) -> Result<()> {
        writeln!(Output, "\n== {} / {name}: {proves}", self.step)?;
        let (finding, time) = timed(work);
        let finding =
            finding.unwrap_or_else(|error| Finding::failed(Tests::default(), format!("{error:#}")));
        self.record(name, self.step, finding, time)
    }

    /// Records that a check was not run, with the reason.
    pub(crate) fn skip(&mut self, name: &str, why: impl fmt::Display) -> Result<()> {
        writeln!(Output, "\n== {} / {name}", self.step)?;
        self.record(name, self.step, Finding::skipped(why.to_string()), Duration::ZERO)
    }

    /// Records the result of a check, and the task that runs it alone.
    pub(crate) fn record(
        &mut self,
        name: &str,
        alone: &str,
        finding: Finding,
        time: Duration,
    ) -> Result<()> {
        let step = self.step;
        let finding = self.judged(&format!("{step} / {name}"), finding)?;
        match &finding.outcome {
            Outcome::Passed => {
                // A run that is ended has no table.
                writeln!(Output, "-- passed: {step} / {name}, {:.1} s", time.as_secs_f64())?;
            }
            Outcome::Failed(why) => {
                writeln!(
                    Output,
                    "-- FAILED: {step} / {name}: {why}\n   this alone: cargo xtask {alone}"
                )?;
            }
            Outcome::Skipped(why) => writeln!(Output, "-- skipped: {step} / {name}: {why}")?,
        }
        self.rows.push(Row { step, name: name.to_owned(), finding, time });
        Ok(())
    }

    /// Returns the finding, or a failure if the list does not permit one of its skips and this is a run of CI.
    fn judged(&self, place: &str, finding: Finding) -> Result<Finding> {
        let unlisted = finding.unlisted(place);
        if unlisted.is_empty() {
            return Ok(finding);
        }
        let why = format!(
            "skipped, which xtask/src/skips.rs does not permit at `{place}`:\n   {}",
            unlisted.join("\n   ")
        );
        if !self.is_ci {
            writeln!(Output, "-- {why}")?;
            return Ok(finding);
        }
        let failure = finding.failure().map(|failure| format!("{failure}\n"));
        Ok(Finding::failed(finding.tests(), failure.unwrap_or_default() + &why))
    }

    /// Prints a row for each check, the reasons of the skips, the seconds of the whole run, and the line of counts. Returns
    /// true if nothing failed.
    pub(crate) fn finish(&self) -> Result<bool> {
        let mut out = io::stdout().lock();
        self.print_rows(&mut out)?;
        self.print_skips(&mut out)?;
        let mut counts = Counts::default();
        self.rows.iter().for_each(|row| counts.add(&row.finding));
        writeln!(
            out,
            "all in {:.1} s; steps run side by side",
            self.start.elapsed().as_secs_f64()
        )?;
        writeln!(out, "\n{counts}")?;
        Ok(counts.failed == 0)
    }

    fn print_skips(&self, out: &mut impl io::Write) -> Result<()> {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for Row { step, name, finding, .. } in &self.rows {
            let place = format!("{step} / {name}");
            finding.listed(&place).for_each(|because| *counts.entry(because).or_default() += 1);
        }
        for (because, count) in counts {
            writeln!(out, "skipped {count:3}: {because}")?;
        }
        Ok(())
    }

    fn print_rows(&self, out: &mut impl io::Write) -> Result<()> {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        writeln!(
            out,
            "\n{:12} {:width$} {:8} {:>7} {:>6}",
            "step", "check", "result", "seconds", "tests"
        )?;
        for Row { step, name, finding, time } in &self.rows {
            let (result, why) = match &finding.outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Failed(why) => ("FAILED", why.lines().next().unwrap_or_default()),
                Outcome::Skipped(why) => ("skipped", why.lines().next().unwrap_or_default()),
            };
            let tests = match finding.tests.passed.saturating_sub(finding.tests.skipped) {
                0 => String::from("-"),
                passed => passed.to_string(),
            };
            // The check itself has printed the whole reason.
            let time = time.as_secs_f64();
            let line =
                format!("{step:12} {name:width$} {result:8} {time:7.1} {tests:>6}  {why:.120}");
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Finding, Report, Tests};

    fn counted(lines: &[&str]) -> Tests {
        let mut tests = Tests::default();
        for line in lines {
            tests.add_result_line(line);
        }
        tests
    }

    #[test]
    fn result_lines_are_summed_and_others_ignored() {
        let tests = counted(&[
            "running 3 tests",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 4 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.25s",
        ]);
        assert_eq!((tests.passed, tests.failed, tests.ignored), (6, 3, 1));
    }

    #[test]
    fn a_check_without_tests_counts_as_one_and_a_crash_is_a_failure_beside_the_tests_that_passed() {
        let mut counts = Counts::default();
        counts.add(&Finding::passed(Tests::default()));
        counts.add(&Finding::skipped(String::from("no rustup")));
        let crashed = counted(&["test result: ok. 5 passed; 0 failed; 2 ignored"]);
        counts.add(&Finding::failed(crashed, String::from("signal")));
        assert_eq!(counts.to_string(), "6 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn a_check_that_skipped_each_of_its_tests_has_not_passed() {
        let skipped = counted(&[
            "skipped: one: no tracing",
            "skipped: another: no tracing",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ]);
        let mut counts = Counts::default();
        counts.add(&Finding::passed(skipped.clone()));
        assert_eq!(counts.to_string(), "0 passed, 0 failed, 2 skipped");
        assert!(Finding::passed(skipped.clone()).with_tests("a program").is_skipped());
        assert!(Finding::passed(Tests::default()).with_tests("a program").failure().is_some());
    }

    #[test]
    fn a_skip_that_is_not_listed_fails_its_check_on_ci() {
        let tests = counted(&[
            "skipped: one: no mount namespace: EPERM",
            "test two ... ignored, it is slow",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
        ]);
        let failure = |is_ci, finding| {
            let report = Report { is_ci, ..Report::new() };
            report.judged("test / all", finding).unwrap().failure().map(str::to_owned)
        };
        assert_eq!(failure(false, Finding::passed(tests.clone())), None);
        let why = failure(true, Finding::passed(tests)).unwrap();
        assert!(why.contains("test two ... ignored, it is slow"), "{why}");
        assert!(!why.contains("namespace"), "{why}");
        let skipped = |why: &str| failure(true, Finding::skipped(why.to_owned()));
        assert_eq!(skipped("rustup is not installed"), None);
        assert!(skipped("`rustup toolchain install nightly` took longer than 180 s").is_some());
    }

    #[test]
    fn names_that_match_no_test_are_known_from_programs_without_tests() {
        let line = |passed: u32, filtered: u32| {
            format!(
                "test result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; {filtered} filtered out"
            )
        };
        assert!(counted(&[&line(0, 7)]).were_all_left_out());
        assert!(!counted(&[&line(1, 7)]).were_all_left_out());
        assert!(!counted(&[&line(0, 0)]).were_all_left_out());
    }
}
