//! Fixed defects, put back one by one: the test that each patch under `tests/regressions` names must notice the defect.
//!
//! The patch's line `Test: PROGRAM TEST` names the test, and `Shows: WORDS` quotes its failure.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::command::{Check as _, Cmd, Ending};
use crate::host::Host;
use crate::output::Output;
use crate::packages::GENERATED;
use crate::planted::Planted;
use crate::report::{Finding, Report, Tests};

/// Exit code of a test program of which a test has failed.
const FAILED: i32 = 101;

/// A defect to put back, and the test that notices it.
struct Regression<'t> {
    program: &'t str,
    test: &'t str,
    shows: &'t str,
}

impl<'t> Regression<'t> {
    /// Reads the head of a patch.
    fn of(patch: &'t Planted) -> Result<Self> {
        let (program, test) =
            patch.says("Test")?.split_once(' ').context("`Test:` names one word")?;
        Ok(Self { program, test, shows: patch.says("Shows")? })
    }

    /// Returns the reason why a run of the test has not noticed the defect, if it has not.
    fn overlooked(&self, ending: &Ending, output: &str) -> Option<String> {
        let Self { test, shows, .. } = self;
        if ending.code != Some(FAILED) || !output.contains(&format!("test {test} ... FAILED")) {
            return Some(format!("{test} does not notice it: it {}", ending.told));
        }
        let is_shown = output.contains(shows);
        (!is_shown).then(|| format!("{test} fails, but does not say \"{shows}\":\n{output}"))
    }
}

pub(crate) fn regressions(host: &Host, report: &mut Report) -> Result<()> {
    for patch in Planted::all(&host.root().join("tests/regressions"))? {
        let proves = "a defect that is put back is noticed";
        report.check(&patch.name(), proves, || put_back(host, &patch))?;
    }
    Ok(())
}

/// Puts a defect back in a copy of the tree, and runs the test that must notice it.
fn put_back(host: &Host, patch: &Planted) -> Result<Finding> {
    let regression = Regression::of(patch)?;
    let tree = host.target_dir("regressions");
    patch.plant(host, &tree)?;
    // The step `test` has compiled the crates that are not of this tree.
    let running = Cmd::cargo("test")
        .words(GENERATED)
        .args(["--test", regression.program])
        .folder(&tree)
        .env("CARGO_TARGET_DIR", host.target_dir("").display().to_string())
        .env("CARGO_INCREMENTAL", "1")
        // With another profile no check takes a library with the defect for that of the tree.
        .words("--config profile.dev.package.cachemaint.codegen-units=16");
    let built = running.clone().arg("--no-run").check()?;
    if built.failure().is_some() {
        return Ok(built);
    }
    let started = Instant::now();
    let (ending, output) =
        running.args(["--", "--exact", regression.test]).env("RUST_BACKTRACE", "0").ending()?;
    if let Some(why) = regression.overlooked(&ending, &output) {
        bail!(why);
    }
    for line in output.lines().filter(|line| line.contains(regression.shows) || is_told(line)) {
        // The failure may show a whole image.
        writeln!(Output, "{line:.500}")?;
    }
    writeln!(Output, "noticed in {:.1} s", started.elapsed().as_secs_f64())?;
    Ok(Finding::passed(Tests::default()))
}

/// Returns true if a line has the history that failed, the method that found it, or the number of tried histories.
fn is_told(line: &str) -> bool {
    line.starts_with("life ") || line.starts_with("found ") || line.contains(" histories, ")
}

#[cfg(test)]
mod tests {
    use super::Regression;
    use crate::command::Ending;
    use crate::planted::Planted;

    fn ending(code: i32) -> Ending {
        Ending { code: Some(code), told: format!("ended with exit code {code}") }
    }

    #[test]
    fn a_test_that_passes_or_fails_otherwise_has_overlooked_it() {
        let patch = Planted::new("Test: histories journal::all\nShows: lost\n");
        let regression = Regression::of(&patch).unwrap();
        let overlooked = |code, output| regression.overlooked(&ending(code), output);
        assert_eq!(overlooked(101, "it is lost\ntest journal::all ... FAILED\n"), None);
        assert!(overlooked(0, "lost\ntest journal::all ... ok\n").is_some());
        assert!(overlooked(101, "test journal::all ... FAILED\n").is_some());
        // The program was not found, or not built.
        assert!(overlooked(101, "lost").is_some());
    }
}
