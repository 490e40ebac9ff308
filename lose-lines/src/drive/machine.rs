//! The machines of a drive: one records the program, and others check the states.
use core::mem;
use core::time::Duration;
use std::path::Path;

use anyhow::{Context as _, Result};
use lose_lines_agent::Request;
use lose_lines_drive::content::Content;
use lose_lines_drive::file_system::FileSystem;
use lose_lines_drive::log::{DriveLog, Event};
use lose_lines_drive::server::Server;
use lose_lines_machine::acknowledged::Acknowledged;
use lose_lines_machine::architecture::Architecture;
use lose_lines_machine::machine::Machine;
use lose_lines_machine::machine::agent::Mounted;
use lose_lines_machine::machine::port;
use lose_lines_machine::machine::setup::Setup;
use lose_lines_machine::machine::suspended::Suspended;
use lose_lines_machine::pmem::DIRECTORY;
use lose_lines_machine::transcript::Transcript;

use crate::check::{Left, PRINTED, Run, Tested, Verdict, Whole};

/// The drive in a machine.
const DEVICE: &str = "/dev/vda";

/// The additional time of a machine beyond that of its programs.
const BESIDES: Duration = Duration::from_secs(3600);

/// Settings, in hundredths of a second, that make the kernel soon write back unsynced data (Linux,
/// `Documentation/admin-guide/sysctl/vm.rst`).
const WRITING_BACK: [(&str, &str); 2] =
    [("/proc/sys/vm/dirty_writeback_centisecs", "5"), ("/proc/sys/vm/dirty_expire_centisecs", "5")];

/// A machine with the programs, but with no mounted file system yet.
pub struct Prepared<'a> {
    test: &'a Tested<'a>,
    file_system: FileSystem,
    /// The bytes of the drive.
    size: usize,
    suspended: Suspended,
}

impl<'a> Prepared<'a> {
    /// Starts the machine, and suspends it.
    pub fn new(
        test: &'a Tested<'a>,
        file_system: FileSystem,
        size: usize,
        log: &Transcript,
    ) -> Result<Self> {
        let name = format!("{}-prepared", test.name);
        let server = Server::start(&test.kit.work, &name, Content::new(size))?;
        let setup = setup(test, &name, &server);
        let suspended = Suspended::new(test.kit, &setup, log, |machine| {
            machine.wait_for(DEVICE)?;
            machine.wait_for(port::DEVICE)?;
            // A server and its client in the machine talk over the loopback device: `IFF_UP`.
            machine.write("/sys/class/net/lo/flags", "0x1")?;
            // The drive is empty, but this makes the kernel load the file system.
            let (device, directory) = (DEVICE.to_owned(), DIRECTORY.to_owned());
            let (kind, options) = (file_system.name().to_owned(), String::new());
            machine.refusal(Request::Mount { device, directory, kind, options })?;
            Ok(())
        })?;
        Ok(Self { test, file_system, size, suspended })
    }

    /// Returns a machine with a drive.
    fn resume(&self, name: &str, image: Content, log: &Transcript) -> Result<(Machine, Server)> {
        let Self { test, suspended, .. } = self;
        let name = format!("{}-{name}", test.name);
        let server = Server::start(&test.kit.work, &name, image)?;
        let machine = suspended.resume(test.kit, &setup(test, &name, &server), log)?;
        Ok((machine, server))
    }

    /// Records a run of the program on a new file system into a file.
    pub fn record(&self, to: &Path, log: &Transcript) -> Result<Whole> {
        let Self { test, file_system, size, .. } = self;
        let (mut machine, server) = self.resume("recording", Content::new(*size), log)?;
        server.begin_log(to, *file_system)?;
        machine.run(file_system.make())?;
        machine.mount_as(file_system.name(), DEVICE, DIRECTORY, file_system.committing())?;
        test.make_initial(&mut machine, log)?;
        for (file, text) in WRITING_BACK {
            machine.write(file, text)?;
        }
        if *file_system == FileSystem::Xfs {
            machine.write("/proc/sys/fs/xfs/xfssyncd_centisecs", "100")?;
        }
        machine.doing(Request::Sync)?;
        server.add(&Event::Start)?;
        let run = test.run(&mut machine, log).and_then(Run::whole);
        // A recording that could not be made is not the program's failure.
        server.check_log()?;
        let run = run?;
        if run.end.is_some() {
            server.add(&Event::End)?;
            machine.doing(Request::Sync)?;
        }
        machine.cut_power()?;
        server.end_log()?;
        Ok(run)
    }

    /// Returns a checker with its own log.
    pub(super) fn checker(&'a self, name: &str, log: &'a Transcript) -> Result<InMachine<'a>> {
        let (machine, server) = self.resume(name, Content::new(self.size), log)?;
        let name = name.to_owned();
        Ok(InMachine { prepared: self, name, machine: Some((machine, server)), printed: 0, log })
    }
}

fn setup(test: &Tested<'_>, name: &str, server: &Server) -> Setup {
    let board = match test.kit.architecture {
        Architecture::X86 => "q35",
        Architecture::Arm64 | Architecture::Riscv64 => "virt",
    };
    let mut setup = Setup::new(name, board, "512M").devices(server.devices().iter().cloned());
    test.add_to(&mut setup.files);
    setup.limit = BESIDES + test.limit;
    setup.with_room_for_files()
}

/// Checks states in a machine; the content of its drive is exchanged while no file system is mounted.
pub struct InMachine<'a> {
    prepared: &'a Prepared<'a>,
    name: String,
    machine: Option<(Machine, Server)>,
    /// The number of lines in the machine's file of printed lines.
    printed: usize,
    log: &'a Transcript,
}

impl InMachine<'_> {
    /// Checks a state with the lines printed before it.
    ///
    /// # Errors
    /// If the host fails, also in a new machine.
    pub(super) fn check(
        &mut self,
        image: &Content,
        event: usize,
        log: &DriveLog,
    ) -> Result<Verdict> {
        let is_new = self.machine.is_none();
        match self.attempt(image, event, log) {
            Ok((verdict, left)) if left != Left::Down || is_new => Ok(verdict),
            // Checks before this one may have left the machine in a bad state.
            Ok(_) | Err(_) => {
                self.machine = None;
                self.attempt(image, event, log).map(|(verdict, _left)| verdict)
            }
        }
    }

    /// Mounts a drive and looks at it; `None` if it cannot be mounted.
    pub(super) fn mounted<T>(
        &mut self,
        image: &Content,
        file_system: FileSystem,
        look: impl FnOnce(&mut Machine) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.machine.is_none() {
            self.renew()?;
        }
        let (mut machine, server) = self.machine.take().context("there is no machine")?;
        server.show(image.clone());
        let seen = match machine.try_mount(file_system.name(), DEVICE, DIRECTORY, "")? {
            Mounted::Done => Some(look(&mut machine)?),
            Mounted::Refused(_) => None,
            Mounted::Failed => return Ok(None),
        };
        if seen.is_none() || machine.unmount(DIRECTORY).is_ok() {
            self.machine = Some((machine, server));
        }
        Ok(seen)
    }

    fn renew(&mut self) -> Result<()> {
        self.machine = None;
        let image = Content::new(self.prepared.size);
        self.machine = Some(self.prepared.resume(&self.name, image, self.log)?);
        self.printed = 0;
        Ok(())
    }

    fn attempt(
        &mut self,
        image: &Content,
        event: usize,
        log: &DriveLog,
    ) -> Result<(Verdict, Left)> {
        if self.machine.is_none() {
            self.renew()?;
        }
        let (mut machine, server) = self.machine.take().context("there is no machine")?;
        server.show(image.clone());
        print(&mut machine, &mut self.printed, event, log)?;
        match machine.try_mount(log.file_system.name(), DEVICE, DIRECTORY, "")? {
            Mounted::Done => {}
            Mounted::Failed => return Ok((Verdict::unmounted(Mounted::Failed), Left::Down)),
            refused @ Mounted::Refused(_) => {
                self.machine = Some((machine, server));
                return Ok((Verdict::unmounted(refused), Left::Idle));
            }
        }
        let (verdict, left) = self.prepared.test.check(&mut machine, self.log)?;
        // A process that the check left behind keeps the file system busy.
        if left == Left::Idle && machine.unmount(DIRECTORY).is_ok() {
            self.machine = Some((machine, server));
        }
        Ok((verdict, left))
    }
}

/// Updates the machine's file of printed lines, which only grows from one state to the next.
fn print(machine: &mut Machine, printed: &mut usize, event: usize, log: &DriveLog) -> Result<()> {
    let lines: Vec<&str> = log.lines_before(event).collect();
    let before = mem::replace(printed, lines.len());
    let text = |lines: &[&str]| Acknowledged::of_lines(lines).text().to_owned();
    let path = PRINTED.to_owned();
    match lines.get(before..) {
        Some([]) => Ok(()),
        Some(more) => machine.doing(Request::Append { path, text: text(more) }),
        None => machine.write(PRINTED, &text(&lines)),
    }
}
