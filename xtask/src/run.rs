//! A run of steps: their commands and checks, and the line of counts at the end.
//!
//! A failure does not end the run. A check is skipped if this machine lacks what it needs ([`Lacks`](xtask::absent::Lacks));
//! any other error is a failure. A command that has tests counts them one by one, any other as one.

use core::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use xtask::absent::Absent;
use xtask::command::Cmd;
use xtask::counts::Tests;
use xtask::host::Host;

pub(crate) struct Run {
    tests: Tests,
    failures: Vec<String>,
    out: Box<dyn Write>,
}

impl Run {
    /// Returns a run with its output here.
    pub(crate) fn new(out: impl Write + 'static) -> Self {
        Self { tests: Tests::default(), failures: Vec::new(), out: Box::new(out) }
    }

    /// Runs a step, and prints its time.
    pub(crate) fn step(
        &mut self,
        name: &str,
        step: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let (start, failures) = (Instant::now(), self.failures.len());
        writeln!(self.out, "\n== {name}")?;
        if let Err(why) = step(self) {
            self.record(name, Err(why), Tests::default())?;
        }
        let result = if self.failures.len() == failures { "done" } else { "FAILED" };
        let time = start.elapsed().as_secs_f64();
        Ok(writeln!(self.out, "-- {name}: {result} in {time:.1} s")?)
    }

    /// Runs a command with its output shown. Returns true if it succeeded.
    pub(crate) fn command(&mut self, cmd: &Cmd) -> Result<bool> {
        let mut tests = Tests::default();
        let ended = cmd.show_in(&mut self.out, |line| tests.add_line(line));
        let judged = ended.and_then(|()| tests.must_be_permitted());
        self.record(cmd, judged, tests)
    }

    /// Runs tests in the same way. They fail if there are none.
    pub(crate) fn tests(&mut self, cmd: &Cmd) -> Result<bool> {
        let mut tests = Tests::default();
        let ended = cmd.show_in(&mut self.out, |line| tests.add_line(line));
        let judged = ended.and_then(|()| {
            ensure!(!tests.is_empty(), "`{cmd}` ran no test");
            tests.must_be_permitted()
        });
        self.record(cmd, judged, tests)
    }

    /// Makes a check that is no command. Returns true if it passed.
    pub(crate) fn check(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<bool> {
        writeln!(self.out, "-- {name}")?;
        self.record(name, work(), Tests::default())
    }

    /// Returns what a check needs, or `None` after it was counted as skipped or failed.
    pub(crate) fn needed<T>(&mut self, name: &str, found: Result<T>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(why) => self.record(name, Err(why), Tests::default()).map(|_failed| None),
        }
    }

    fn record(&mut self, name: impl fmt::Display, ended: Result<()>, tests: Tests) -> Result<bool> {
        let is_well = ended.is_ok();
        match ended {
            Ok(()) if tests.is_empty() => self.tests += Tests::one(true),
            Ok(()) => self.tests += tests,
            Err(why) if why.is::<Absent>() => {
                writeln!(self.out, "-- skipped: {name}: {why:#}")?;
                self.tests += Tests::one_skipped();
            }
            Err(why) => {
                writeln!(self.out, "-- FAILED: {name}: {why:#}")?;
                self.failures.push(format!("{name}: {why:#}"));
                // A program that a signal ended names no failed test.
                if !tests.have_failed() {
                    self.tests += Tests::one(false);
                }
                self.tests += tests;
            }
        }
        Ok(is_well)
    }

    /// Prints the failures, and the line of counts. Returns true if nothing failed.
    pub(crate) fn finish(&mut self) -> Result<bool> {
        for failure in &self.failures {
            writeln!(self.out, "FAILED: {}", failure.lines().next().unwrap_or_default())?;
        }
        writeln!(self.out, "\n{}", self.tests)?;
        Ok(!self.tests.have_failed())
    }
}

/// Steps that run in a process of their own, beside those of this one. Their output is printed at the end.
pub(crate) struct Beside {
    child: Child,
    log: PathBuf,
}

impl Beside {
    pub(crate) fn start(host: &Host, steps: &[&str]) -> Result<Self> {
        let folder = host.target_dir("steps");
        fs::create_dir_all(&folder)?;
        let log = folder.join(format!("{}.log", steps.join("-")));
        let out = File::create(&log).with_context(|| log.display().to_string())?;
        // A step may have built this program anew, in the place of the one that runs.
        let mut command = Command::new("/proc/self/exe");
        command.args(steps).stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        Ok(Self { child: command.spawn()?, log })
    }

    /// Waits for the steps, and adds what they came to.
    pub(crate) fn join(mut self, run: &mut Run) -> Result<()> {
        let status = self.child.wait()?;
        let text = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
        run.out.write_all(text.as_bytes())?;
        let counts = text.lines().next_back().unwrap_or_default().parse();
        let tests: Tests = counts.with_context(|| format!("the steps ended early: {status}"))?;
        let failures = text.lines().filter_map(|line| line.strip_prefix("FAILED: "));
        run.failures.extend(failures.map(str::to_owned));
        run.tests += tests;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Run;
    use std::io;

    use anyhow::{Error, bail};
    use xtask::absent::{Absent, Lacks};
    use xtask::command::Cmd;

    #[test]
    fn a_check_without_tests_counts_as_one_and_what_a_machine_lacks_is_skipped() {
        let mut run = Run::new(io::sink());
        run.check("passes", || Ok(())).unwrap();
        run.check("fails", || bail!("a reason")).unwrap();
        let absent = Absent { lacks: Lacks::Root, detail: String::from("no root") };
        run.check("is skipped", || Err(Error::from(absent).context("of a check"))).unwrap();
        let program = "echo 'test result: ok. 5 passed; 0 failed; 2 ignored'; exit 3";
        run.command(&Cmd::new("sh").args(["-c", program])).unwrap();
        assert_eq!(run.tests.to_string(), "6 passed, 2 failed, 3 skipped");
        assert!(!run.finish().unwrap());
        // A command of tests that has none may have lost them all.
        assert!(!run.tests(&Cmd::new("true")).unwrap());
    }
}
