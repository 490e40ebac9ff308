//! Programs that run until the power is cut, and the other ends of a machine with such a program.

use core::time::Duration;
use std::sync::mpsc::RecvTimeoutError;

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::{Reply, Request};
use rustix::process::{Pid, Signal, kill_process};

use super::programs::End;
use super::{Machine, Report};
use crate::cost;

/// The end of a program's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab) enum Ran {
    /// The program ended.
    Ended(End),
    /// The power was cut at the event that was chosen at the machine's start.
    Cut,
    /// The time is up, and the program runs.
    Unended,
}

impl Machine {
    /// Runs the program of a request for at most this time.
    pub(in crate::lab) fn run_for(&mut self, request: &Request, time: Duration) -> Result<Ran> {
        self.send(request)?;
        match self.replies.recv_timeout(time) {
            Ok(Ok(Reply::Ended { code, signal })) => Ok(Ran::Ended((code, signal))),
            Ok(other) => bail!("{request:?}: {:?}", other?),
            Err(RecvTimeoutError::Timeout) => Ok(Ran::Unended),
            Err(RecvTimeoutError::Disconnected) => self.has_been_cut().map(|()| Ran::Cut),
        }
    }

    /// Cuts the power, unless it was cut already.
    pub(in crate::lab) fn cut_power(mut self) -> Result<()> {
        if self.has_ended {
            return Ok(());
        }
        self.child.kill().context("cannot kill the emulator")?;
        self.drain();
        self.has_been_cut()
    }

    /// Ends the machine with any program that runs. In contrast to a power cut, the plugin reports its last counts.
    pub(in crate::lab) fn end(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .context("cannot end the emulator")?;
        self.drain();
        let status = cost::wait(&mut self.child, false).context("cannot wait for the emulator")?;
        self.has_ended = true;
        ensure!(status.success(), "the emulator ended with {status}");
        self.report.take().map_or(Ok(()), Report::take)
    }

    /// Waits until the log has all output of an emulator that ends.
    fn drain(&self) {
        while self.replies.recv().is_ok() {}
    }
}
