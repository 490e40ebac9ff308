//! The connection to a machine's emulator for controlling its state.

use core::time::Duration;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{process, thread};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::Machine;
use super::setup::Setup;
use crate::emulator::value;
use crate::kit::Kit;
use crate::temporary::Temporary;
use crate::transcript::Transcript;

/// The time that the emulator may take for one step.
const PATIENCE: Duration = Duration::from_secs(120);

/// The control socket of a machine's emulator (QEMU, `docs/interop/qmp-spec.rst`).
pub struct Control(BufReader<UnixStream>);

/// Returns the name of the control socket of a machine.
fn file_of(machine: &str) -> String {
    format!("{machine}.control")
}

/// Returns a path of a file in a directory, valid for this process and its children. The path of a socket has at most
/// 107 bytes (unix(7)), and that of the directory can be longer.
pub fn within(folder: &File, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}/{file}", process::id(), folder.as_raw_fd()))
}

/// Returns true if the emulator has not created the socket yet, or does not listen yet.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

impl Control {
    /// Starts the emulator of a machine with a control socket. `words` come first on its command line.
    pub(super) fn launch(
        kit: &Kit,
        setup: &Setup,
        log: &Transcript,
        words: &[&str],
    ) -> Result<(Machine, Self)> {
        let folder =
            File::open(&kit.work).with_context(|| format!("cannot open {}", kit.work.display()))?;
        let file = file_of(&setup.name);
        let _removed = Temporary::new(kit.work.join(&file));
        let socket = within(&folder, &file);
        let server = format!("unix:{},server=on,wait=off", value(socket.display()));
        let words = words.iter().copied().chain(["-qmp", &server]);
        let mut setup = setup.clone();
        setup.devices.splice(0..0, words.map(str::to_owned));
        let mut machine = Machine::launch(kit, &setup, log)?;
        let control = Self::connect(&socket, || machine.runs())?;
        Ok((machine, control))
    }

    pub fn connect(socket: &Path, mut runs: impl FnMut() -> Result<bool>) -> Result<Self> {
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if !is_early(&error) || begun.elapsed() > PATIENCE => {
                    return Err(error).context("cannot connect to the emulator's control socket");
                }
                Err(_early) => {
                    ensure!(runs()?, "the emulator ended at once; its complaint is in the log");
                    thread::sleep(Duration::from_millis(10));
                }
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut control = Self(BufReader::new(stream));
        control.execute("qmp_capabilities", &json!({}))?;
        Ok(control)
    }

    /// Executes a command. Returns its result.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.0.get_mut(), "{line}").context("cannot write to the emulator")?;
        loop {
            let mut answer = String::new();
            self.0.read_line(&mut answer).context("the emulator does not answer")?;
            let mut answer: Value =
                serde_json::from_str(&answer).with_context(|| format!("{command}: {answer:?}"))?;
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
        }
    }

    /// Executes a command that moves a machine, without shared memory, to or from a file.
    pub(super) fn do_with_file(&mut self, command: &str, file: &Path) -> Result<()> {
        let without_shared = json!([{ "capability": "x-ignore-shared", "state": true }]);
        self.execute("migrate-set-capabilities", &json!({ "capabilities": without_shared }))?;
        self.execute(command, &json!({ "uri": format!("file:{}", file.display()) }))?;
        Ok(())
    }

    /// Waits until a query has this status.
    pub(super) fn wait_for(&mut self, query: &str, wanted: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answer = self.execute(query, &json!({}))?;
            if answer.get("status").and_then(Value::as_str) == Some(wanted) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("{query} is not {wanted}: {answer}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::time::Instant;

    use super::{Control, PATIENCE, file_of, within};

    #[test]
    fn a_control_socket_with_a_long_name_can_be_made_below_a_long_path() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a".repeat(100));
        fs::create_dir(&folder).unwrap();
        let folder = File::open(folder).unwrap();
        drop(UnixListener::bind(within(&folder, &file_of(&"b".repeat(60)))).unwrap());
    }

    #[test]
    fn a_socket_that_cannot_exist_is_not_waited_for() {
        let begun = Instant::now();
        let why = Control::connect(Path::new(&"a".repeat(200)), || Ok(true)).err().unwrap();
        let kind = why.downcast_ref::<io::Error>().unwrap().kind();
        assert_eq!(kind, io::ErrorKind::InvalidInput);
        assert!(begun.elapsed() < PATIENCE);
    }

    #[test]
    fn an_emulator_that_has_ended_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let why = Control::connect(&folder.path().join("none"), || Ok(false)).err().unwrap();
        assert!(why.to_string().contains("ended at once"), "{why}");
    }
}
