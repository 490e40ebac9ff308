//! One restart of a machine after a program's end: what survives in RAM that the kernel has set aside.

use core::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::check::{Check, PRINTED, in_words, run};
use crate::crash::Checked;
use crate::kit::Kit;
use crate::log::Log;
use crate::losses::{Policy, number};
use crate::machine::agent::Mounted;
use crate::machine::ends::Ran;
use crate::machine::port::{self, Port};
use crate::pmem::{emulated, start_on_dax, try_mount_again};
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
    pub environment: &'a [(String, String)],
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
        let port = Port::new(&self.kit.work, self.name)?;
        let setup = setup.devices(port.devices());
        let mut machine = start_on_dax(self.kit, &setup, log)?;
        machine.wait_for(port::DEVICE)?;
        let given = self.environment.iter().map(|(name, value)| (&**name, &**value));
        let request = self.program.request(&given.collect::<Vec<_>>());
        let request = request.printing_to(port::DEVICE);
        let ended = run(&mut machine, &request, self.limit, log)?;
        let limit = self.limit.as_secs();
        match ended.ran {
            Ran::Ended((Some(0), _)) => {}
            Ran::Ended(end) => bail!(
                "the program {} before the restart; its complaints:\n{}",
                in_words(end),
                ended.output.trim_end()
            ),
            Ran::Unended => bail!("the program did not end in {limit} s; --limit gives it more"),
            Ran::Reset | Ran::Cut => bail!("the program took the machine down"),
        }
        let lines = port.acknowledged()?;
        match self.by {
            Restart::Reset => machine.reboot()?,
            Restart::Panic => machine.panic()?,
            Restart::Kexec => machine.kexec()?,
        }
        machine.write(PRINTED, lines.text())?;
        let Self { check: command, environment, limit, .. } = *self;
        let verdict = match try_mount_again(&mut machine)? {
            Mounted::Done => Check { command, environment, limit }.in_machine(&mut machine, log)?.0,
            refused => refused.verdict(),
        };
        let report = machine.losses()?;
        machine.end()?;
        let sum = |name| {
            let losses = report.lines().filter(|line| line.starts_with("loss "));
            losses.filter_map(|line| number(line, name)).sum()
        };
        let (dirty, lost) = (sum("dirty"), sum("lost"));
        Ok(Checked { acknowledged: lines.count(), dirty, lost, verdict })
    }
}
