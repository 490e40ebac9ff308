//! A store of blobs whose machine ends: committed transactions are there as a whole, the others are not there at all, and the
//! store reports the event.

use core::time::Duration;
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::Request;
use cachemaint_lab_protocol::store::{Found, REGISTERS, STATE};

use super::power::{Moment, Starts};
use super::{
    Architecture, Contents, Kit, Lane, Log, Machine, at_least, emulated_with, lane, losing_lane,
    mount_again, nvdimm, start_on_dax,
};
use lose_lines::losses::random;

/// The store.
const PATH: &str = "/mnt/store";

/// The MiB of emulated pmem.
const PMEM: u64 = 320;

/// The file of a machine within the machine, and the MiB of its RAM.
const MONITOR: &str = "/init vm-restart /mnt/machine 128";

/// The most write-backs of pages that are not mapped, for which the emulator does nothing: a seal writes back pages in front
/// of the machine's RAM that no access has mapped yet. 2,048 and 3,968 were seen; 32,768 are 2 MiB.
const UNMAPPED: u64 = (2 << 20) / 64;

/// The events, as the library names them.
const KEXEC: &str = "kexec";
const WARM_REBOOT: &str = "reboot through firmware";
/// The events after a power cut. Only a counter of the memory can show that it was one, and the emulator's memory has
/// none.
const AFTER_A_CUT: [&str; 2] = ["reboot of an unknown kind", "power loss or unsafe shutdown"];

/// Power cuts: one at each kind of moment.
const CUTS: u32 = 4;
/// The greatest number of commits before the power is cut, and of events.
const LATEST: u64 = 300;
/// The greatest number of microseconds after those commits, in which more commits follow.
const LATER: u64 = 20_000;

pub(super) fn lanes() -> Vec<Lane> {
    vec![
        losing_lane(
            Architecture::X86,
            "vm-restart",
            "a machine whose RAM is a region of a store resumes after a kexec and after a reset that loses lines, at the \
             same physical address",
            restarts,
        ),
        lane(
            Architecture::X86,
            "preserve-power-cut",
            "NVDIMM: after a power cut a store has the last acknowledged transaction or the next one, as a whole",
            power_cuts,
        ),
    ]
}

/// The example `vm_restart`: each run takes 1000 steps.
fn restarts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let setup = emulated_with(name, 1536, PMEM).with_kexec().allowing_unmapped(UNMAPPED);
    let mut machine = start_on_dax(kit, &setup, log)?;
    let booted = monitor(&mut machine, log)?;
    ensure!(booted[0].starts_with("booted after "), "{booted:?}");
    let address = booted.get(1).filter(|line| line.starts_with("its RAM begins at 0x"));
    let address = address.context("its RAM has no physical address")?.clone();

    let start = Instant::now();
    machine.kexec()?;
    mount_again(&mut machine)?;
    let kernel = start.elapsed();
    let resumed = monitor(&mut machine, log)?;
    writeln!(log, "from the kexec to the file system {kernel:?}, and then {}", resumed[1])?;
    let has_resumed = |lines: &[String], origin: &str, steps: u64| {
        let event = format!("since the last time: {origin}");
        let step = format!(", at step {steps}");
        lines[0] == event && lines[1].ends_with(&step) && lines[2] == address
    };
    ensure!(has_resumed(&resumed, KEXEC, 1000), "after a kexec: {resumed:?}");

    machine.reboot()?;
    mount_again(&mut machine)?;
    let resumed = monitor(&mut machine, log)?;
    ensure!(has_resumed(&resumed, WARM_REBOOT, 2000), "after a reset: {resumed:?}");
    machine.power_off()
}

/// Runs the example and returns its lines.
fn monitor(machine: &mut Machine, log: &mut Log) -> Result<Vec<String>> {
    let (code, output, errors) = machine.output(MONITOR)?;
    writeln!(log, "{output}{errors}")?;
    ensure!(code == Some(0), "{code:?}: {errors}");
    let lines: Vec<String> = output.lines().map(str::to_owned).collect();
    ensure!(lines.len() >= 2, "{output}");
    Ok(lines)
}

/// Opens the store. Every blob has the bytes of its number.
fn read(machine: &mut Machine) -> Result<Found> {
    let found = machine.document(&format!("/init read-store {PATH}"))?;
    Ok(serde_json::from_value(found)?)
}

fn power_cuts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm(name, Some("mem-ctrl"), &contents);
    let (starts, mut machine) = Starts::new(kit, setup, log)?;
    let request = Request::ReplaceForever { path: PATH.to_owned() };
    let (mut there, mut moment) = (0, Moment::of(kit, name, 1, LATEST));
    for cut in 1..=CUTS {
        let later = Duration::from_micros(random(name) % LATER);
        let acknowledged = moment
            .cut_later(machine, &request, there, later)
            .with_context(|| format!("before power cut {cut}, {moment:?}"))?;
        moment = Moment::of(kit, name, cut + 1, LATEST);
        machine = starts.start(&starts.setup.round(cut.into(), None), log)?;
        mount_again(&mut machine)?;
        writeln!(log, "power cut {cut}, {acknowledged} acknowledged; the next one: {moment:?}")?;
        there = after_power_cut(&mut machine, acknowledged, log)
            .with_context(|| format!("after power cut {cut}"))?;
        machine = moment.arm(machine, &starts, cut + 1, log)?;
    }
    machine.power_off()
}

/// Checks that the store has the last acknowledged transaction or the next one. Returns its number.
fn after_power_cut(machine: &mut Machine, acknowledged: u64, log: &mut Log) -> Result<u64> {
    let found = read(machine)?;
    writeln!(log, "{found:?}")?;
    let there = whole(&found)?;
    at_least(there, acknowledged)?;
    ensure!(there <= acknowledged + 1, "{there} is there, and {acknowledged} was the last");
    Ok(there)
}

/// Returns the number of the transaction that a store has, of which nothing is missing.
fn whole(found: &Found) -> Result<u64> {
    ensure!(AFTER_A_CUT.contains(&found.origin.as_str()), "{} had happened", found.origin);
    ensure!(found.damaged == Some(Vec::new()), "damaged: {:?}", found.damaged);
    let [state, registers] = [STATE, REGISTERS].map(|name| found.blobs.get(name).copied());
    ensure!(state == registers, "{STATE} is of {state:?}, {REGISTERS} of {registers:?}");
    state.context("nothing is there")
}
