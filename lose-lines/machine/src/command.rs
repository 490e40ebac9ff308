//! A child process: its display, its run and its output.
//!
//! Children get no standard input. Their standard output passes through line by line.

use core::fmt;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::{env, fs, thread};

use anyhow::{Context as _, Result, bail, ensure};

use crate::transcript::Transcript;

/// Exit status of `timeout` when the time ran out.
const TIMED_OUT: i32 = 124;

/// A command line with its environment. It is printed as one would type it.
#[derive(Clone, Debug)]
pub struct Cmd {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    folder: Option<PathBuf>,
    limit: Option<u32>,
}

/// The end of a command.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The exit code or the signal in words, or that the time limit was exceeded.
    pub told: String,
}

impl Cmd {
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            limit: None,
        }
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds each word of `line` as an argument.
    pub fn words(self, line: &str) -> Self {
        self.args(line.split_whitespace())
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Runs the command in this directory.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_path_buf());
        self
    }

    /// Ends the command and its children after this many seconds, on machines with `timeout`.
    pub fn limit(mut self, seconds: u32) -> Self {
        self.limit = Some(seconds);
        self
    }

    fn command(&self) -> Command {
        let mut command = match self.limit {
            Some(seconds) if find_program("timeout").is_some() => {
                let mut timeout = Command::new("timeout");
                timeout.args(["--kill-after=10", &seconds.to_string(), &self.program]);
                timeout
            }
            _ => Command::new(&self.program),
        };
        command.args(&self.args).stdin(Stdio::null());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // `cargo run` sets the variable for this program. Another compiler must not load this one's libraries.
        command.env_remove("LD_LIBRARY_PATH");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the command with this process's standard input and error, and with this output.
    pub fn start(&self, output: Stdio) -> Result<Child> {
        let mut command = self.command();
        let started = command.stdin(Stdio::inherit()).stdout(output).spawn();
        started.with_context(|| format!("cannot start `{self}`"))
    }

    /// Runs the command with its output in the log, passes each line to `take`, and returns how the command ended.
    pub fn watch_in(&self, log: &mut Transcript, mut take: impl FnMut(&str)) -> Result<Ending> {
        writeln!(log, "$ {self}")?;
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(log.complaints()?)
            .spawn()
            .with_context(|| format!("cannot start `{self}`"))?;
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line)? != 0 {
                log.write_all(&line)?;
                take(&String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        let status = self.wait(&mut child)?;
        Ok(Ending { code: status.code(), told: self.describe(status) })
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        child.wait().with_context(|| format!("cannot wait for `{self}`"))
    }

    /// Starts the command with pipes to its standard input and output. The child ends with this program.
    pub fn converse(&self, log: &Transcript) -> Result<(Child, ChildStdin, ChildStdout)> {
        // The child must not outlive a caller that is killed; exec keeps the process that setpriv(1) started.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", &self.program]).args(&self.args);
        command.env_remove("LD_LIBRARY_PATH");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.complaints()?)
            .spawn()
            .with_context(|| format!("cannot start `{self}`"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok((child, input, output)),
            _ => bail!("`{self}` has no pipes"),
        }
    }

    /// Runs the command silently and returns its standard output. An error contains the reason from its standard error.
    pub fn read(&self) -> Result<String> {
        let (status, output, complaint) = self.captured()?;
        if !status.success() {
            let complaint = String::from_utf8_lossy(&complaint);
            bail!("`{self}` {}: {}", self.describe(status), reason_in(&complaint));
        }
        String::from_utf8(output)
            .with_context(|| format!("`{self}` printed something that is not UTF-8"))
    }

    /// Runs the command silently and returns its standard error. Fails if the command succeeds.
    pub fn refusal(&self) -> Result<String> {
        let (status, _, complaint) = self.captured()?;
        ensure!(!status.success(), "`{self}` succeeded");
        Ok(String::from_utf8_lossy(&complaint).into_owned())
    }

    /// Runs the command silently and returns how it ended, with its standard output.
    pub fn ending(&self) -> Result<(Ending, String)> {
        let (status, output, _) = self.captured()?;
        let ending = Ending { code: status.code(), told: self.describe(status) };
        Ok((ending, String::from_utf8_lossy(&output).into_owned()))
    }

    /// Runs the command and returns its status, its standard output, and its standard error.
    fn captured(&self) -> Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{self}`"))?;
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            let err = scope.spawn(|| err.map_or(Ok(0), |mut err| err.read_to_end(&mut complaint)));
            out.map_or(Ok(0), |mut out| out.read_to_end(&mut output))?;
            err.join().unwrap_or(Ok(0))
        })
        .with_context(|| format!("cannot read the output of `{self}`"))?;
        Ok((self.wait(&mut child)?, output, complaint))
    }

    /// Returns the end of the command in words.
    pub fn describe(&self, status: ExitStatus) -> String {
        // Shells, and timeout(1) in most cases, use such a code to report a child that a signal ended.
        let in_code = status.code().filter(|code| (129..=192).contains(code));
        let signal = status.signal().or(in_code.map(|code| code - 128));
        if let Some(signal) = signal {
            return format!("ended by signal {signal}");
        }
        match (status.code(), self.limit) {
            (Some(TIMED_OUT), Some(seconds)) => format!("took longer than {seconds} s"),
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, _) => format!("ended ({status})"),
        }
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folder) = &self.folder {
            write!(f, "cd {} && ", quoted(&folder.display().to_string()))?;
        }
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", quoted(&self.program))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// Returns the most specific part of standard error: the first line that apt marks as an error, otherwise the last one.
fn reason_in(complaint: &str) -> &str {
    let mut lines = complaint.lines().map(str::trim).filter(|line| !line.is_empty());
    let apts = lines.clone().find(|line| line.starts_with("E: "));
    apts.or_else(|| lines.next_back()).unwrap_or("it said nothing")
}

/// Returns `word` quoted for a shell.
pub fn quoted(word: &str) -> String {
    // A word with a zero byte is no argument of any command.
    shlex::try_quote(word).map_or_else(|_| format!("{word:?}"), Cow::into_owned)
}

/// Returns the path of the first program of this name in `PATH`.
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|file| fs::metadata(file).is_ok_and(|meta| meta.is_file()))
}

#[cfg(test)]
mod tests {
    use super::Cmd;

    #[test]
    fn a_failed_command_gives_its_reason() {
        let reason = |text: &str| {
            let line = format!("printf '%s' '{text}' >&2; exit 1");
            let error = Cmd::new("sh").args(["-c", &line]).read().unwrap_err().to_string();
            error.rsplit_once("exit code 1: ").unwrap().1.to_owned()
        };
        assert_eq!(reason("W: old\nE: no package\nE: held\n"), "E: no package");
        assert_eq!(reason("first\nlast\n"), "last");
    }

    #[test]
    fn a_signal_has_one_name_in_a_command_of_its_own_and_behind_a_shell() {
        let ending = |line: &str| Cmd::new("sh").args(["-c", line]).ending().unwrap().0.told;
        assert_eq!(ending("kill -ILL $$"), "ended by signal 4");
        assert_eq!(ending("exit 132"), "ended by signal 4");
        assert_eq!(ending("exit 3"), "ended with exit code 3");
    }
}
