//! Programs that run in the background. One request starts them, others talk to them and end them; the machine's end
//! also ends them.

use super::protocol::Reply;
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

/// The programs that run, by their process ids.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    programs: BTreeMap<u32, (Child, BufReader<ChildStdout>)>,
}

impl Beside {
    /// Starts a program with pipes as its input and output.
    pub(crate) fn start(
        &mut self,
        program: &str,
        arguments: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Result<Reply> {
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let output = child.stdout.take().context("a program without output")?;
        let id = child.id();
        self.programs.insert(id, (child, BufReader::new(output)));
        Ok(Reply::Started(id))
    }

    /// Sends a program a line. Returns the line of its answer.
    pub(crate) fn tell(&mut self, id: u32, line: &str) -> Result<Reply> {
        let (child, output) = self.programs.get_mut(&id).context("no such program")?;
        let input = child.stdin.as_mut().context("a program without input")?;
        writeln!(input, "{line}").context("cannot write to the program")?;
        let mut answer = String::new();
        let len = output.read_line(&mut answer).context("cannot read the program's output")?;
        ensure!(len != 0, "the program has closed its output");
        Ok(Reply::Text(answer.trim_end().to_string()))
    }

    /// Sends a program a signal, and waits until it ends.
    pub(crate) fn end(&mut self, id: u32, signal: i32) -> Result<Reply> {
        let (child, mut output) = self.programs.remove(&id).context("no such program")?;
        let signal = Signal::from_named_raw(signal).context("no such signal")?;
        kill_process(Pid::from_child(&child), signal).context("cannot send the signal")?;
        let mut out = String::new();
        let (read, ended) = thread::scope(|scope| {
            let read = scope.spawn(|| output.read_to_string(&mut out));
            // Reads its errors meanwhile: a program that cannot print them does not end.
            let ended = child.wait_with_output();
            (read.join().unwrap_or(Ok(0)), ended)
        });
        read.context("cannot read the program's output")?;
        let ended = ended.context("cannot wait for the program")?;
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        let (code, signal) = (ended.status.code(), ended.status.signal());
        Ok(Reply::Printed { code, signal, out, errors })
    }
}
