//! An NVDIMM that is plugged while the machine runs: the events after which the next kernel finds it.
//!
//! Firmware lists the NVDIMMs of the boot in a table (NFIT), and a method (`_FIT`) lists those of the moment. Linux asks
//! the method when one is plugged, and at its start if there is a table (`drivers/acpi/nfit/core.c`, `acpi_nfit_add`).

use core::time::Duration;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::Request;
use serde_json::json;

use super::canary::{self, COMMAND, kept, plant};
use super::media::{DEVICES, device_of};
use super::{
    Contents, DAX, DIRECTORY, Kit, LINE, Lane, Log, Machine, Setup, expect, expect_value,
    found_again_on, make_ext4, make_namespace, nvdimm_slots, preserve, probe, records,
};

/// The claim of the emulator's firmware.
const CLAIM: Option<&str> = Some("mem-ctrl");
/// The address of the plugged NVDIMM: the first one that is unused.
const ADDRESS: &str = "0x100000000";
/// Another NVDIMM, behind it, which is there at the start.
const ANOTHER: [&str; 4] = [
    "-object",
    "memory-backend-ram,id=another,size=256M",
    "-device",
    "nvdimm,memdev=another,addr=0x120000000",
];
/// Persisted before and found after each event.
const RECORDS: &str = "/mnt/records";
/// Acknowledged transactions before the power is cut.
const ENOUGH: u64 = 50;

pub(super) fn lanes() -> Vec<Lane> {
    let lane = canary::lane(
        "machine/x86_64/hot-plug",
        "a hot-plugged NVDIMM is persisted by lines, and is found after a reset, when it is plugged again after a power \
         cut, and after a kexec if the machine had one at its start",
        hot_plug,
    );
    // Most of it is a fact about the kernel.
    vec![lane.long()]
}

fn hot_plug(kit: &Kit, command: &PathBuf, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let mut setup = nvdimm_slots(name, CLAIM, &contents).with_kexec();
    setup.files.file(COMMAND, command);
    let machine = into_a_machine_without(kit, &setup, &contents, log)?;
    let request = Request::ReplaceForever { path: preserve::PATH.to_owned() };
    let acknowledged = machine.acknowledged_until_power_cut(&request, ENOUGH)?;
    let setup = setup.devices(ANOTHER);
    into_a_machine_with_another(kit, &setup, &contents, acknowledged, log)
}

/// Plugs the first NVDIMM of a machine. Returns the machine with it mounted.
fn into_a_machine_without(
    kit: &Kit,
    setup: &Setup,
    contents: &Contents,
    log: &mut Log,
) -> Result<Machine> {
    let (mut machine, mut control) = Machine::start_controlled(kit, setup, log)?;
    let report = machine.json(&Request::Report)?;
    expect_value(&report, "/regions/list", Vec::<String>::new())?;

    control.plug_nvdimm(&contents.object())?;
    make_namespace(&mut machine, "region0", "fsdax")?;
    let report = machine.json(&Request::Report)?;
    expect_value(&report, "/regions/list/0/domain", "memory_controller")?;
    let device = device(&mut machine, log)?;
    make_ext4(&mut machine, &device, DAX)?;
    let written = records(RECORDS, 1);
    expect(&machine.persist(&written)?, LINE)?;
    is_found(&mut machine)?;
    machine.document(&plant(DIRECTORY))?;

    machine.kexec()?;
    let left = machine.list(DEVICES)?;
    ensure!(left.is_empty(), "a kexec without the firmware's table has found {left:?}");
    // The kernel asks the method, which lists both.
    control.plug_nvdimm(&json!({
        "qom-type": "memory-backend-ram", "id": "another", "size": 256 << 20,
    }))?;
    let device = self::device(&mut machine, log)?;
    kept(&mut machine, &device, 0).context("after a kexec and the plugging of another")?;
    machine.verify(&written)?;

    machine.reboot()?;
    let lost = machine.lost_lines()?;
    ensure!((lost > 0) == machine.loses(), "{lost} lines lost");
    let device = self::device(&mut machine, log)?;
    kept(&mut machine, &device, lost).context("after a reset through firmware")?;
    machine.verify(&written)?;
    is_found(&mut machine)?;
    Ok(machine)
}

/// Plugs the NVDIMM into a machine that has another one.
fn into_a_machine_with_another(
    kit: &Kit,
    setup: &Setup,
    contents: &Contents,
    acknowledged: u64,
    log: &mut Log,
) -> Result<()> {
    let (mut machine, mut control) = Machine::start_controlled(kit, setup, log)?;
    control.plug_nvdimm(&contents.object())?;
    let written = records(RECORDS, 1);
    let device = device(&mut machine, log)?;
    found_again_on(&mut machine, &device, DAX, &written)
        .context("plugged again after a power cut")?;
    is_found(&mut machine)?;
    preserve::after_power_cut(&mut machine, acknowledged, log)?;

    machine.kexec()?;
    let device = self::device(&mut machine, log)?;
    found_again_on(&mut machine, &device, DAX, &written).context("after a kexec")?;
    is_found(&mut machine)?;
    machine.power_off()
}

/// Waits for the NVDIMM. Returns its device, whose name can be another one in each boot.
fn device(machine: &mut Machine, log: &mut Log) -> Result<String> {
    let patience = Instant::now() + Duration::from_secs(120);
    while Instant::now() < patience {
        let names = machine.list(DEVICES)?;
        for region in names.iter().filter(|name| name.starts_with("region")) {
            let address = machine.read(&format!("{DEVICES}/{region}/resource"))?;
            if address.as_deref() == Some(ADDRESS) {
                writeln!(log, "the NVDIMM is {region} of {names:?}")?;
                return device_of(machine, region);
            }
        }
    }
    bail!("no region of the machine is at {ADDRESS}")
}

/// Checks that the library finds the NVDIMM under the records, with the claim of its firmware.
fn is_found(machine: &mut Machine) -> Result<()> {
    let guarantee = probe(machine, RECORDS)?;
    expect_value(&guarantee, "/backing", "pmem_adr")?;
    expect_value(&guarantee, "/region/domain", "memory_controller")
}
