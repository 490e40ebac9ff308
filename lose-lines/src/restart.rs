//! One restart of a machine after a program's end: what survives in RAM that the kernel has set aside.

use core::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::crash::{Checked, PRINTED, acknowledged, count, in_words, run};
use crate::kit::Kit;
use crate::log::Log;
use crate::losses::{Policy, number};
use crate::machine::Machine;
use crate::machine::ends::Ran;
use crate::pmem::{emulated, mount_again, start_on_dax};
use crate::program::CommandLine;

/// The way in which the next kernel is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    /// A reset through firmware that keeps RAM. Dirty lines are lost.
    Reset,
    /// A kernel panic, which resets the machine.
    Panic,
    /// The running kernel starts the next one. No line is lost.
    Kexec,
}

/// A program, and the one that checks the state afterwards.
pub struct Restarted<'a> {
    pub kit: &'a Kit,
    /// The name of the machine.
    pub name: &'a str,
    pub program: &'a CommandLine,
    pub check: &'a CommandLine,
    pub environment: &'a [(&'a str, &'a str)],
    pub by: Restart,
    pub policy: Policy,
    pub seed: u64,
    /// The time that the program and the check may take.
    pub limit: Duration,
}

impl Restarted<'_> {
    /// Runs the program, restarts the machine, and runs the check.
    pub fn checked(&self, log: &Log) -> Result<Checked> {
        let mut setup = emulated(self.name).with_kexec().policy(self.policy);
        setup.limit += self.limit * 2;
        self.program.add_to(&mut setup.files);
        self.check.add_to(&mut setup.files);
        if let Some(losses) = &mut setup.losses {
            losses.seed = Some(self.seed);
        }
        let mut machine = start_on_dax(self.kit, &setup, log)?;
        let (failure, printed) = self.run(&mut machine, self.program, &[], log)?;
        if let Some(why) = failure {
            bail!("the program {why} before the restart; its output:\n{}", printed.trim_end());
        }
        match self.by {
            Restart::Reset => machine.reboot()?,
            Restart::Panic => machine.panic()?,
            Restart::Kexec => machine.kexec()?,
        }
        mount_again(&mut machine)?;
        let lines = acknowledged(&printed);
        machine.write(PRINTED, lines)?;
        let (failure, output) = self.run(&mut machine, self.check, &[("PRINTED", PRINTED)], log)?;
        let report = machine.losses()?;
        machine.end()?;
        let sum = |name| {
            let losses = report.lines().filter(|line| line.starts_with("loss "));
            losses.filter_map(|line| number(line, name)).sum()
        };
        Ok(Checked {
            acknowledged: count(lines),
            dirty: sum("dirty"),
            lost: sum("lost"),
            failure,
            output,
        })
    }

    /// Returns the complaint about a run, if it failed, and its output.
    fn run(
        &self,
        machine: &mut Machine,
        command: &CommandLine,
        more: &[(&str, &str)],
        log: &Log,
    ) -> Result<(Option<String>, String)> {
        let request = command.request(&[self.environment, more].concat());
        let ended = run(machine, &request, self.limit, log)?;
        let failure = match ended.ran {
            Ran::Ended((Some(0), _)) => None,
            Ran::Ended(end) => Some(in_words(end)),
            Ran::Unended => bail!("{request:?} did not end in {} s", self.limit.as_secs()),
            Ran::Cut => bail!("the emulator was killed"),
        };
        Ok((failure, ended.printed))
    }
}
