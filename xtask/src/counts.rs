//! Counts of tests, by the lines that test programs print.

use core::fmt;
use core::ops::AddAssign;
use core::str::FromStr;
use std::env;

use anyhow::{Context as _, Error, Result, bail, ensure};

use crate::skips;

/// The tests of a command, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    /// Those that passed, by the harness's count.
    ended_well: u64,
    failed: u64,
    ignored: u64,
    /// Those among the first that printed that they were skipped, and returned.
    skipped: u64,
    /// Those that the arguments left out.
    filtered: u64,
    /// The messages of skips that the list does not permit.
    unlisted: Vec<String>,
}

impl Tests {
    /// Returns the counts of one check that has no tests.
    pub fn one(has_passed: bool) -> Self {
        Self { ended_well: has_passed.into(), failed: (!has_passed).into(), ..Self::default() }
    }

    /// Returns the count of one check that was not run.
    pub fn one_skipped() -> Self {
        Self { ignored: 1, ..Self::default() }
    }

    /// Adds the tests of a line `test result: …`, and the test of a line `skipped: …`.
    pub fn add_line(&mut self, line: &str) {
        // In a single thread the harness begins the line with the name of the test.
        if let Some((start, message)) = line.split_once("skipped: ")
            && (start.is_empty() || start.ends_with(" ... "))
        {
            self.skipped += 1;
            if !skips::is_permitted(message.trim_end()) {
                self.unlisted.push(message.trim_end().to_owned());
            }
        }
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        for part in counts.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u64>().ok());
            let (Some(number), Some(kind)) = (number, words.next()) else { continue };
            match kind {
                "passed" => self.ended_well += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                "filtered" => self.filtered += number,
                _ => {}
            }
        }
    }

    /// Returns the number of those that passed.
    fn passed(&self) -> u64 {
        self.ended_well.saturating_sub(self.skipped)
    }

    /// Returns true if at least one passed.
    pub fn have_passed(&self) -> bool {
        self.passed() > 0
    }

    /// Returns true if one failed.
    pub fn have_failed(&self) -> bool {
        self.failed > 0
    }

    /// Returns true if there are no tests.
    pub fn is_empty(&self) -> bool {
        self.ended_well + self.failed + self.ignored == 0
    }

    /// Returns true if the names in the arguments match no test: one was renamed.
    pub fn were_all_left_out(&self) -> bool {
        self.filtered > 0 && self.is_empty()
    }

    /// Fails on CI if a test was skipped for a reason that is not permitted.
    pub fn must_be_permitted(&self) -> Result<()> {
        ensure!(
            self.unlisted.is_empty() || env::var_os("CI").is_none(),
            "skipped for reasons that neither xtask/src/skips.rs nor the job's list permits:\n   {}",
            self.unlisted.join("\n   ")
        );
        Ok(())
    }
}

impl AddAssign for Tests {
    fn add_assign(&mut self, rhs: Self) {
        self.ended_well += rhs.ended_well;
        self.failed += rhs.failed;
        self.ignored += rhs.ignored;
        self.skipped += rhs.skipped;
        self.filtered += rhs.filtered;
        self.unlisted.extend(rhs.unlisted);
    }
}

impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.skipped + self.ignored;
        write!(f, "{} passed, {} failed, {skipped} skipped", self.passed(), self.failed)
    }
}

/// Reads what [`Display`](fmt::Display) writes.
impl FromStr for Tests {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let counts = text.split(", ").zip(["passed", "failed", "skipped"]).map(|(part, kind)| {
            Ok(part.strip_suffix(kind).context("no counts")?.trim_end().parse()?)
        });
        let counts: Vec<u64> = counts.collect::<Result<_>>()?;
        let [ended_well, failed, ignored] = counts[..] else { bail!("no counts") };
        Ok(Self { ended_well, failed, ignored, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::Tests;

    fn counted(lines: &[&str]) -> Tests {
        let mut tests = Tests::default();
        for line in lines {
            tests.add_line(line);
        }
        tests
    }

    #[test]
    fn result_lines_are_summed_and_a_test_that_skipped_itself_has_not_passed() {
        let tests = counted(&[
            "running 3 tests",
            "   | test result: FAILED. 0 passed; 9 failed",
            "-- skipped: a check",
            "test a ... skipped: a: CACHEMAINT_EXPECT is not set",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 4 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out",
        ]);
        assert_eq!(tests.to_string(), "5 passed, 3 failed, 2 skipped");
        let read: Tests = tests.to_string().parse().unwrap();
        assert_eq!(read.to_string(), tests.to_string());
        assert!("5 passed".parse::<Tests>().is_err());
        assert!(tests.unlisted.is_empty());
        assert_eq!(counted(&["skipped: a: it is late"]).unlisted, ["a: it is late"]);
    }

    #[test]
    fn names_that_match_no_test_are_known_from_programs_without_tests() {
        let line = |passed: u32, filtered: u32| {
            format!("test result: ok. {passed} passed; 0 failed; {filtered} filtered out")
        };
        assert!(counted(&[&line(0, 7)]).were_all_left_out());
        assert!(!counted(&[&line(1, 7)]).were_all_left_out());
        assert!(!counted(&[&line(0, 0)]).were_all_left_out());
    }
}
