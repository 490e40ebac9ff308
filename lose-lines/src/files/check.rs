//! The check of a state, as a process on this system.
use core::time::Duration;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lose_lines_machine::program::located;
use lose_lines_recorder::no_input;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::check::{Failure, in_words, keep, unended};

/// The command that checks a state. It must exit with 0 if the state is right.
#[derive(Clone, Debug)]
pub struct Check {
    pub command: Vec<OsString>,
    pub environment: Vec<(String, String)>,
    pub limit: Duration,
}

impl Check {
    /// Checks a directory after these lines. The file gets them. An error is the host's, not the program's.
    pub fn run(&self, directory: &Path, printed: &Path, lines: &[u8]) -> Result<Option<Failure>> {
        let write = File::create(printed).and_then(|mut file| file.write_all(lines));
        write.with_context(|| format!("cannot write {}", printed.display()))?;
        let (mut reader, writer) = io::pipe().context("cannot make a pipe")?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let mut command = self.command(directory, printed)?;
        let errors = writer.try_clone().context("cannot copy a pipe")?;
        command.stdin(no_input()?).stdout(writer).stderr(errors).process_group(0);
        let started = command.spawn();
        drop(command);
        let mut child = started
            .with_context(|| format!("cannot start the check {}", self.command[0].display()))?;
        let (status, output) = self.wait(&mut child, &mut reader)?;
        let why = match status {
            Some(status) if status.success() => return Ok(None),
            Some(status) if status.signal() == Some(libc::SIGKILL) => {
                bail!(
                    "the check was killed by signal 9, perhaps for lack of memory; try fewer --jobs"
                )
            }
            Some(status) => in_words((status.code(), status.signal())),
            None => unended(self.limit),
        };
        Ok(Some(Failure::new(why, &output)))
    }

    /// Returns the command, to be started in the directory.
    pub fn command(&self, directory: &Path, printed: &Path) -> Result<Command> {
        let mut command = Command::new(located(Path::new(&self.command[0]))?);
        command.arg0(&self.command[0]).args(&self.command[1..]).current_dir(directory);
        command.env("TMPDIR", directory).env("PRINTED", printed).env_remove("LD_LIBRARY_PATH");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Waits for the end, and returns the status, if there is one within the limit, and the output.
    fn wait(
        &self,
        child: &mut Child,
        output: &mut PipeReader,
    ) -> Result<(Option<ExitStatus>, Vec<u8>)> {
        let group = Pid::from_child(child);
        let end = pidfd_open(group, PidfdFlags::empty()).context("cannot watch the check")?;
        let (until, mut bytes, mut is_open) = (Instant::now() + self.limit, Vec::new(), true);
        let ended = loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).context("the limit is too long")?;
            let mut both = [PollFd::new(&end, PollFlags::IN), PollFd::new(output, PollFlags::IN)];
            let count = if is_open { 2 } else { 1 };
            match poll(&mut both[..count], Some(&left)) {
                Ok(0) => break false,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for the check"),
            }
            let has_ended = !both[0].revents().is_empty();
            is_open = is_open && read(output, &mut bytes);
            if has_ended {
                break true;
            }
        };
        // Also what it has started and left behind; the group may be empty by now.
        kill_process_group(group, Signal::KILL).unwrap_or_default();
        let status = child.wait().context("cannot wait for the check")?;
        Ok((ended.then_some(status), bytes))
    }
}

/// Reads what is there. Returns false at the end.
fn read(from: &mut PipeReader, bytes: &mut Vec<u8>) -> bool {
    let mut part = [0; 4096];
    loop {
        match from.read(&mut part) {
            Ok(0) => return false,
            Ok(count) => keep(bytes, &part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_would_block) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::ffi::OsString;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::{Check, Failure};

    /// Runs a check of this many seconds after the line `7`.
    fn checked(line: &str, limit: u64) -> Option<Failure> {
        let folder = tempfile::tempdir().unwrap();
        let command = shlex::split(line).unwrap().into_iter().map(OsString::from).collect();
        let environment = vec![(String::from("A"), String::from("b"))];
        let check = Check { command, environment, limit: Duration::from_secs(limit) };
        check.run(folder.path(), &folder.path().join("printed"), b"7\n").unwrap()
    }

    fn failed(line: &str, limit: u64) -> (String, String) {
        let Failure { why, output } = checked(line, limit).unwrap();
        (why, output)
    }

    #[test]
    fn a_check_on_the_host_sees_its_directory_and_what_was_printed() {
        let line = r#"/bin/sh -c 'test "$(cat "$PRINTED")" = 7 && test "$A" = b && test "$PWD" = "$TMPDIR"'"#;
        assert_eq!(checked(line, 60), None);
        let (why, output) = failed("/bin/sh -c 'echo lost; echo why >&2; exit 3'", 60);
        assert_eq!((&*why, &*output), ("ended with exit code 3", "lost\nwhy\n"));
        assert_eq!(failed("/bin/sh -c 'kill -SEGV $$'", 60).0, "was ended by signal 11");
    }

    #[test]
    fn a_check_that_hangs_is_ended_with_its_children() {
        let (why, output) = failed("/bin/sh -c 'sleep 600000 & echo $!; wait'", 1);
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
        let (why, output) = failed(line, 60);
        assert!(output.starts_with("\\u{1b}[2Jfirst\n"), "{}", &output[..40]);
        assert!(output.ends_with("last\n") && output.len() < 80_000, "{}", output.len());
        let failure = Failure { why, output };
        assert!(failure.shown().lines().count() < 30 && failure.shown().contains("left out"));
    }
}
