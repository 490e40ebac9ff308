//! The peer of a recorder: LTTng-UST, if it is installed (Debian: `lttng-tools`, `liblttng-ust-dev` and a C compiler).
//! Benchmarks can be built and run without it.
//!
//! A tracepoint provider is compiled from the two files next to this one, and a session daemon is started. A session
//! records the provider's event in overwrite mode, in 4 sub-buffers of 1 MiB for each CPU, which are files on tmpfs.
//! Everything is stopped and removed when the benchmark ends. If a session daemon is already running, it is left alone
//! and the peer is skipped, since its sessions would be measured too.

#![expect(unsafe_code, reason = "a library in C is loaded and called")]

use crate::environment;
use crate::payloads::EVENT_BYTES;
use core::error::Error;
use core::ffi::c_int;
use core::mem::ManuallyDrop;
use core::time::Duration;
use libloading::Library;
use rustix::process::{Pid, Signal};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

const PROVIDER: &str = include_str!("provider.c");
const EVENT: &str = include_str!("event.h");

/// `void record(uint64_t first, uint64_t events, const uint8_t *bytes)` of the provider.
type Record = unsafe extern "C" fn(u64, u64, *const u8);
/// `int enabled(void)` of the provider.
type Enabled = unsafe extern "C" fn() -> c_int;

/// The directory with files in memory; LTTng-UST keeps its own files there (`shm_open(3)`).
const MEMORY: &str = "/dev/shm";
const SESSION: &str = "cachemaint-benches";
/// The time limit for one step of a daemon, which normally takes an instant.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two checks of the daemons' progress.
const INTERVAL: Duration = Duration::from_millis(10);

type Result<T> = core::result::Result<T, Box<dyn Error>>;

/// LTTng-UST, recording.
#[derive(Debug)]
pub struct Lttng {
    record: Record,
    enabled: Enabled,
    /// Never unloaded: it has its own threads.
    _provider: ManuallyDrop<Library>,
    /// Ends when this value is dropped.
    daemon: Daemon,
}

impl Lttng {
    /// Starts everything. Returns `None`, after a line on standard error with the reason, if something is missing.
    ///
    /// # Errors
    /// If standard error is closed.
    pub fn if_installed() -> io::Result<Option<Self>> {
        match Self::start() {
            Ok(lttng) => Ok(Some(lttng)),
            Err(why) => {
                writeln!(io::stderr(), "skipped: LTTng-UST ({why})")?;
                Ok(None)
            }
        }
    }

    fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cachemaint-").tempdir_in(MEMORY)?;
        let provider = compile(folder.path())?;
        let daemon = Daemon::start(folder)?;
        daemon.record_events()?;

        environment::set("LTTNG_HOME", daemon.folder.path());
        // SAFETY: its constructors, and those of LTTng-UST, register it with the session daemon.
        let provider = ManuallyDrop::new(unsafe { Library::new(provider) }?);
        // SAFETY: this is the function's type in the provider's source.
        let record = *unsafe { provider.get::<Record>(b"record\0") }?;
        // SAFETY: as above.
        let enabled = *unsafe { provider.get::<Enabled>(b"enabled\0") }?;
        let lttng = Self { record, enabled, _provider: provider, daemon };
        wait_until("the event is recorded", || Ok(lttng.is_enabled()))?;
        lttng.find_an_event()?;
        Ok(lttng)
    }

    /// Records this many events; the first is numbered `first`.
    pub fn record(&self, first: u64, events: u64) {
        // SAFETY: the provider reads the 32 bytes that it takes, and stays loaded.
        unsafe { (self.record)(first, events, EVENT_BYTES.as_ptr()) };
    }

    /// Returns true if events are recorded.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        // SAFETY: the provider stays loaded.
        unsafe { (self.enabled)() != 0 }
    }

    /// Records an event, and finds its 40 bytes in the sub-buffers.
    fn find_an_event(&self) -> Result<()> {
        const NUMBER: u64 = 0x0123_4567_89ab_cdef;
        self.record(NUMBER, 1);
        let payload = [&NUMBER.to_ne_bytes(), &EVENT_BYTES[..]].concat();
        let mut files = Vec::new();
        files_below(&self.daemon.buffers(), &mut files)?;
        for file in &files {
            if fs::read(file)?.windows(payload.len()).any(|bytes| bytes == payload) {
                return Ok(());
            }
        }
        Err(format!("an event is in none of {} files of its buffers", files.len()).into())
    }
}

/// Compiles the provider in a folder.
fn compile(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (folder.join("provider.c"), folder.join("provider.so"));
    fs::write(&source, PROVIDER)?;
    fs::write(folder.join("event.h"), EVENT)?;
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-shared", "-fPIC", "-I"]).arg(folder).arg(&source).arg("-o").arg(&library);
    run(cc.arg("-llttng-ust"))?;
    Ok(library)
}

/// A session daemon.
#[derive(Debug)]
struct Daemon {
    process: Child,
    folder: TempDir,
    /// The paths that LTTng leaves behind and that existed earlier.
    before: BTreeSet<PathBuf>,
}

impl Daemon {
    fn start(folder: TempDir) -> Result<Self> {
        run(Command::new("lttng").arg("--version"))?;
        if lttng(folder.path(), &["list"])?.status.success() {
            return Err(
                "a session daemon runs already, whose sessions would be measured too".into()
            );
        }
        let before = left_behind()?;
        let process = Command::new("lttng-sessiond")
            .args(["--no-kernel", "--quiet"])
            .env("LTTNG_HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("lttng-sessiond: {error}"))?;
        let mut daemon = Self { process, folder, before };
        wait_until("the session daemon answers", || {
            if let Some(status) = daemon.process.try_wait()? {
                return Err(format!("lttng-sessiond has ended: {status}").into());
            }
            Ok(lttng(daemon.folder.path(), &["list"])?.status.success())
        })?;
        Ok(daemon)
    }

    fn buffers(&self) -> PathBuf {
        self.folder.path().join("buffers")
    }

    fn record_events(&self) -> Result<()> {
        let path = format!("--shm-path={}", self.buffers().display());
        let session = ["-s", SESSION, "-u"];
        let buffers = ["--overwrite", "--num-subbuf=4", "--subbuf-size=1M"];
        let channel = [&["enable-channel", "channel"], &session[..], &buffers].concat();
        let event = ["enable-event", "cachemaint_benches:event", "-c", "channel"];
        self.lttng(&["create", SESSION, "--snapshot", "--no-output", &path])?;
        self.lttng(&channel)?;
        self.lttng(&[&event, &session[..]].concat())?;
        self.lttng(&["start", SESSION])
    }

    fn lttng(&self, arguments: &[&str]) -> Result<()> {
        let output = lttng(self.folder.path(), arguments)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("lttng {} fails: {}", arguments.join(" "), said.trim()).into())
    }
}

impl Drop for Daemon {
    /// Ends the daemon with the signal that it expects, so that it removes its sockets and ends the daemons that it
    /// started. Then removes the files that LTTng leaves behind.
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.process);
        let asked = rustix::process::kill_process(pid, Signal::TERM);
        let ended = self.process.wait();
        let mut trouble = Vec::new();
        trouble.extend(asked.err().map(|error| error.to_string()));
        trouble.extend(ended.err().map(|error| error.to_string()));
        trouble.extend(self.remove().err().map(|error| error.to_string()));
        for error in trouble {
            // Nothing is left to do if standard error is closed too.
            drop(writeln!(io::stderr(), "LTTng-UST is not ended cleanly: {error}"));
        }
    }
}

impl Daemon {
    fn remove(&self) -> io::Result<()> {
        for path in left_behind()?.difference(&self.before) {
            if path.is_dir() {
                fs::remove_dir(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Returns the existing paths that LTTng creates but does not remove: the files with which programs wait for a session
/// daemon, and the directory of the system's daemon.
fn left_behind() -> io::Result<BTreeSet<PathBuf>> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(MEMORY)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("lttng-ust-wait-") {
            paths.insert(entry.path());
        }
    }
    let run = Path::new("/run/lttng");
    paths.extend(run.is_dir().then(|| run.to_owned()));
    Ok(paths)
}

/// Calls this user's session daemon, if there is one.
fn lttng(home: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("lttng");
    command.arg("--no-sessiond").args(arguments).env("LTTNG_HOME", home);
    command.output().map_err(|error| format!("lttng: {error}").into())
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.lines().find(|line| line.contains("error")).unwrap_or(said.trim());
    Err(format!("{name} fails: {why}").into())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > PATIENCE {
            return Err(format!("{} s were not enough until {what}", PATIENCE.as_secs()).into());
        }
        thread::sleep(INTERVAL);
    }
    Ok(())
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
