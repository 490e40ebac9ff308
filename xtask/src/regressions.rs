//! Defects that were mended, put back one by one: the test that each patch under `tests/regressions` names must notice.
//!
//! A patch begins with the defect in words, then a line `Test: PROGRAM TEST` and a line `Shows: WORDS` with what the
//! failure says. It is applied to a copy of the tree, so that the tree stays as it is.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::command::{Cmd, Ending};
use crate::host::Host;
use crate::report::{Finding, Report, Tests};

/// Exit code of a test program of which a test has failed.
const FAILED: i32 = 101;

/// A defect to put back, and how it is noticed.
#[derive(Debug, PartialEq, Eq)]
struct Regression<'t> {
    program: &'t str,
    test: &'t str,
    shows: &'t str,
}

impl<'t> Regression<'t> {
    /// Reads the lines before a patch.
    fn read(patch: &'t str) -> Option<Self> {
        let mut lines = patch.lines().take_while(|line| !line.starts_with("diff "));
        let (program, test) =
            lines.find_map(|line| line.strip_prefix("Test: "))?.split_once(' ')?;
        let shows = lines.find_map(|line| line.strip_prefix("Shows: "))?;
        Some(Self { program, test, shows })
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
    for path in host.sources("tests/regressions/*.patch")? {
        let path = Path::new(&path);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        report.check(&name, "a defect that is put back is noticed", || put_back(host, path))?;
    }
    Ok(())
}

/// Puts a defect back in a copy of the tree, and runs the test that must notice it.
fn put_back(host: &Host, path: &Path) -> Result<Finding> {
    let text = fs::read_to_string(path)?;
    let regression = Regression::read(&text)
        .with_context(|| format!("{}: no lines `Test:` and `Shows:`", path.display()))?;
    let tree = host.target_dir("regressions");
    host.copy_sources(&tree)?;
    Cmd::new("git")
        .arg("apply")
        .arg(host.root().join(path).display().to_string())
        .folder(&tree)
        // Inside of a repository it would apply only what is below this folder, and say nothing.
        .env("GIT_CEILING_DIRECTORIES", host.target_dir("").display().to_string())
        .read()
        .context("the patch does not fit the code any more: make it again")?;
    // The crates that are not of this tree were compiled by the step `test`.
    let running = Cmd::cargo("test --test")
        .arg(regression.program)
        .folder(&tree)
        .env("CARGO_TARGET_DIR", host.target_dir("").display().to_string())
        .env("CARGO_INCREMENTAL", "1")
        // Most of the time is the compiler's.
        .args(["--config", "profile.dev.package.cachemaint.opt-level=0"]);
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
        writeln!(io::stdout(), "{line}")?;
    }
    writeln!(io::stdout(), "noticed in {:.1} s", started.elapsed().as_secs_f64())?;
    Ok(Finding::passed(Tests::default()))
}

/// Returns true if a line says which history has failed, how it was found, or how many were tried.
fn is_told(line: &str) -> bool {
    line.starts_with("life ") || line.starts_with("found ") || line.contains(" histories, ")
}

#[cfg(test)]
mod tests {
    use super::Regression;
    use crate::command::Ending;

    const PATCH: &str =
        "All is lost.\n\nTest: histories journal::all\nShows: lost\n\ndiff --git a/x b/x\n";

    fn ending(code: i32) -> Ending {
        Ending { code: Some(code), told: format!("ended with exit code {code}") }
    }

    #[test]
    fn a_patch_names_its_test_before_it_begins() {
        let expected = Regression { program: "histories", test: "journal::all", shows: "lost" };
        assert_eq!(Regression::read(PATCH), Some(expected));
        assert_eq!(Regression::read("diff --git a/x b/x\nTest: a b\nShows: c\n"), None);
    }

    #[test]
    fn a_test_that_passes_or_fails_otherwise_has_overlooked_it() {
        let regression = Regression::read(PATCH).unwrap();
        let overlooked = |code, output| regression.overlooked(&ending(code), output);
        assert_eq!(overlooked(101, "it is lost\ntest journal::all ... FAILED\n"), None);
        assert!(overlooked(0, "lost\ntest journal::all ... ok\n").is_some());
        assert!(overlooked(101, "test journal::all ... FAILED\n").is_some());
        // The program was not found, or not built.
        assert!(overlooked(101, "lost").is_some());
    }
}
