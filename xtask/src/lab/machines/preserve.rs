//! A store of blobs whose process is killed and whose machine ends: what was committed is there as a whole, what was
//! not is not, and the store says what has happened.

use core::time::Duration;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::Request;
use cachemaint_lab_protocol::store::{Found, MEMORY, MEMORY_LEN, REGISTERS, STATE};

use super::power::random;
use super::{
    Contents, DAX, SIGKILL, Setup, at_least, count, lane, make_ext4, make_namespace, mount_again,
    nvdimm,
};
use crate::lab::architecture::Architecture;
use crate::lab::kit::Kit;
use crate::lab::lane::Lane;
use crate::lab::machine::Machine;
use crate::log::Log;

/// The store.
const PATH: &str = "/mnt/store";

/// As the machines with emulated pmem have it, but with room for two large blobs.
const EMULATED: &str = "memmap=320M!1G";
/// How long the machine may run that writes and reads the large blob some times.
const LIMIT: Duration = Duration::from_secs(600);

/// What had happened, as the library names it.
const UNKNOWN: &str = "unknown";
const SAME_BOOT: &str = "same boot, another process";
const KEXEC: &str = "kexec";
const WARM_REBOOT: &str = "reboot through firmware";
/// After a power cut: whether it was one only a counter of the memory's can tell, which the emulator's has not.
const AFTER_A_CUT: [&str; 2] = ["reboot of an unknown kind", "power loss or unsafe shutdown"];

/// Power cuts.
const CUTS: u32 = 3;
/// The power is cut after so many commits at most.
const LATEST: u64 = 300;
/// And then after so many microseconds at most, in which there are some more.
const LATER: u64 = 20_000;

pub(super) fn lanes() -> Vec<Lane> {
    vec![
        lane(
            Architecture::X86,
            "preserve",
            "a store has its committed blobs, one of 100 MB, after SIGKILL during a transaction, a kexec, and sealed \
             a reset, and tells each from the others",
            kills_and_starts,
        ),
        lane(
            Architecture::X86,
            "preserve-power-cut",
            "NVDIMM: after a power cut a store has the last acknowledged transaction or the next one, as a whole",
            power_cuts,
        ),
    ]
}

fn kills_and_starts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let mut setup = Setup::new(name, "pc", "1536M").kernel(EMULATED).with_kexec();
    setup.limit = LIMIT;
    let mut machine = Machine::start(kit, &setup, log)?;
    make_ext4(&mut machine, "/dev/pmem0", DAX)?;
    replace_until_killed(&mut machine, log)?;
    let mut expected = Found {
        origin: SAME_BOOT.to_owned(),
        was_sealed: false,
        damaged: None,
        mended: Vec::new(),
        history: vec![UNKNOWN.to_owned()],
        blobs: [(MEMORY, 1), (REGISTERS, 2)].map(|(name, number)| (name.to_owned(), number)).into(),
    };
    found(&mut machine, &expected).context("after SIGKILL")?;

    machine.kexec()?;
    mount_again(&mut machine)?;
    // It was not sealed, so all is verified.
    expected = Found { damaged: Some(Vec::new()), ..starting(expected, KEXEC) };
    found(&mut machine, &expected).context("after a kexec")?;

    machine.run(&format!("/init seal-store {PATH}"))?;
    machine.reboot()?;
    mount_again(&mut machine)?;
    expected = Found { was_sealed: true, damaged: None, ..starting(expected, WARM_REBOOT) };
    found(&mut machine, &expected).context("sealed, after a reset through firmware")?;

    // What is not committed leaves it sealed.
    replace_until_killed(&mut machine, log)?;
    expected = Found { origin: SAME_BOOT.to_owned(), ..expected };
    found(&mut machine, &expected).context("after another SIGKILL")?;
    machine.power_off()
}

/// What is found in another boot.
fn starting(mut before: Found, origin: &str) -> Found {
    before.history.push(origin.to_owned());
    Found { origin: origin.to_owned(), ..before }
}

/// Has a process replace all blobs, and kills it when it has written some of the large one.
fn replace_until_killed(machine: &mut Machine, log: &mut Log) -> Result<()> {
    let enough = 1 + random() % (MEMORY_LEN as u64 / 2);
    let line = format!("/init replace-until-killed {PATH} {enough}");
    let document = machine.document_before_signal(&line, SIGKILL)?;
    let written = count(&document, "/written")?;
    writeln!(log, "SIGKILL after {written} bytes of a transaction")?;
    Ok(())
}

fn found(machine: &mut Machine, expected: &Found) -> Result<()> {
    let found = read(machine)?;
    ensure!(found == *expected, "{found:?} instead of {expected:?}");
    Ok(())
}

/// Opens the store; every blob has the bytes of its number.
fn read(machine: &mut Machine) -> Result<Found> {
    let found = machine.document(&format!("/init read-store {PATH}"))?;
    Ok(serde_json::from_value(found)?)
}

fn power_cuts(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm(name, Some("mem-ctrl"), &contents);
    let mut machine = Machine::start(kit, &setup, log)?;
    make_namespace(&mut machine, "region0", "fsdax")?;
    make_ext4(&mut machine, "/dev/pmem0", DAX)?;
    let request = Request::ReplaceForever { path: PATH.to_owned() };
    let mut there = 0;
    for cut in 1..=CUTS {
        let enough = there + 1 + random() % LATEST;
        let later = Duration::from_micros(random() % LATER);
        let acknowledged = machine
            .acknowledged_until_later_power_cut(&request, enough, later)
            .with_context(|| format!("before power cut {cut}"))?;
        machine = Machine::start(kit, &setup, log)?;
        mount_again(&mut machine)?;
        let found = read(&mut machine).with_context(|| format!("after power cut {cut}"))?;
        writeln!(
            log,
            "power cut {cut}: {enough}, {later:?} later {acknowledged} acknowledged, {found:?}"
        )?;
        there = whole(&found).with_context(|| format!("after power cut {cut}"))?;
        at_least(there, acknowledged)?;
        ensure!(there <= acknowledged + 1, "{there} is there, and {acknowledged} was the last");
    }
    machine.power_off()
}

/// The number of the transaction that a store has, of which nothing is missing.
fn whole(found: &Found) -> Result<u64> {
    ensure!(AFTER_A_CUT.contains(&found.origin.as_str()), "{} had happened", found.origin);
    ensure!(found.damaged == Some(Vec::new()), "damaged: {:?}", found.damaged);
    let [state, registers] = [STATE, REGISTERS].map(|name| found.blobs.get(name).copied());
    ensure!(state == registers, "{STATE} is of {state:?}, {REGISTERS} of {registers:?}");
    state.context("nothing is there")
}
