//! Commands as checks: their output is shown or logged, and the tests in it are counted.

use std::io::Write;
use std::process::Stdio;

use anyhow::Result;
pub(crate) use lose_lines::command::{Cmd, Ending, find_program};
use lose_lines::log::Log;

use crate::output::{self, Output};
use crate::report::{Finding, Tests};

/// A command that is a check.
pub(crate) trait Check {
    /// Runs the command with its output shown. Returns its finding with the counted tests.
    fn check(&self) -> Result<Finding>;

    /// Runs the command as [`check`](Self::check) does, with its output in the log.
    fn check_in(&self, log: &mut Log) -> Result<Finding>;

    /// Runs the command as [`check`](Self::check) does, and fails if it ran no test.
    fn check_tests(&self) -> Result<Finding>;
}

impl Check for Cmd {
    fn check(&self) -> Result<Finding> {
        finding(self, output::complaints()?, &mut Output)
    }

    fn check_in(&self, log: &mut Log) -> Result<Finding> {
        finding(self, log.complaints()?, log)
    }

    fn check_tests(&self) -> Result<Finding> {
        Ok(self.check()?.with_tests(self))
    }
}

fn finding(cmd: &Cmd, complaints: Stdio, out: &mut impl Write) -> Result<Finding> {
    let mut tests = Tests::default();
    let status = cmd.each_line(complaints, out, |line| tests.add_result_line(line))?;
    Ok(if status.success() {
        Finding::passed(tests)
    } else {
        Finding::failed(tests, format!("`{cmd}` {}", cmd.describe(status)))
    })
}
