//! A running machine, and the protocol with the agent in it.
//!
//! The log contains all output of the machine. Dropping the value ends the machine, so no emulator is left behind after
//! any failure.

pub mod agent;
pub mod control;
pub mod ends;
mod losing;
pub mod port;
pub mod programs;
pub mod setup;
pub mod suspended;

use std::io::{BufReader, Write as _};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use lose_lines_agent::{Reply, Request, decode, encode};

use self::losing::{KERNEL, Losing, Report};
use self::setup::{Setup, drive, make_disk};
use crate::architecture::Architecture;
use crate::kit::Kit;
use crate::temporary::Temporary;
use crate::transcript::Transcript;

/// A machine that runs.
pub struct Machine {
    child: Child,
    /// True if the emulator was waited for: another process may have its number by now.
    has_ended: bool,
    input: ChildStdin,
    replies: Receiver<Result<Reply>>,
    deadline: Instant,
    /// The kernel's command line.
    command_line: String,
    /// The content of its disk: the sizes of the kernel and of the initial file system in bytes.
    disk: Option<(u64, u64)>,
    /// The temporary files, which are removed with the machine.
    _files: Vec<Temporary>,
    /// The running kernel's `boot_id`.
    boot: String,
    /// The plugin's lines, if the machine loses lines.
    report: Option<Report>,
}

impl Machine {
    /// Starts a machine and waits until its agent is up.
    pub fn start(kit: &Kit, setup: &Setup, log: &Transcript) -> Result<Self> {
        let mut machine = Self::launch(kit, setup, log)?;
        machine.boot = machine.greeting().context("the machine did not come up")?;
        Ok(machine)
    }

    /// Starts the emulator of a machine.
    fn launch(kit: &Kit, setup: &Setup, log: &Transcript) -> Result<Self> {
        let initrd = Temporary::new(kit.initrd(&setup.files, &setup.name)?);
        // A busy host can keep the emulated timer from ticking as often as the kernel's test of it demands (Linux
        // `arch/x86/kernel/apic/io_apic.c`, `timer_irq_works`).
        let basic = match kit.architecture {
            Architecture::X86 => "console=ttyS0 no_timer_check",
            Architecture::Riscv64 => "console=ttyS0",
            Architecture::Arm64 => "console=ttyAMA0",
        };
        let losing = Losing::of(setup, kit)?;
        let more = losing.as_ref().map_or("", |_losing| KERNEL);
        let words = [&*format!("{basic} quiet panic=-1"), &setup.command_line, more];
        let command_line = words.join(" ").trim().to_owned();
        let board = losing.as_ref().map_or("", |losing| losing.board);
        let board = format!("{}{board}", setup.board);
        let mut emulator = kit
            .emulators
            .system(kit.architecture.qemu())
            .words("-accel tcg,thread=multi -serial stdio")
            .args(["-smp", &setup.cpus.to_string()])
            .args(["-machine", &board, "-cpu", &setup.cpu, "-m", &setup.memory])
            .arg("-kernel")
            .arg(kit.kernel.display().to_string())
            .arg("-initrd")
            .arg(initrd.display().to_string())
            .args(["-append", &command_line])
            .args(setup.devices.iter().cloned())
            .args(losing.iter().flat_map(|losing| losing.words.iter().cloned()));
        let (mut files, mut disk) = (Vec::new(), None);
        if setup.can_kexec {
            let image = Temporary::new(kit.work.join(format!("{}.disk", setup.name)));
            disk = Some(make_disk(&kit.kernel, &initrd, &image)?);
            emulator = emulator.args(["-drive", &drive(&image, "if=virtio,readonly=on")]);
            files.push(image);
        }
        files.push(initrd);
        let report = match losing {
            Some(Losing { report: file, temporary, .. }) => {
                files.extend(temporary);
                Some(Report { file, log: log.writer()? })
            }
            None => None,
        };
        let copy = log.writer()?;
        // From here on nothing fails until there is a `Machine`, which ends the emulator when dropped.
        let (child, input, output) = emulator.converse(log)?;
        let (sender, replies) = channel();
        thread::spawn(move || listen(BufReader::new(output), copy, &sender));
        let boot = String::new();
        let deadline = Instant::now() + setup.limit;
        Ok(Self {
            child,
            report,
            has_ended: false,
            input,
            replies,
            deadline,
            command_line,
            disk,
            _files: files,
            boot,
        })
    }

    /// Returns true if the emulator is still running.
    fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("cannot wait for the emulator")?.is_none())
    }

    /// Returns the next reply.
    fn reply(&mut self) -> Result<Reply> {
        match self.next() {
            Ok(reply) => reply,
            Err(RecvTimeoutError::Timeout) => bail!("the machine exceeded its time limit"),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the emulator ended or was killed; this system may lack memory")
            }
        }
    }

    /// Returns the next reply within the machine's time, or the reason why it is missing.
    fn next(&self) -> Result<Result<Reply>, RecvTimeoutError> {
        self.replies.recv_timeout(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns the boot id in the agent's greeting.
    fn greeting(&mut self) -> Result<String> {
        self.greeting_of(false)
    }

    /// Returns the boot id in the agent's greeting, which must come after a kexec, or must not.
    fn greeting_of(&mut self, kexec: bool) -> Result<String> {
        match self.reply()? {
            Reply::Hello { boot, by_kexec, .. } if by_kexec == kexec => Ok(boot),
            Reply::Hello { .. } if kexec => bail!("the machine was reset: the next kernel failed"),
            Reply::Hello { .. } => bail!("a kexec has started this kernel"),
            other => bail!("the agent said {other:?} instead of a greeting"),
        }
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        self.input.write_all(encode(request)?.as_bytes()).context("cannot write to the machine")?;
        self.input.flush().context("cannot write to the machine")
    }

    /// Sends a request, and returns any answer unless the machine was restarted.
    pub fn ask(&mut self, request: impl Into<Request>) -> Result<Reply> {
        let request = request.into();
        self.send(&request)?;
        match self.reply().with_context(|| format!("{request:?}"))? {
            Reply::Hello { .. } => bail!("the machine was reset by {request:?}"),
            reply => Ok(reply),
        }
    }

    /// Resets the machine. Firmware runs, and memory keeps whatever firmware leaves.
    pub fn reboot(&mut self) -> Result<()> {
        self.send(&Request::Reboot)?;
        self.come_up_again(false).context("the machine did not come up after a reset")
    }

    /// Makes the kernel panic, which resets the machine.
    pub fn panic(&mut self) -> Result<()> {
        self.send(&Request::Panic)?;
        self.come_up_again(false).context("the machine did not come up after a panic")
    }

    /// Starts the next kernel from this one, with the same command line.
    pub fn kexec(&mut self) -> Result<()> {
        let (kernel, initrd) = self.disk.context("this machine has no kernel on a disk")?;
        let command_line = self.command_line.clone();
        self.send(&Request::Kexec { command_line, kernel, initrd })?;
        self.come_up_again(true).context("the machine did not come up after a kexec")
    }

    fn come_up_again(&mut self, kexec: bool) -> Result<()> {
        let boot = self.greeting_of(kexec)?;
        ensure!(boot != self.boot, "this is still the boot {boot}");
        self.boot = boot;
        Ok(())
    }

    /// Returns the lines of the plugin so far.
    pub fn losses(&self) -> Result<String> {
        self.report.as_ref().map_or(Ok(String::new()), Report::text)
    }

    /// Returns the number of lines that the crashes lost; 0 for a machine that loses none.
    pub fn lost_lines(&self) -> Result<u64> {
        self.report.as_ref().map_or(Ok(0), Report::lost_lines)
    }

    /// Returns true if the machine loses lines that were not written back.
    pub const fn loses(&self) -> bool {
        self.report.is_some()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !self.has_ended {
            // There is no caller left that could receive an error.
            drop(self.child.kill());
            drop(self.child.wait());
        }
        // The log contains the faults: a caller that has failed shows its end.
        drop(self.report.take().map(Report::take));
    }
}

/// Copies the machine's output to the log, and passes on the agent's replies.
fn listen(
    mut output: impl std::io::BufRead,
    mut log: impl std::io::Write,
    replies: &Sender<Result<Reply>>,
) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match output.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // A log that cannot be written does not affect the machine.
        drop(log.write_all(&line));
        let text = String::from_utf8_lossy(&line);
        let reply = match decode::<Reply>(&text) {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => continue,
            Err(error) => Err(error).with_context(|| format!("a garbled reply: {text:?}")),
        };
        if replies.send(reply).is_err() {
            return;
        }
    }
}
