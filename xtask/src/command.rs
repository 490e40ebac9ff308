//! A child process: its display, its run and its output.
//!
//! A child gets no standard input, and belongs to the group of this program: Ctrl-C ends both.

use core::fmt;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};

/// A command line with its environment. It is printed as one would type it.
#[derive(Clone, Debug)]
pub struct Cmd {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    folder: Option<PathBuf>,
}

impl Cmd {
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), folder: None }
    }

    /// Returns `cargo` with the words of `line`.
    pub fn cargo(line: &str) -> Self {
        Self::new("cargo").words(line)
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a path as an argument.
    pub fn path(self, path: impl AsRef<Path>) -> Self {
        self.arg(path.as_ref().display().to_string())
    }

    /// Adds each word of `line` as an argument.
    pub fn words(self, line: &str) -> Self {
        self.args(line.split_whitespace())
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.to_owned(), value.as_ref().to_string_lossy().into_owned()));
        self
    }

    /// Runs the command in this directory.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_path_buf());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // Cargo sets the variable for this program. Another compiler must not load this one's libraries.
        command.env_remove("LD_LIBRARY_PATH");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the command with its output shown. An error says how it ended, unless it succeeded.
    pub fn show(&self) -> Result<()> {
        self.show_in(&mut io::stdout(), |_line| ())
    }

    /// Runs the command with its standard output in `out`, and passes each line to `take`. An error is as above.
    pub fn show_in(&self, out: &mut dyn Write, mut take: impl FnMut(&str)) -> Result<()> {
        writeln!(out, "$ {self}")?;
        let child = self.command().stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("cannot start `{self}`"))?;
        let mut output = BufReader::new(child.stdout.take().context("a child without a pipe")?);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? != 0 {
            out.write_all(&line)?;
            take(&String::from_utf8_lossy(&line));
            line.clear();
        }
        let status = child.wait().with_context(|| format!("cannot wait for `{self}`"))?;
        ensure!(status.success(), "`{self}` {}", ended(status));
        Ok(())
    }

    /// Runs the command silently and returns its standard output. An error has the reason from its standard error.
    pub fn read(&self) -> Result<String> {
        let Output { status, stdout, stderr } = self.output()?;
        if !status.success() {
            bail!("`{self}` {}: {}", ended(status), reason_in(&String::from_utf8_lossy(&stderr)));
        }
        String::from_utf8(stdout).with_context(|| format!("`{self}` printed no UTF-8"))
    }

    /// Runs the command silently and returns its standard error. Fails if the command succeeds.
    pub fn refusal(&self) -> Result<String> {
        let Output { status, stderr, .. } = self.output()?;
        ensure!(!status.success(), "`{self}` succeeded");
        Ok(String::from_utf8_lossy(&stderr).into_owned())
    }

    /// Runs the command silently. Returns its status and its output.
    pub fn output(&self) -> Result<Output> {
        self.command().output().with_context(|| format!("cannot start `{self}`"))
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

/// Returns the end of a command in words.
fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => format!("ended ({status})"),
    }
}

/// Returns the most specific part of standard error: the messages of a compiler or rustup from the first error on, else
/// the first line that apt marks as an error, else the last line.
fn reason_in(complaint: &str) -> &str {
    let is_error = |line: &str| line.starts_with("error") || line.contains(": error: ");
    if let Some(line) = complaint.lines().find(|line| is_error(line))
        && let Some(at) = complaint.find(line)
    {
        return complaint[at..].trim_end();
    }
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
    use super::reason_in;

    #[test]
    fn a_failed_command_gives_the_messages_of_its_compiler() {
        let rustc = "error[E0425]: no such name\n --> a.rs:1:1\n\nerror: could not compile a";
        assert_eq!(reason_in(&format!("   Compiling a\n{rustc}\n")), rustc);
        let gcc = "a.c:1:1: error: unknown type name\n    1 | x y;";
        assert_eq!(reason_in(&format!("a.c: In function f:\n{gcc}")), gcc);
        assert_eq!(reason_in("W: old\nE: no package\nE: held\n"), "E: no package");
        assert_eq!(reason_in("first\nlast\n"), "last");
    }
}
