//! QEMU with a guest's memory on ext4-DAX (`pmem=on`): migrated out and in, the memory outlives a reset that loses dirty
//! lines. QEMU persists it by libpmem when it is loaded (`migration/ram.c`, `qemu_ram_block_writeback`).

use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::Records;
use lose_lines_agent::{Reply, Request};

use super::super::requests::Library as _;
use super::super::{
    DIRECTORY, PMEM0, SIGKILL, WITHOUT_COMMITS, emulated, lane_with, make_ext4, records,
};
use crate::lab::Lab;
use crate::lab::lane::Lane;
use lose_lines::architecture::Architecture;
use lose_lines::kit::Kit;
use lose_lines::log::Log;
use lose_lines::losses::Policy;
use lose_lines::machine::Machine;
use lose_lines::program::HostProgram;

const NAME: &str = "machine/x86_64/libpmem-qemu";

/// The memory of the guest that is migrated, and its bytes.
const SOURCE: &str = "/mnt/source";
const LEN: u64 = 4096 * 64;

/// The time that a step of QEMU may take in a machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn lanes() -> Vec<Lane> {
    let proves =
        "QEMU's guest memory on pmem is there after a migration and a reset, with each library";
    let prepare = |lab: &Lab<'_>| lab.libpmem(Architecture::X86);
    let lane = lane_with(Architecture::X86, NAME, proves, prepare, |kit, ours, _name, log| {
        migrate(kit, &[("packages", None), ("ours", Some(&**ours))], log)?;
        Ok(2)
    });
    // The lane of the other clients is a usual one.
    vec![lane.long()]
}

/// Migrates a guest with each library, which is named with its directory, unless it is that of the packages.
fn migrate(kit: &Kit, libraries: &[(&str, Option<&Path>)], log: &mut Log) -> Result<()> {
    let root = kit.emulators.file("");
    let program = kit.emulators.file("usr/bin/qemu-system-x86_64");
    let mut setup = emulated(NAME).policy(Policy::None);
    let emulators = libraries
        .iter()
        .map(|(_, first)| HostProgram::packaged(root.as_ref(), program.as_ref(), *first))
        .collect::<Result<Vec<_>>>()?;
    for emulator in &emulators {
        emulator.add_to(&mut setup.files);
    }
    let mut machine = Machine::start(kit, &setup, log)?;
    make_ext4(&mut machine, PMEM0, WITHOUT_COMMITS)?;
    let written = records(SOURCE, 31);
    machine.persist(&written)?;
    for ((name, _), emulator) in libraries.iter().zip(&emulators) {
        let moved = Records { path: format!("/mnt/{name}"), ..written.clone() };
        migrate_one(&mut machine, emulator, &moved.path)
            .with_context(|| format!("with the library of {name}"))?;
        machine.reboot()?;
        machine.wait_for(PMEM0)?;
        machine.mount(PMEM0, DIRECTORY, WITHOUT_COMMITS)?;
        machine.verify(&moved).with_context(|| format!("after a reset, with {name}"))?;
    }
    machine.power_off()
}

fn migrate_one(machine: &mut Machine, emulator: &HostProgram, to: &str) -> Result<()> {
    let state = "file:/tmp/state";
    let mut source = Guest::start(machine, emulator, SOURCE, "")?;
    source.execute(&format!(r#"{{"execute":"migrate","arguments":{{"uri":"{state}"}}}}"#))?;
    source.has_migrated()?;
    source.end()?;
    let mut guest = Guest::start(machine, emulator, to, &format!(" -incoming {state}"))?;
    guest.has_migrated()?;
    guest.end()
}

/// An emulator in the machine, with its control socket as input and output.
struct Guest<'a> {
    machine: &'a mut Machine,
    id: u32,
}

impl<'a> Guest<'a> {
    fn start(
        machine: &'a mut Machine,
        emulator: &HostProgram,
        memory: &str,
        more: &str,
    ) -> Result<Self> {
        let line = format!(
            "-no-user-config -nodefaults -display none -S -qmp stdio -accel tcg -m {}K \
             -machine none,memory-backend=ram \
             -object memory-backend-file,id=ram,size={LEN},mem-path={memory},share=on,pmem=on{more}",
            LEN >> 10
        );
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match machine.ask(emulator.start(&arguments))? {
            Reply::Started(id) => {
                let mut guest = Self { machine, id };
                guest.execute(r#"{"execute":"qmp_capabilities"}"#)?;
                Ok(guest)
            }
            other => bail!("QEMU: {other:?}"),
        }
    }

    /// Sends a command. Returns the next line of the emulator, which is of an earlier command: its greeting comes first.
    fn execute(&mut self, command: &str) -> Result<String> {
        self.machine.tell(self.id, command)
    }

    fn has_migrated(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answer = self.execute(r#"{"execute":"query-migrate"}"#)?;
            if answer.contains(r#""status": "completed""#) {
                return Ok(());
            }
            ensure!(!answer.contains("error") && !answer.contains("failed"), "{answer}");
            ensure!(begun.elapsed() < PATIENCE, "the migration does not end: {answer}");
        }
    }

    /// Kills the emulator. It has not warned that it has no `MAP_SYNC`.
    fn end(self) -> Result<()> {
        match self.machine.ask(Request::End { id: self.id, signal: SIGKILL })? {
            Reply::Printed { errors, .. } if errors.is_empty() => Ok(()),
            other => bail!("QEMU ended otherwise: {other:?}"),
        }
    }
}
