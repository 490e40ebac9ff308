//! Power cuts: the emulator is killed while the guest persists, and a fresh machine on the same
//! medium must find every record that the guest had acknowledged over its serial line.
//!
//! The kill takes the guest's page cache with it, so a record that only reached that is lost. It keeps every store to a
//! memory that the host backs with a file, written back or not. There it proves order and recovery, never a write-back.

use core::hash::{BuildHasher as _, Hasher as _};
use core::time::Duration;
use std::hash::RandomState;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use cachemaint_lab_protocol::{Records, Request};

use super::{
    Contents, DAX, DIRECTORY, Setup, emulated, found_again, lane, make_ext4, make_namespace,
    nvdimm, records,
};
use crate::lab::architecture::Architecture;
use crate::lab::kit::Kit;
use crate::lab::lane::Lane;
use crate::lab::machine::Machine;
use crate::lab::machine::setup::drive;
use crate::log::Log;

/// Power cuts of a usual run.
const USUAL: u32 = 3;
/// Events of the long run, of each kind.
const LONG: u32 = 100;

/// Records of a file: more than are persisted before the power is cut.
const RECORDS: u64 = 64 << 10;
/// The greatest number of acknowledgements before the power is cut.
const LATEST: u64 = 1500;

pub(super) fn lanes() -> Vec<Lane> {
    let x86 = |name, proves: &str, story| lane(Architecture::X86, name, proves, story);
    let cut = "every acknowledged record is there after a power cut";
    vec![
        x86("power-cut-pmem", &format!("NVDIMM: {cut}"), |kit, name, log| {
            on_pmem(kit, name, log, USUAL)
        }),
        x86("power-cut-disk", &format!("disk, through msync: {cut}"), |kit, name, log| {
            on_disk(kit, name, log, USUAL)
        }),
        x86("power-cut-pmem-100", &format!("NVDIMM, 100 times: {cut}"), |kit, name, log| {
            on_pmem(kit, name, log, LONG)
        })
        .long(),
        x86("power-cut-disk-100", &format!("disk, 100 times: {cut}"), |kit, name, log| {
            on_disk(kit, name, log, LONG)
        })
        .long(),
        x86("reboot-100", "records outlive 100 resets through firmware", |kit, name, log| {
            starts(kit, name, log, Machine::reboot)
        })
        .long(),
        x86("kexec-100", "records outlive 100 kexecs", |kit, name, log| {
            starts(kit, name, log, Machine::kexec)
        })
        .long(),
    ]
}

fn on_pmem(kit: &Kit, name: &str, log: &mut Log, rounds: u32) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm(name, Some("mem-ctrl"), &contents);
    let mut machine = Machine::start(kit, &setup, log)?;
    make_namespace(&mut machine, "region0", "fsdax")?;
    make_ext4(&mut machine, "/dev/pmem0", DAX)?;
    let medium = Medium { device: "/dev/pmem0", options: DAX, allow_pages: false };
    cut_repeatedly(kit, &setup, log, rounds, &medium, machine)
}

fn on_disk(kit: &Kit, name: &str, log: &mut Log, rounds: u32) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = Setup::new(name, "q35", "768M")
        .devices(["-drive", &drive(&contents.path, "if=virtio,cache=writeback")]);
    let mut machine = Machine::start(kit, &setup, log)?;
    make_ext4(&mut machine, "/dev/vda", "")?;
    let medium = Medium { device: "/dev/vda", options: "", allow_pages: true };
    cut_repeatedly(kit, &setup, log, rounds, &medium, machine)
}

/// The medium of the records.
struct Medium {
    device: &'static str,
    options: &'static str,
    allow_pages: bool,
}

/// Has a machine persist, cuts its power at a random moment, and lets the next one check. Repeats this for each round.
fn cut_repeatedly(
    kit: &Kit,
    setup: &Setup,
    log: &mut Log,
    rounds: u32,
    medium: &Medium,
    mut machine: Machine,
) -> Result<()> {
    for round in 1..=rounds {
        let records = Records {
            path: format!("{DIRECTORY}/records"),
            seed: round.into(),
            count: RECORDS,
            allow_pages: medium.allow_pages,
        };
        let moment = 1 + random() % LATEST;
        let acknowledged = machine
            .acknowledged_until_power_cut(&Request::PersistForever(records.clone()), moment)
            .with_context(|| format!("before power cut {round}"))?;
        writeln!(log, "power cut {round} after {acknowledged} records")?;

        machine = Machine::start(kit, setup, log)?;
        let acknowledged = Records { count: acknowledged, ..records };
        found_again(&mut machine, medium.device, medium.options, &acknowledged)
            .with_context(|| format!("after power cut {round}"))?;
        machine.doing(&Request::Remove { path: acknowledged.path })?;
    }
    machine.power_off()
}

/// Starts one machine anew a hundred times, with new records each time.
fn starts(
    kit: &Kit,
    name: &str,
    log: &mut Log,
    start_anew: fn(&mut Machine) -> Result<()>,
) -> Result<()> {
    let mut setup = emulated(name).with_kexec();
    setup.limit = Duration::from_secs(60) * LONG;
    let mut machine = Machine::start(kit, &setup, log)?;
    make_ext4(&mut machine, "/dev/pmem0", DAX)?;
    for round in 1..=LONG {
        let written = records(&format!("{DIRECTORY}/records"), round.into());
        machine.persist(&written)?;
        start_anew(&mut machine).with_context(|| format!("start {round}"))?;
        found_again(&mut machine, "/dev/pmem0", DAX, &written)
            .with_context(|| format!("after start {round}"))?;
        machine.doing(&Request::Remove { path: written.path })?;
        writeln!(log, "start {round}: all records found")?;
    }
    machine.power_off()
}

/// Returns a random number: no moment of a power cut is special.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
