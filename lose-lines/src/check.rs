//! The check of one state: a command that exits with 0 if the state is right.
//!
//! A check's verdict is about the program. Whatever the host does wrong (no space, a killed emulator) is an error, and
//! never a verdict.

use core::time::Duration;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Serialize;

use lose_lines_agent::Request;
use lose_lines_machine::initramfs::Initramfs;
use lose_lines_machine::kit::Kit;
use lose_lines_machine::machine::Machine;
use lose_lines_machine::machine::agent::Mounted;
use lose_lines_machine::machine::ends::Ran;
use lose_lines_machine::machine::port;
use lose_lines_machine::machine::programs::{End, printed};
use lose_lines_machine::program::CommandLine;
use lose_lines_machine::transcript::Transcript;

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

impl Verdict {
    /// Returns the verdict on a state whose file system was not mounted.
    pub(crate) fn unmounted(mounted: Mounted) -> Self {
        let why = match mounted {
            Mounted::Done => String::from("it was mounted"),
            Mounted::Refused(why) => why,
            Mounted::Failed => String::from("the kernel failed when it was mounted"),
        };
        Self::Unmountable { why }
    }
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

    /// Returns the end of the check and the first line of its output.
    pub fn name(&self) -> String {
        match self.output.lines().next() {
            Some(line) => format!("{}: {}", self.why, line.chars().take(LINE).collect::<String>()),
            None => self.why.clone(),
        }
    }

    /// Returns the kind of the failure: its name with `N` for each number and each hash.
    pub fn kind(&self) -> String {
        let name = self.name();
        let words = name.split_inclusive(|character: char| !character.is_ascii_alphanumeric());
        words.map(without_numbers).collect()
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

/// The shortest hash in an output, in hexadecimal digits.
const HASH: usize = 7;

/// Returns a word, and the character behind it, with `N` for each number, or for all of a hash.
fn without_numbers(word: &str) -> String {
    let bare = word.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
    let is_hex = |character: char| character.is_ascii_hexdigit();
    let has_digit = bare.contains(|character: char| character.is_ascii_digit());
    if bare.len() >= HASH && has_digit && bare.chars().all(is_hex) {
        return format!("N{}", &word[bare.len()..]);
    }
    let mut text = String::new();
    for character in word.chars() {
        if !character.is_ascii_digit() {
            text.push(character);
        } else if !text.ends_with('N') {
            text.push('N');
        }
    }
    text
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
    if output.len() <= 2 * KEPT {
        return text(output);
    }
    let [first, last] = [&output[..KEPT], &output[output.len() - KEPT..]].map(text);
    format!("{first}\n(the middle is left out)\n{last}")
}

/// Adds to an output, of which the middle may be dropped.
pub(crate) fn keep(output: &mut Vec<u8>, part: &[u8]) {
    output.extend(part);
    if output.len() > 4 * KEPT {
        // One byte more than is shown, so that it shows.
        output.drain(KEPT..output.len() - KEPT - 1);
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

/// Refuses a run that says nothing about power cuts, since the program did not succeed, unless it may fail.
pub fn accept(end: Option<End>, limit: Duration, may_fail: bool) -> Result<()> {
    let how = match end {
        Some((Some(0), _)) => return Ok(()),
        Some(end) => in_words(end),
        None => format!("{} (--limit)", unended(limit)),
    };
    ensure!(
        may_fail,
        "the program {how}, without any cut; if it is meant to, pass --allow-failure"
    );
    Ok(())
}

/// A run of a program in a machine.
pub(crate) struct Run {
    pub(crate) ran: Ran,
    pub(crate) time: Duration,
    /// The output on the console. A program whose standard output goes elsewhere prints its complaints there.
    pub(crate) output: String,
}

/// A run that was not cut.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The program's end; `None` if it was still running when its time ran out.
    pub end: Option<End>,
    pub time: Duration,
    pub output: String,
}

impl Whole {
    /// Refuses a run of a program that did not succeed, unless it may fail.
    pub fn accept(&self, test: &Tested<'_>) -> Result<()> {
        let with_output = |why: anyhow::Error| match self.output.trim_end() {
            "" => why,
            output => anyhow!("{why}; its output:\n{output}"),
        };
        accept(self.end, test.limit, test.may_fail).map_err(with_output)
    }
}

impl Run {
    /// Returns a run that nothing has cut.
    pub(crate) fn whole(self) -> Result<Whole> {
        let Self { ran, time, output } = self;
        let end = match ran {
            Ran::Ended(end) => Some(end),
            Ran::Unended => None,
            Ran::Reset => bail!("the program took the machine down without any cut"),
            Ran::Cut => bail!("the power was cut without a request"),
        };
        Ok(Whole { end, time, output })
    }
}

/// Runs a program in a machine for at most this time.
fn run(machine: &mut Machine, request: &Request, limit: Duration, log: &Transcript) -> Result<Run> {
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

/// A program that is tested in machines.
#[derive(Clone)]
pub struct Tested<'a> {
    pub kit: &'a Kit,
    /// The name of the machines.
    pub name: &'a str,
    /// Makes the initial state; `None` for an empty file system.
    pub prepare: Option<CommandLine>,
    pub program: CommandLine,
    /// Checks the state.
    pub check: CommandLine,
    /// Additions to the environment of all three programs.
    pub environment: Vec<(String, String)>,
    /// The time after which each of them counts as hanging.
    pub limit: Duration,
    /// True if the program may fail.
    pub may_fail: bool,
}

impl Tested<'_> {
    /// Adds the files of all programs to those of a machine.
    pub(crate) fn add_to(&self, files: &mut Initramfs) {
        for command in [&self.program, &self.check].into_iter().chain(&self.prepare) {
            command.add_to(files);
        }
        files.text(PRINTED, "");
    }

    fn request(&self, command: &CommandLine, more: &[(&str, &str)]) -> Request {
        let given = self.environment.iter().map(|(name, value)| (&**name, &**value));
        command.request(&given.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// Runs the program that makes the initial state, if there is one.
    pub(crate) fn make_initial(&self, machine: &mut Machine, log: &Transcript) -> Result<()> {
        let Some(prepare) = &self.prepare else { return Ok(()) };
        let prepared = run(machine, &self.request(prepare, &[]), self.limit, log)?.whole()?;
        prepared.accept(&Self { may_fail: false, ..self.clone() }).context("--prepare")
    }

    /// Runs the program, whose standard output goes to the port of the machine.
    pub(crate) fn run(&self, machine: &mut Machine, log: &Transcript) -> Result<Run> {
        let request = self.request(&self.program, &[]).printing_to(port::DEVICE);
        run(machine, &request, self.limit, log)
    }

    /// Runs the check in a machine with a mounted file system, after [`PRINTED`] was written. Returns the verdict, and
    /// what the check left of the machine.
    ///
    /// # Errors
    /// If the host fails: the emulator was killed, for example.
    pub(crate) fn check(&self, machine: &mut Machine, log: &Transcript) -> Result<(Verdict, Left)> {
        let request = self.request(&self.check, &[("PRINTED", PRINTED)]);
        let Run { ran, output, .. } = run(machine, &request, self.limit, log)?;
        let failed = |why: String| Verdict::Failed(Failure::new(why, output.as_bytes()));
        Ok(match ran {
            Ran::Ended((Some(0), _)) => (Verdict::Right, Left::Idle),
            Ran::Ended(end) => (failed(in_words(end)), Left::Idle),
            Ran::Unended => (failed(unended(self.limit)), Left::Busy),
            Ran::Reset => (failed(String::from("took the machine down")), Left::Down),
            Ran::Cut => bail!("the power was cut during a check"),
        })
    }
}

/// Returns the end of a check whose time ran out, in words.
pub(crate) fn unended(limit: Duration) -> String {
    format!("did not end in {} s", limit.as_secs())
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{Failure, accept};

    #[test]
    fn a_program_that_fails_or_reaches_the_limit_is_refused_unless_it_may() {
        for (end, words) in [
            (Some((Some(7), None)), "ended with exit code 7"),
            (Some((None, Some(11))), "was ended by signal 11"),
            (None, "did not end in 2 s (--limit)"),
        ] {
            let accepted = |may_fail| accept(end, Duration::from_secs(2), may_fail);
            let why = accepted(false).unwrap_err().to_string();
            assert!(why.contains(words) && why.contains("--allow-failure"), "{why}");
            accepted(true).unwrap();
        }
        accept(Some((Some(0), None)), Duration::from_secs(2), false).unwrap();
    }

    #[test]
    fn the_first_line_without_numbers_and_hashes_is_the_kind() {
        let failure = |output: &str| Failure::new("ended with exit code 1", output.as_bytes());
        let kind = |output: &str| failure(output).kind();
        assert_eq!(kind("row 17 of 20 is torn\nclosed\n"), kind("row 3 of 999 is torn"));
        assert_eq!(kind("object 3fa9c2e81 lost"), kind("object 00d17e5bb lost"));
        for other in ["row 17 is lost", "b1 is torn", "object feedbed lost"] {
            assert_ne!(kind("a1 is torn"), kind(other));
        }
        assert_eq!(failure("row 17 is torn\n").name(), "ended with exit code 1: row 17 is torn");
    }
}
