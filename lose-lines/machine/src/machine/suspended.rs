//! A machine that is suspended into a file, and machines that resume from it without a boot.
//!
//! The file contains the machine without any memory that has its own file, such as an NVDIMM's contents (QEMU,
//! `qapi/migration.json`, `x-ignore-shared`). Each resumed machine finds that memory as the previous one left it: to
//! its kernel, the power was cut and came back while no file system was mounted. The agent gives each of them another
//! boot id for programs to see, and other random numbers.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use anyhow::{Context as _, Result, ensure};
use lose_lines_agent::Request;

use super::Machine;
use super::control::Control;
use super::setup::Setup;
use crate::kit::Kit;
use crate::temporary::Temporary;
use crate::transcript::Transcript;

pub struct Suspended(Temporary);

impl Suspended {
    /// Starts a machine, prepares it, and suspends it.
    pub fn new(
        kit: &Kit,
        setup: &Setup,
        log: &Transcript,
        prepare: impl FnOnce(&mut Machine) -> Result<()>,
    ) -> Result<Self> {
        let state = Temporary::new(kit.work.join(format!("{}.state", setup.name)));
        let (mut machine, mut control) = controlled(kit, setup, log, &[])?;
        machine.boot = machine.greeting().context("the machine did not come up")?;
        prepare(&mut machine)?;
        control.do_with_file("migrate", &state)?;
        control.wait_for("query-migrate", "completed")?;
        machine.end()?;
        Ok(Self(state))
    }

    /// Returns a machine that resumes from there. The memory has already lost lines.
    pub fn resume(&self, kit: &Kit, setup: &Setup, log: &Transcript) -> Result<Machine> {
        let mut setup = setup.clone();
        if let Some(losses) = &mut setup.losses {
            losses.more.push(String::from("resumed=yes"));
        }
        let (mut machine, mut control) = controlled(kit, &setup, log, &["-incoming", "defer"])?;
        control.do_with_file("migrate-incoming", &self.0)?;
        control.wait_for("query-status", "running")?;
        let [first, second, entropy] = [(); 3].map(|()| RandomState::new().build_hasher().finish());
        let digits = format!("{first:016x}{second:016x}");
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        let boot = parts.join("-");
        machine.send(&Request::Resume { boot: boot.clone(), entropy })?;
        machine.boot = machine.greeting().context("the machine did not go on")?;
        ensure!(machine.boot == boot, "the machine is in boot {}, not {boot}", machine.boot);
        Ok(machine)
    }
}

/// Starts a machine with a connection to its emulator.
fn controlled(
    kit: &Kit,
    setup: &Setup,
    log: &Transcript,
    words: &[&str],
) -> Result<(Machine, Control)> {
    let size = setup.memory.split(',').next().unwrap_or_default();
    // The first object must be the largest: when QEMU clears dirty pages, it takes offsets in one memory for offsets in
    // all of it (`cpu_physical_memory_sync_dirty_bitmap` of version 10, with the accelerator TCG).
    let ram = format!("memory-backend-ram,id=ram,size={size}");
    let words = [&["-object", &ram], words].concat();
    let mut setup = setup.clone();
    setup.board.push_str(",memory-backend=ram");
    Control::launch(kit, &setup, log, &words)
}
