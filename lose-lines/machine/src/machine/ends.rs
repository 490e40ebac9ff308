//! The ends of a machine: power cuts, most of them while a program runs, and orderly ends. Each one evaluates the
//! plugin's report.

use core::time::Duration;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use lose_lines_agent::{Reply, Request};
use rustix::process::{Pid, Signal, kill_process};

use super::programs::End;
use super::{Machine, Report};

/// The end of a program's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The program ended.
    Ended(End),
    /// The power was cut at the event chosen at the machine's start.
    Cut,
    /// The machine was reset: its kernel panicked, or the program did it.
    Reset,
    /// The time ran out, and the program is still running.
    Unended,
}

impl Machine {
    /// Sends a request that is acknowledged record by record, and cuts the power some time after this many: SIGKILL
    /// ends the emulator. Returns the number of records acknowledged by then.
    pub fn acknowledged_until_power_cut(
        mut self,
        request: impl Into<Request>,
        enough: u64,
        later: Duration,
    ) -> Result<u64> {
        let request = request.into();
        self.send(&request)?;
        let mut acknowledged = 0;
        while acknowledged < enough {
            match self.reply()? {
                Reply::Acknowledged(count) => acknowledged = count,
                other => bail!("{request:?}: {other:?}"),
            }
        }
        thread::sleep(later);
        self.child.kill().context("cannot kill the emulator")?;
        // A record that was leaving the machine at its end was acknowledged too.
        while let Ok(Ok(reply)) = self.replies.recv() {
            if let Reply::Acknowledged(count) = reply {
                acknowledged = count;
            }
        }
        self.has_been_cut()?;
        Ok(acknowledged)
    }

    /// Sends such a request to a machine that cuts its power at an event chosen at its start. Returns the number of
    /// records acknowledged by then.
    pub fn acknowledged_until_event(mut self, request: impl Into<Request>) -> Result<u64> {
        let request = request.into();
        self.send(&request)?;
        let mut acknowledged = 0;
        loop {
            match self.next() {
                Ok(Ok(Reply::Acknowledged(count))) => acknowledged = count,
                Ok(other) => bail!("{request:?} before the power was cut: {:?}", other?),
                Err(RecvTimeoutError::Timeout) => bail!("the power was not cut in time"),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.has_been_cut()?;
        Ok(acknowledged)
    }

    /// Runs the program of a request for at most this time.
    pub fn run_for(&mut self, request: &Request, time: Duration) -> Result<Ran> {
        self.send(request)?;
        match self.replies.recv_timeout(time) {
            Ok(Ok(Reply::Ended { code, signal })) => Ok(Ran::Ended((code, signal))),
            Ok(Ok(Reply::Hello { .. })) => Ok(Ran::Reset),
            Ok(other) => bail!("{request:?}: {:?}", other?),
            Err(RecvTimeoutError::Timeout) => Ok(Ran::Unended),
            Err(RecvTimeoutError::Disconnected) => {
                let lines = self.losses().unwrap_or_default();
                self.has_been_cut()?;
                ensure!(
                    lines.lines().any(|line| line == "cut"),
                    "the emulator was killed by this system, which may lack memory; run fewer jobs"
                );
                Ok(Ran::Cut)
            }
        }
    }

    /// Cuts the power, unless it was cut already.
    pub fn cut_power(mut self) -> Result<()> {
        if self.has_ended {
            return Ok(());
        }
        self.child.kill().context("cannot kill the emulator")?;
        self.drain();
        self.has_been_cut()
    }

    /// Ends the machine with any program that runs. Unlike a power cut, this lets the plugin report its last counts.
    pub fn end(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .context("cannot end the emulator")?;
        self.drain();
        self.has_ended_itself()
    }

    /// Shuts the machine down.
    pub fn power_off(mut self) -> Result<()> {
        self.send(&Request::PowerOff)?;
        match self.next() {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => bail!("the machine does not power off"),
            Ok(reply) => bail!("the machine does not power off: {:?}", reply?),
        }
        self.has_ended_itself()
    }

    /// Waits for an emulator that was killed, and takes the report on its losses.
    fn has_been_cut(&mut self) -> Result<()> {
        let status = self.wait()?;
        ensure!(
            status.signal() == Some(9),
            "the emulator ended with {status}, and not by the cut of its power"
        );
        self.report.take().map_or(Ok(()), Report::take)
    }

    /// Waits for an emulator that ends by itself, and takes the report on its losses.
    fn has_ended_itself(&mut self) -> Result<()> {
        let status = self.wait()?;
        ensure!(status.success(), "the emulator ended with {status}");
        self.report.take().map_or(Ok(()), Report::take)
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().context("cannot wait for the emulator")?;
        self.has_ended = true;
        Ok(status)
    }

    /// Waits until the log has all output of an emulator that ends.
    fn drain(&self) {
        while self.replies.recv().is_ok() {}
    }
}
