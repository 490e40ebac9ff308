//! Lanes of each kind of medium.

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::{Records, Request};

use super::requests::Library as _;
use super::{
    Contents, DAX, DIRECTORY, EMULATED, LINE, Machine, PAGE, PMEM0, Setup, Stage, Transcript,
    device_dax, emulated, emulated_with, expect, expect_value, found_again, make_ext4,
    make_namespace, nvdimm, probe, records, set_aside, start_on_dax,
};

pub(super) fn emulated_pmem(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let mut machine = start_on_dax(kit, &emulated(name).with_kexec(), log)?;
    let written = records("/mnt/records", 1);
    expect(&machine.persist(&written)?, LINE)?;
    let guarantee = probe(&mut machine, "/mnt/records")?;
    expect_value(&guarantee, "/backing", "emulated_pmem")?;
    expect_value(&guarantee, "/region/domain", "none")?;

    // Nothing is unmounted first: persisting must be enough.
    machine.reboot()?;
    found_again(&mut machine, &written).context("after a reset through firmware")?;
    machine.panic()?;
    found_again(&mut machine, &written).context("after a panic")?;
    machine.kexec()?;
    found_again(&mut machine, &written).context("after a kexec")?;
    machine.power_off()
}

pub(super) fn xfs(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    // The smallest file system that mkfs.xfs makes has 300 MiB.
    let mut machine = Machine::start(kit, &emulated_with(name, 2048, 512), log)?;
    machine.wait_for(PMEM0)?;
    machine.run("/bin/mkfs.xfs -q -f -m reflink=0 /dev/pmem0")?;
    machine.mount_as("xfs", PMEM0, DIRECTORY, DAX)?;
    let written = records("/mnt/records", 2);
    expect(&machine.persist(&written)?, LINE)?;
    machine.reboot()?;
    machine.wait_for(PMEM0)?;
    machine.mount_as("xfs", PMEM0, DIRECTORY, DAX)?;
    machine.verify(&written)?;
    machine.power_off()
}

pub(super) fn without_dax(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let mut machine = Machine::start(kit, &emulated(name), log)?;
    make_ext4(&mut machine, PMEM0, "dax=never")?;
    let written = records("/mnt/records", 3);
    refused(&mut machine, &written, "does not map this file directly")?;
    let written = Records { allow_pages: true, ..written };
    expect(&machine.persist(&written)?, PAGE)?;
    machine.verify(&written)?;
    machine.power_off()
}

/// Checks that the file is refused with whole pages as the reason, and leaves nothing behind.
fn refused(machine: &mut Machine, records: &Records, reason: &str) -> Result<()> {
    let why = machine.refusal(&Request::Persist(records.clone()))?;
    let expected = format!("{}: can only be made persistent in whole pages: ", records.path);
    ensure!(why.starts_with(&expected) && why.contains(reason), "refused otherwise: {why}");
    let left = machine.list(DIRECTORY)?;
    ensure!(left == ["lost+found"], "left of a refused file: {left:?}");
    Ok(())
}

pub(super) fn nvdimm_adr(stage: &Stage, log: &mut Transcript) -> Result<()> {
    nvdimm_with(stage, log, Some("mem-ctrl"), ["memory_controller", "pmem_adr", LINE])
}

pub(super) fn nvdimm_eadr(stage: &Stage, log: &mut Transcript) -> Result<()> {
    nvdimm_with(stage, log, Some("cpu"), ["cpu_caches", "pmem_eadr", "byte"])
}

pub(super) fn nvdimm_bare(stage: &Stage, log: &mut Transcript) -> Result<()> {
    nvdimm_with(stage, log, None, ["unknown", "pmem_unknown", LINE])
}

/// Checks that an NVDIMM's files and devices get the domain that its firmware claims, and that persisted records are
/// there after a reset, and in another machine.
fn nvdimm_with(
    Stage { kit, name, .. }: &Stage,
    log: &mut Transcript,
    claim: Option<&str>,
    [domain, backing, granularity]: [&str; 3],
) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm(name, claim, &contents);
    let mut machine = Machine::start(kit, &setup, log)?;
    make_namespace(&mut machine, "region0", "fsdax")?;
    make_ext4(&mut machine, PMEM0, DAX)?;
    let written = records("/mnt/records", 4);
    expect(&machine.persist(&written)?, granularity)?;
    let guarantee = probe(&mut machine, "/mnt/records")?;
    expect_value(&guarantee, "/backing", backing)?;
    expect_value(&guarantee, "/region/domain", domain)?;
    let report = machine.json(&Request::Report)?;
    expect_value(&report, "/regions/list/0/domain", domain)?;
    machine.power_off()?;

    let mut machine = Machine::start(kit, &setup, log)?;
    found_again(&mut machine, &written).context("in another machine")?;
    machine.doing(&Request::DeepPersist { path: written.path })?;
    machine.unmount(DIRECTORY)?;
    let written = device_dax::on_nvdimm(&mut machine, [domain, backing, granularity])?;
    machine.reboot()?;
    device_dax::found_again(&mut machine, &written).context("after a reset through firmware")?;
    machine.power_off()?;

    let mut machine = Machine::start(kit, &setup, log)?;
    device_dax::found_again(&mut machine, &written).context("on a device, in another machine")?;
    machine.power_off()
}

/// Returns a PC with the contents as virtio-pmem.
pub(super) fn with_virtio_pmem(name: &str, contents: &Contents) -> Setup {
    Setup::new(name, "q35", "768M,maxmem=4G")
        .devices(["-object", &contents.backend()])
        .devices(["-device", "virtio-pmem-pci,memdev=contents"])
}

pub(super) fn virtio_pmem(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = with_virtio_pmem(name, &contents);
    let mut machine = start_on_dax(kit, &setup, log)?;
    let written = records("/mnt/records", 5);
    refused(&mut machine, &written, "virtio-pmem reaches the host only by flush requests")?;
    let written = Records { allow_pages: true, ..written };
    expect(&machine.persist(&written)?, PAGE)?;
    expect_value(&probe(&mut machine, "/mnt/records")?, "/backing", "virtio_pmem")?;
    machine.power_off()?;

    let mut machine = Machine::start(kit, &setup, log)?;
    found_again(&mut machine, &written).context("in another machine")?;
    machine.unmount(DIRECTORY)?;
    make_namespace(&mut machine, "region0", "devdax")?;
    machine.wait_for(device_dax::DEVICE)?;
    // The kernel grants MAP_SYNC on it (Linux drivers/dax/bus.c).
    let why = machine.refusal(&Request::Probe { path: String::from(device_dax::DEVICE) })?;
    ensure!(why.contains("cannot be made persistent: virtio-pmem"), "refused otherwise: {why}");
    machine.power_off()
}

/// Returns a PC with two regions: an NVDIMM with the caches in its domain, and RAM set aside. QEMU has one claim for
/// all NVDIMMs of a machine, and RAM has none.
pub(super) fn with_two_regions(name: &str, contents: &Contents) -> Setup {
    let mut setup = nvdimm(name, Some("cpu"), contents).kernel(&set_aside(EMULATED));
    setup.memory = String::from("1536M,slots=2,maxmem=4G");
    setup
}

pub(super) fn two_regions(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let mut machine = Machine::start(kit, &with_two_regions(name, &contents), log)?;
    let (claimed, volatile) = regions(&mut machine)?;
    make_namespace(&mut machine, &claimed, "fsdax")?;
    let expected = [(claimed, "cpu_caches", "byte"), (volatile, "none", LINE)];
    for (region, domain, granularity) in expected {
        let device = device_of(&mut machine, &region)?;
        make_ext4(&mut machine, &device, DAX)?;
        let written = records("/mnt/records", 6);
        expect(&machine.persist(&written)?, granularity)?;
        let guarantee = probe(&mut machine, "/mnt/records")?;
        expect_value(&guarantee, "/region/name", region)?;
        expect_value(&guarantee, "/region/domain", domain)?;
        machine.unmount(DIRECTORY)?;
    }
    machine.power_off()
}

pub(super) const DEVICES: &str = "/sys/bus/nd/devices";

/// Returns the names of the region that has a claim and of the one that has none: the kernel hides the attribute of RAM
/// (`drivers/nvdimm/region_devs.c`, `region_visible`).
pub(super) fn regions(machine: &mut Machine) -> Result<(String, String)> {
    machine.wait_for(&format!("{DEVICES}/region1"))?;
    let first = machine.read(&format!("{DEVICES}/region0/persistence_domain"))?;
    let second = machine.read(&format!("{DEVICES}/region1/persistence_domain"))?;
    let names = (String::from("region0"), String::from("region1"));
    match (first.as_deref(), second.as_deref()) {
        (Some("cpu_cache"), None) => Ok(names),
        (None, Some("cpu_cache")) => Ok((names.1, names.0)),
        other => anyhow::bail!("the regions' domains are {other:?}"),
    }
}

/// Returns the block device of the namespace on a region.
pub(super) fn device_of(machine: &mut Machine, region: &str) -> Result<String> {
    let number = region.strip_prefix("region").context("no region")?;
    let name = format!("pmem{number}");
    machine.wait_for(&format!("/dev/{name}"))?;
    Ok(format!("/dev/{name}"))
}
