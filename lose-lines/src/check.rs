//! The check of one state: a command that exits with 0 if the state is right.
//!
//! A check's verdict is about the program. Whatever the host does wrong (no space, a killed emulator) is an error, and
//! never a verdict.

use core::time::Duration;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::Serialize;

use crate::agent::Request;
use crate::log::Log;
use crate::machine::Machine;
use crate::machine::ends::Ran;
use crate::machine::programs::{End, printed};
use crate::program::CommandLine;

/// The file on a checking machine with the lines that the program had printed before the cut.
pub const PRINTED: &str = "/lab/printed";

/// The output of a check that is kept, in bytes: as much of its beginning as of its end.
const KEPT: usize = 32 << 10;
/// The lines of an output that are shown, of its beginning as of its end, and the characters of each.
const SHOWN: usize = 12;
const LINE: usize = 300;

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The state is right.
    Right,
    /// The program has lost something, or its check does not accept the state.
    Failed(Failure),
    /// The file system refused to be mounted, for this reason: no check was begun.
    Unmountable {
        /// The kernel's reason.
        why: String,
    },
}

/// The complaint about a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The end of the check: "ended with exit code 1".
    pub why: String,
    /// The output of the check, as far as it is kept, without control characters.
    pub output: String,
}

impl Failure {
    pub fn new(why: impl Into<String>, output: &[u8]) -> Self {
        Self { why: why.into(), output: kept(output) }
    }

    /// Returns the kind of the failure: how it ended and the last line of its output, without numbers.
    pub fn kind(&self) -> String {
        let text = match self.output.lines().last() {
            Some(line) => format!("{}: {line}", self.why),
            None => self.why.clone(),
        };
        let mut kind = String::new();
        for character in text.chars() {
            if !character.is_ascii_digit() {
                kind.push(character);
            } else if !kind.ends_with('N') {
                kind.push('N');
            }
        }
        kind
    }

    /// Returns the output for a terminal: lines with a margin.
    pub fn shown(&self) -> String {
        let lines: Vec<&str> = self.output.lines().collect();
        let left_out = lines.len().saturating_sub(2 * SHOWN);
        let mut shown = String::new();
        for (place, line) in lines.iter().enumerate() {
            if left_out > 0 && place == SHOWN {
                shown.push_str("   | (");
                shown.push_str(&left_out.to_string());
                shown.push_str(" lines left out)\n");
            }
            if place < SHOWN || place >= SHOWN + left_out {
                shown.push_str("   | ");
                shown.extend(line.chars().take(LINE));
                shown.push('\n');
            }
        }
        shown
    }
}

/// Returns the beginning and the end of an output as text, with control characters escaped.
fn kept(output: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let mut text = String::new();
        for character in String::from_utf8_lossy(bytes).chars() {
            match character {
                '\n' | '\t' => text.push(character),
                '\r' => {}
                character if character.is_control() => text.extend(character.escape_default()),
                character => text.push(character),
            }
        }
        text
    };
    match output.len().checked_sub(2 * KEPT) {
        Some(left_out) if left_out > 0 => format!(
            "{}\n({left_out} bytes left out)\n{}",
            text(&output[..KEPT]),
            text(&output[output.len() - KEPT..])
        ),
        _ => text(output),
    }
}

/// Returns the end of a program in words.
pub fn in_words(end: End) -> String {
    match end {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => String::from("ended without an exit code"),
    }
}

/// A run of a program in a machine.
pub(crate) struct Run {
    pub(crate) ran: Ran,
    pub(crate) time: Duration,
    /// The output on the console. A program whose standard output goes elsewhere prints its complaints there.
    pub(crate) output: String,
}

/// Runs a program in a machine for at most this time.
pub(crate) fn run(
    machine: &mut Machine,
    request: &Request,
    limit: Duration,
    log: &Log,
) -> Result<Run> {
    let (before, start) = (log.position()?, Instant::now());
    let ran = machine.run_for(request, limit)?;
    let time = start.elapsed();
    let log = log.since(before)?;
    // The plugin's lines follow those of the machine.
    let end = log.find("losses: start ").unwrap_or(log.len());
    Ok(Run { ran, time, output: printed(&log[..end]) })
}

/// A machine after a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Idle,
    /// The check still runs.
    Busy,
    /// The kernel failed.
    Down,
}

/// A command that checks states.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    pub command: &'a CommandLine,
    /// Additions to its environment.
    pub environment: &'a [(String, String)],
    /// The time after which it counts as hanging.
    pub limit: Duration,
}

impl Check<'_> {
    /// Runs the check in a machine with a mounted file system, after [`PRINTED`] was written. Returns the verdict, and
    /// what the check left of the machine.
    ///
    /// # Errors
    /// If the host fails: the emulator was killed, for example.
    pub(crate) fn in_machine(&self, machine: &mut Machine, log: &Log) -> Result<(Verdict, Left)> {
        let given = self.environment.iter().map(|(name, value)| (&**name, &**value));
        let environment: Vec<_> = given.chain([("PRINTED", PRINTED)]).collect();
        let Run { ran, output, .. } =
            run(machine, &self.command.request(&environment), self.limit, log)?;
        let failed = |why: String| Verdict::Failed(Failure::new(why, output.as_bytes()));
        Ok(match ran {
            Ran::Ended((Some(0), _)) => (Verdict::Right, Left::Idle),
            Ran::Ended(end) => (failed(in_words(end)), Left::Idle),
            Ran::Unended => (failed(self.unended()), Left::Busy),
            Ran::Reset => (failed(String::from("took the machine down")), Left::Down),
            Ran::Cut => bail!("the power was cut during a check"),
        })
    }

    /// Runs the check on this system in a directory, which is its `TMPDIR` too. `printed` is the file of the lines that
    /// the program had printed. Afterwards none of the check's process group is left.
    ///
    /// # Errors
    /// If the command cannot be started, or its output cannot be kept.
    pub fn on_host(&self, directory: &Path, printed: &Path) -> Result<Verdict> {
        let (program, arguments) = self.command.on_host()?;
        let mut output = tempfile::tempfile().context("cannot keep the output of a check")?;
        let [out, errors] = [output.try_clone(), output.try_clone()];
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory).stdin(Stdio::null());
        command.env("TMPDIR", directory).env("PRINTED", printed);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(out?).stderr(errors?).process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let status = ended_in(&mut child, self.limit).context("cannot wait for a check")?;
        let why = match status {
            Some(status) if status.success() => return Ok(Verdict::Right),
            Some(status) => in_words((status.code(), status.signal())),
            None => self.unended(),
        };
        let output = ends_of(&mut output).context("cannot read the output of a check")?;
        Ok(Verdict::Failed(Failure::new(why, &output)))
    }

    fn unended(&self) -> String {
        format!("did not end in {} s", self.limit.as_secs())
    }
}

/// Waits for a child that leads a process group, and kills what is left of the group. Returns `None` if the time ran out.
fn ended_in(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let group = Pid::from_child(child);
    let handle = pidfd_open(group, PidfdFlags::empty())?;
    let end = Instant::now() + limit;
    let has_ended = loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).ok();
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            ready => break ready? > 0,
        }
    };
    // The child was not waited for, so its number is still that of its group.
    let _gone = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    Ok(has_ended.then_some(status))
}

/// Returns the part of an output that is kept, and a little more.
fn ends_of(output: &mut File) -> io::Result<Cow<'static, [u8]>> {
    let len = output.metadata()?.len();
    output.rewind()?;
    let mut bytes = Vec::new();
    let most = 2 * KEPT as u64;
    if len <= most {
        output.read_to_end(&mut bytes)?;
        return Ok(bytes.into());
    }
    (&*output).take(most / 2).read_to_end(&mut bytes)?;
    output.seek(SeekFrom::Start(len - most / 2))?;
    bytes.extend(format!("\n({} bytes left out)\n", len - most).bytes());
    output.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::fs;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::{Check, Failure, Verdict};
    use crate::program::CommandLine;

    fn on_host(line: &str, limit: u64) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let printed = folder.path().join("printed");
        fs::write(&printed, "7\n").unwrap();
        let command = CommandLine::find(line, &[]).unwrap();
        let environment = [(String::from("A"), String::from("b"))];
        let limit = Duration::from_secs(limit);
        Check { command: &command, environment: &environment, limit }
            .on_host(folder.path(), &printed)
            .unwrap()
    }

    fn failed(verdict: Verdict) -> (String, String) {
        match verdict {
            Verdict::Failed(Failure { why, output }) => (why, output),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_check_on_the_host_sees_its_directory_and_what_was_printed() {
        let line = r#"/bin/sh -c 'test "$(cat "$PRINTED")" = 7 && test "$A" = b && test "$PWD" = "$TMPDIR"'"#;
        assert_eq!(on_host(line, 60), Verdict::Right);
        let (why, output) = failed(on_host("/bin/sh -c 'echo lost; echo why >&2; exit 3'", 60));
        assert_eq!((&*why, &*output), ("ended with exit code 3", "lost\nwhy\n"));
        assert_eq!(failed(on_host("/bin/sh -c 'kill -SEGV $$'", 60)).0, "was ended by signal 11");
    }

    #[test]
    fn a_check_that_hangs_is_ended_with_its_children() {
        let (why, output) = failed(on_host("/bin/sh -c 'sleep 600000 & echo $!; wait'", 1));
        assert_eq!(why, "did not end in 1 s");
        // The poll returns when the child has ended; without the kill it would not in a week.
        let child = Pid::from_raw(output.trim().parse().unwrap()).unwrap();
        if let Ok(child) = pidfd_open(child, PidfdFlags::empty()) {
            poll(&mut [PollFd::new(&child, PollFlags::IN)], None).unwrap();
        }
    }

    #[test]
    fn a_flood_and_escape_sequences_do_not_reach_the_terminal() {
        let line = r#"/bin/sh -c 'printf "\033[2Jfirst\n"; yes word | head -c 1000000; echo last; exit 1'"#;
        let (why, output) = failed(on_host(line, 60));
        assert!(output.starts_with("\\u{1b}[2Jfirst\n"), "{}", &output[..40]);
        assert!(output.ends_with("last\n") && output.len() < 80_000, "{}", output.len());
        let failure = Failure { why, output };
        assert!(failure.shown().lines().count() < 30 && failure.shown().contains("left out"));
    }

    #[test]
    fn failures_that_differ_in_numbers_are_of_one_kind() {
        let kind = |output: &str| Failure::new("ended with exit code 1", output.as_bytes()).kind();
        assert_eq!(kind("opened\nrow 17 of 20 is torn\n"), kind("row 3 of 999 is torn"));
        assert_ne!(kind("row 17 is torn"), kind("row 17 is lost"));
    }
}
