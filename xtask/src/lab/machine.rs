//! A running machine, and the conversation with the agent in it.
//!
//! Whatever the machine prints is in the lane's log. A machine ends with its value: no emulator is
//! left behind, whatever goes wrong.

use core::time::Duration;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::{Part, Records, Reply, Request, decode, encode};
use serde_json::Value;

use super::initramfs::Initramfs;
use super::kit::{Architecture, Kit};
use crate::cost;
use crate::log::Log;
use crate::report::Tests;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// The lane's name: the machine's files have it.
    pub(super) name: String,
    /// `q35,nvdimm=on`
    pub(super) board: String,
    /// `max,-clwb`
    pub(super) cpu: String,
    /// `768M,slots=2,maxmem=4G`
    pub(super) memory: String,
    /// Further words of the emulator's command line.
    pub(super) devices: Vec<String>,
    /// Words added to the kernel's command line.
    pub(super) command_line: String,
    /// Files that only this machine has.
    pub(super) files: Initramfs,
    /// Whether it has the kernel and its initial file system on a disk, for a kexec.
    pub(super) can_kexec: bool,
    /// How long the machine may run.
    pub(super) limit: Duration,
}

impl Setup {
    pub(super) fn new(name: &str, board: &str, memory: &str) -> Self {
        Self {
            name: name.replace('/', "-"),
            board: board.to_owned(),
            cpu: String::from("max"),
            memory: memory.to_owned(),
            devices: Vec::new(),
            command_line: String::new(),
            files: Initramfs::default(),
            can_kexec: false,
            limit: Duration::from_secs(600),
        }
    }

    pub(super) fn cpu(mut self, cpu: &str) -> Self {
        cpu.clone_into(&mut self.cpu);
        self
    }

    /// Adds words to the kernel's command line.
    pub(super) fn kernel(mut self, words: &str) -> Self {
        words.clone_into(&mut self.command_line);
        self
    }

    pub(super) fn devices<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.devices.extend(words.into_iter().map(Into::into));
        self
    }

    pub(super) fn with_kexec(mut self) -> Self {
        self.can_kexec = true;
        self
    }
}

/// What a file of persisted records got.
#[derive(Clone, Debug)]
pub(super) struct Persisted {
    pub(super) granularity: String,
    pub(super) reason: String,
    /// `sf` among the flags: `MAP_SYNC` (Linux, `fs/proc/task_mmu.c`).
    pub(super) is_synchronous: bool,
}

/// How a program ended: its exit code or the signal.
type End = (Option<i32>, Option<i32>);

/// A machine that runs.
pub(super) struct Machine {
    child: Child,
    /// True if the emulator was waited for: another process may have its number now.
    has_ended: bool,
    input: ChildStdin,
    replies: Receiver<Result<Reply>>,
    deadline: Instant,
    /// The kernel's command line.
    command_line: String,
    /// What it has on its disk: bytes of the kernel, bytes of the initial file system.
    disk: Option<(u64, u64)>,
    files: Vec<PathBuf>,
    /// What test programs said.
    tests: Arc<Mutex<Tests>>,
    /// The running kernel's `boot_id`.
    boot: String,
}

impl Machine {
    /// Starts a machine and waits until its agent is up.
    pub(super) fn start(kit: &Kit, setup: &Setup, log: &Log) -> Result<Self> {
        let initrd = kit.initrd(&setup.files, &setup.name)?;
        let mut files = vec![initrd.clone()];
        let console = match kit.architecture {
            Architecture::X86 | Architecture::Riscv64 => "ttyS0",
            Architecture::Arm64 => "ttyAMA0",
        };
        let command_line =
            format!("console={console} quiet panic=-1 {}", setup.command_line).trim().to_owned();
        let mut emulator = kit
            .emulators
            .system(kit.architecture.qemu())
            .words("-accel tcg,thread=multi -smp 1 -serial stdio")
            .args(["-machine", &setup.board, "-cpu", &setup.cpu, "-m", &setup.memory])
            .arg("-kernel")
            .arg(kit.kernel.display().to_string())
            .arg("-initrd")
            .arg(initrd.display().to_string())
            .args(["-append", &command_line])
            .args(setup.devices.iter().cloned());
        let mut disk = None;
        if setup.can_kexec {
            let image = kit.work.join(format!("{}.disk", setup.name));
            disk = Some(make_disk(&kit.kernel, &initrd, &image)?);
            emulator = emulator.args(["-drive", &drive(&image, "if=virtio,readonly=on")]);
            files.push(image);
        }
        let (child, input, output) = emulator.converse(log)?;
        let (sender, replies) = channel();
        let copy = log.writer()?;
        let tests = Arc::new(Mutex::new(Tests::default()));
        let counted = Arc::clone(&tests);
        thread::spawn(move || listen(BufReader::new(output), copy, &counted, &sender));
        let boot = String::new();
        let deadline = Instant::now() + setup.limit;
        let mut machine = Self {
            child,
            has_ended: false,
            input,
            replies,
            deadline,
            command_line,
            disk,
            files,
            tests,
            boot,
        };
        machine.boot = machine.greeting().context("the machine did not come up")?;
        Ok(machine)
    }

    /// The next reply.
    fn reply(&mut self) -> Result<Reply> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.replies.recv_timeout(left) {
            Ok(reply) => reply,
            Err(RecvTimeoutError::Timeout) => bail!("the machine took longer than it may"),
            Err(RecvTimeoutError::Disconnected) => bail!("the machine ended"),
        }
    }

    /// The boot that the agent greets from.
    fn greeting(&mut self) -> Result<String> {
        match self.reply()? {
            Reply::Hello { boot, .. } => Ok(boot),
            other => bail!("the agent said {other:?} instead of a greeting"),
        }
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        self.input.write_all(encode(request)?.as_bytes()).context("the machine does not listen")?;
        self.input.flush().context("the machine does not listen")
    }

    /// Asks, and takes any answer but that the machine was started anew.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Reply> {
        self.send(request)?;
        match self.reply().with_context(|| format!("{request:?}"))? {
            Reply::Hello { .. } => bail!("the machine was reset by {request:?}"),
            reply => Ok(reply),
        }
    }

    /// Asks for something that must be done.
    pub(super) fn doing(&mut self, request: &Request) -> Result<()> {
        match self.ask(request)? {
            Reply::Done => Ok(()),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Asks for something that must be refused; the refusal.
    pub(super) fn refusal(&mut self, request: &Request) -> Result<String> {
        match self.ask(request)? {
            Reply::Refused(why) => Ok(why),
            other => bail!("{request:?} was not refused: {other:?}"),
        }
    }

    /// Asks for a document.
    pub(super) fn json(&mut self, request: &Request) -> Result<Value> {
        match self.ask(request)? {
            Reply::Json(text) => Ok(serde_json::from_str(&text)?),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// The text of a file in the machine; none if it cannot be read.
    pub(super) fn read(&mut self, path: &str) -> Result<Option<String>> {
        match self.ask(&Request::Read { path: path.to_owned() })? {
            Reply::Text(text) => Ok(Some(text)),
            Reply::Refused(_) => Ok(None),
            other => bail!("reading {path}: {other:?}"),
        }
    }

    /// The names in a folder of the machine.
    pub(super) fn list(&mut self, path: &str) -> Result<Vec<String>> {
        match self.ask(&Request::List { path: path.to_owned() })? {
            Reply::Names(names) => Ok(names),
            other => bail!("listing {path}: {other:?}"),
        }
    }

    /// Waits until a file is there: the kernel makes devices in its own time.
    pub(super) fn wait_for(&mut self, path: &str) -> Result<()> {
        let (folder, name) = path.rsplit_once('/').context("no absolute path")?;
        let patience = Instant::now() + Duration::from_secs(120);
        while Instant::now() < patience {
            if self.list(folder)?.iter().any(|found| found == name) {
                return Ok(());
            }
        }
        bail!("there is no {path} in the machine; {folder} has {:?}", self.list(folder)?)
    }

    /// Runs a program, which must succeed.
    pub(super) fn run(&mut self, line: &str) -> Result<()> {
        match self.run_any(line, &[])? {
            (Some(0), _) => Ok(()),
            (code, signal) => bail!("`{line}` ended with code {code:?}, signal {signal:?}"),
        }
    }

    /// Runs a program; its exit code or the signal that ended it.
    pub(super) fn run_any(
        &mut self,
        line: &str,
        environment: &[(&str, &str)],
    ) -> Result<(Option<i32>, Option<i32>)> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().context("no program")?;
        self.run_with(&program, words.collect(), environment)
    }

    /// As [`run_any`](Self::run_any), with arguments that may have blanks in them.
    pub(super) fn run_with(
        &mut self,
        program: &str,
        arguments: Vec<String>,
        environment: &[(&str, &str)],
    ) -> Result<(Option<i32>, Option<i32>)> {
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = environment.collect();
        let request = Request::Run { program: program.to_owned(), arguments, environment };
        match self.ask(&request)? {
            Reply::Ended { code, signal } => Ok((code, signal)),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Runs a program; its exit code, and what it printed on standard output and standard error.
    pub(super) fn output(&mut self, line: &str) -> Result<(Option<i32>, String, String)> {
        let ((code, _signal), out, errors) = self.printed(line)?;
        Ok((code, out, errors))
    }

    /// Runs a program, which must succeed and print a document.
    pub(super) fn document(&mut self, line: &str) -> Result<Value> {
        self.document_before(line, (Some(0), None))
    }

    /// Runs a program, which must print a document and then be ended by a signal.
    pub(super) fn document_before_signal(&mut self, line: &str, signal: i32) -> Result<Value> {
        self.document_before(line, (None, Some(signal)))
    }

    /// Runs a program, which must print a document and end so.
    fn document_before(&mut self, line: &str, end: End) -> Result<Value> {
        let ((code, signal), out, errors) = self.printed(line)?;
        ensure!(
            (code, signal) == end,
            "`{line}` ended with code {code:?}, signal {signal:?}: {errors}"
        );
        serde_json::from_str(&out).with_context(|| format!("`{line}` printed no JSON: {out:?}"))
    }

    /// Runs a program; its exit code or the signal that ended it, and what it printed.
    fn printed(&mut self, line: &str) -> Result<(End, String, String)> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().context("no program")?;
        match self.ask(&Request::Output { program, arguments: words.collect() })? {
            Reply::Printed { code, signal, out, errors } => Ok(((code, signal), out, errors)),
            other => bail!("`{line}`: {other:?}"),
        }
    }

    /// Starts a program that runs beside what follows, until the machine ends; its process id.
    pub(super) fn start_beside(&mut self, line: &str, environment: &[(&str, &str)]) -> Result<u32> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().context("no program")?;
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = environment.collect();
        let request = Request::Start { program, arguments: words.collect(), environment };
        match self.ask(&request)? {
            Reply::Started(id) => Ok(id),
            other => bail!("`{line}`: {other:?}"),
        }
    }

    /// Gives a started program a line; the line that it answers with.
    pub(super) fn tell(&mut self, id: u32, line: &str) -> Result<String> {
        match self.ask(&Request::Tell { id, line: line.to_owned() })? {
            Reply::Text(answer) => Ok(answer),
            other => bail!("`{line}` to process {id}: {other:?}"),
        }
    }

    /// Sends a started program a signal, upon which it must print a document and end well.
    pub(super) fn document_at_end(&mut self, id: u32, signal: i32) -> Result<Value> {
        match self.ask(&Request::End { id, signal })? {
            Reply::Printed { code: Some(0), out, .. } => serde_json::from_str(&out)
                .with_context(|| format!("process {id} printed no JSON: {out:?}")),
            other => bail!("process {id} ended otherwise: {other:?}"),
        }
    }

    pub(super) fn mount(&mut self, device: &str, directory: &str, options: &str) -> Result<()> {
        self.mount_as("ext4", device, directory, options)
    }

    pub(super) fn mount_as(
        &mut self,
        kind: &str,
        device: &str,
        directory: &str,
        options: &str,
    ) -> Result<()> {
        self.doing(&Request::Mount {
            device: device.to_owned(),
            directory: directory.to_owned(),
            kind: kind.to_owned(),
            options: options.to_owned(),
            read_only: false,
        })
    }

    pub(super) fn unmount(&mut self, directory: &str) -> Result<()> {
        self.doing(&Request::Unmount { directory: directory.to_owned() })
    }

    /// Has records persisted in a new file.
    pub(super) fn persist(&mut self, records: &Records) -> Result<Persisted> {
        self.persisting(&Request::Persist(records.clone()))
    }

    /// Has records persisted on a part of a device.
    pub(super) fn persist_on_device(&mut self, records: &Records, part: Part) -> Result<Persisted> {
        self.persisting(&Request::PersistOnDevice(records.clone(), part))
    }

    fn persisting(&mut self, request: &Request) -> Result<Persisted> {
        match self.ask(request)? {
            Reply::Persisted { granularity, reason, flags } => Ok(Persisted {
                granularity,
                reason,
                is_synchronous: flags.split(' ').any(|flag| flag == "sf"),
            }),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Looks for records, all of which must be there.
    pub(super) fn verify(&mut self, records: &Records) -> Result<()> {
        self.verifying(records, &Request::Verify(records.clone()))
    }

    /// Looks for records on a part of a device.
    pub(super) fn verify_on_device(&mut self, records: &Records, part: Part) -> Result<()> {
        self.verifying(records, &Request::VerifyOnDevice(records.clone(), part))
    }

    fn verifying(&mut self, records: &Records, request: &Request) -> Result<()> {
        match self.ask(request)? {
            Reply::Found { intact, damaged } if damaged.is_empty() => {
                ensure!(intact == records.count, "{intact} of {} records", records.count);
                Ok(())
            }
            Reply::Found { intact, damaged } => bail!(
                "{} of {} records in {} are lost or damaged, among them {damaged:?}",
                records.count - intact,
                records.count,
                records.path,
            ),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Resets the machine; firmware runs, and memory is what firmware leaves of it.
    pub(super) fn reboot(&mut self) -> Result<()> {
        self.send(&Request::Reboot)?;
        self.come_up_again().context("the machine did not come up after a reset")
    }

    /// Starts the next kernel from this one. It gets the same command line.
    pub(super) fn kexec(&mut self) -> Result<()> {
        let (kernel, initrd) = self.disk.context("this machine has no kernel on a disk")?;
        let command_line = self.command_line.clone();
        self.send(&Request::Kexec { command_line, kernel, initrd })?;
        self.come_up_again().context("the machine did not come up after a kexec")
    }

    fn come_up_again(&mut self) -> Result<()> {
        let boot = self.greeting()?;
        ensure!(boot != self.boot, "this is still the boot {boot}");
        self.boot = boot;
        Ok(())
    }

    /// Asks for something that is acknowledged record by record, until so many are; then cuts the power: the emulator
    /// ends by SIGKILL. How many were acknowledged up to then.
    pub(super) fn acknowledged_until_power_cut(
        self,
        request: &Request,
        enough: u64,
    ) -> Result<u64> {
        self.acknowledged_until_later_power_cut(request, enough, Duration::ZERO)
    }

    /// The same, some time after that acknowledgement: where one takes so long that the power would always be cut
    /// in the midst of it.
    pub(super) fn acknowledged_until_later_power_cut(
        mut self,
        request: &Request,
        enough: u64,
        later: Duration,
    ) -> Result<u64> {
        self.send(request)?;
        let mut acknowledged = 0;
        while acknowledged < enough {
            match self.reply()? {
                Reply::Acknowledged(count) => acknowledged = count,
                other => bail!("{request:?}: {other:?}"),
            }
        }
        thread::sleep(later);
        self.child.kill().context("cannot kill the emulator")?;
        // What was on its way out of the machine when it ended was acknowledged too.
        while let Ok(Ok(reply)) = self.replies.recv() {
            if let Reply::Acknowledged(count) = reply {
                acknowledged = count;
            }
        }
        Ok(acknowledged)
    }

    /// The tests that programs in it have run.
    pub(super) fn tests(&self) -> Tests {
        *self.tests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the machine in order.
    pub(super) fn power_off(mut self) -> Result<()> {
        self.send(&Request::PowerOff)?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.replies.recv_timeout(left) {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => bail!("the machine does not power off"),
            Ok(reply) => bail!("the machine does not power off: {:?}", reply?),
        }
        let status = cost::wait(&mut self.child, false).context("cannot wait for the emulator")?;
        self.has_ended = true;
        ensure!(status.success(), "the emulator ended with {status}");
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !self.has_ended {
            // No caller is left to report an error to.
            drop(self.child.kill());
            drop(cost::wait(&mut self.child, false));
        }
        for file in &self.files {
            drop(std::fs::remove_file(file));
        }
    }
}

/// Copies what the machine prints to the log, and hands over what the agent says.
fn listen(
    mut output: impl std::io::BufRead,
    mut log: impl std::io::Write,
    tests: &Mutex<Tests>,
    replies: &Sender<Result<Reply>>,
) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match output.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // A log that cannot be written loses nothing but itself.
        drop(log.write_all(&line));
        let text = String::from_utf8_lossy(&line);
        let reply = match decode::<Reply>(&text) {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => {
                tests.lock().unwrap_or_else(PoisonError::into_inner).add_result_line(&text);
                continue;
            }
            Err(error) => Err(error).with_context(|| format!("a garbled reply: {text:?}")),
        };
        if replies.send(reply).is_err() {
            return;
        }
    }
}

/// Writes kernel and initial file system end to end, padded to whole sectors.
fn make_disk(kernel: &Path, initrd: &Path, image: &Path) -> Result<(u64, u64)> {
    super::initramfs::join(&[kernel, initrd], image)?;
    let len = |path: &Path| -> Result<u64> {
        Ok(std::fs::metadata(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .len())
    };
    let (kernel, initrd) = (len(kernel)?, len(initrd)?);
    std::fs::OpenOptions::new()
        .write(true)
        .open(image)
        .and_then(|file| file.set_len((kernel + initrd).next_multiple_of(512)))
        .with_context(|| format!("cannot write {}", image.display()))?;
    Ok((kernel, initrd))
}

/// The value of `-drive` for a raw image.
pub(super) fn drive(image: &Path, more: &str) -> String {
    format!("format=raw,file={},{more}", image.display())
}
