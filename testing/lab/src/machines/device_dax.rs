//! Device DAX: the mappings that the library makes of it, and those that it refuses.

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::{Part, Records, Request};

use super::requests::Library as _;
use super::{
    LINE, Machine, Stage, Transcript, expect, expect_value, make_namespace, probe, records,
};

pub(super) const DEVICE: &str = "/dev/dax0.0";
/// The default alignment of a namespace's mappings in the kernel.
const ALIGNMENT: u64 = 2 << 20;
/// The part from the second unit on.
const PART: Part = Part { offset: ALIGNMENT, len: Some(2 * ALIGNMENT) };

pub(super) fn emulated_device(stage: &Stage, log: &mut Transcript) -> Result<()> {
    let mut machine = Machine::start(&stage.kit, &stage.emulated(), log)?;
    make_namespace(&mut machine, "region0", "devdax")?;
    machine.wait_for(DEVICE)?;
    let guarantee = probe(&mut machine, DEVICE)?;
    expect_value(&guarantee, "/backing", "emulated_pmem")?;
    expect_value(&guarantee, "/region/domain", "none")?;
    let written = records(DEVICE, 21);
    expect(&machine.persist_on_device(&written, PART)?, LINE)?;
    // A region without DIMMs has no such attribute (Linux drivers/nvdimm/region_devs.c).
    let why = machine.refusal(&Request::DeepPersist { path: DEVICE.to_owned() })?;
    ensure!(
        why.contains("buffers were not flushed") && why.contains("region0/deep_flush: absent"),
        "a deep persist without the attribute: {why}"
    );

    machine.reboot()?;
    machine.wait_for(DEVICE)?;
    machine.verify_on_device(&written, PART).context("after a reset through firmware")?;
    without_driver(&mut machine)?;
    machine.power_off()
}

/// A device without a driver does not exist for programs.
fn without_driver(machine: &mut Machine) -> Result<()> {
    let unbind = String::from("/sys/bus/dax/drivers/device_dax/unbind");
    machine.write(&unbind, "dax0.0")?;
    let why = machine.refusal(&Request::Probe { path: DEVICE.to_owned() })?;
    ensure!(why.contains("has no driver"), "a device without a driver: {why}");
    Ok(())
}

/// Makes a device of the NVDIMM's region, has the library store on it and persist, deep too, and checks the refusals.
/// Returns the records.
pub(super) fn on_nvdimm(
    machine: &mut Machine,
    [domain, backing, granularity]: [&str; 3],
) -> Result<Records> {
    make_namespace(machine, "region0", "devdax")?;
    machine.wait_for(DEVICE)?;
    let guarantee = probe(machine, DEVICE)?;
    expect_value(&guarantee, "/is_device_dax", true)?;
    expect_value(&guarantee, "/alignment", ALIGNMENT)?;
    expect_value(&guarantee, "/device", "dax0.0")?;
    expect_value(&guarantee, "/region/domain", domain)?;
    expect_value(&guarantee, "/backing", backing)?;
    // QEMU's NVDIMMs have no count (no such _DSM), and the library must not invent one.
    expect_value(&guarantee, "/devices/0/name", "nmem0")?;
    let pointer = "/devices/0/unsafe_shutdowns/reason";
    expect_value(&guarantee, pointer, "/sys/bus/nd/devices/nmem0/nfit/dirty_shutdown: absent")?;

    let written = records(DEVICE, 20);
    expect(&machine.persist_on_device(&written, PART)?, granularity)?;
    // Without flush hints the kernel does not flush (Linux drivers/nvdimm/region_devs.c).
    let attribute = machine.read("/sys/bus/nd/devices/region0/deep_flush")?;
    ensure!(attribute.as_deref() == Some("0"), "deep_flush reads {attribute:?}");
    machine.doing(&Request::DeepPersist { path: DEVICE.to_owned() })?;
    machine.verify_on_device(&written, PART)?;
    refusals(machine, &written)?;
    Ok(written)
}

fn refusals(machine: &mut Machine, records: &Records) -> Result<()> {
    let parts = [
        (4096, Some(ALIGNMENT), "offset 4096 is not a multiple of 2097152"),
        (0, Some(4096), "length 4096 is not a multiple of 2097152"),
        (1 << 40, None, "offset and length need"),
    ];
    for (offset, len, reason) in parts {
        let part = Part { offset, len };
        let why = machine.refusal(&Request::PersistOnDevice(records.clone(), part))?;
        ensure!(why.contains(reason), "{part:?} is refused otherwise: {why}");
    }
    let why = machine.refusal(&Request::Persist(records.clone()))?;
    ensure!(why.contains("exists already; open it"), "creating a device: {why}");
    let why = machine.refusal(&Request::Probe { path: String::from("/dev/null") })?;
    ensure!(why.contains("is not a regular file"), "another device is refused otherwise: {why}");
    // A second process is refused by the lock, and a killed process leaves no lock.
    machine.run(&format!("/init contend {DEVICE}"))
}

/// Checks the records of a device after a new start of the machine.
pub(super) fn found_again(machine: &mut Machine, written: &Records) -> Result<()> {
    machine.wait_for(DEVICE)?;
    machine.verify_on_device(written, PART)
}
