//! arm64 machines with pmem, described by ACPI (NFIT) and by a device tree, on CPUs without DC CVAP
//! and with it.

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::{Records, Request};

use super::requests::Library as _;
use super::tree::{Kind, Tree};
use super::{
    Contents, DAX, LINE, Machine, PAGE, PMEM0, Stage, Transcript, expect, expect_value,
    found_again, make_ext4, make_namespace, nvdimm_board, probe, records,
};

/// QEMU's firmware makes no claim for NVDIMMs of arm64 machines: the region has no domain.
pub(super) fn nvdimm_acpi(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm_board(kit, name, &contents);
    let mut machine = Machine::start(kit, &setup, log)?;
    chooses(&mut machine, "dc cvap")?;
    make_namespace(&mut machine, "region0", "fsdax")?;
    make_ext4(&mut machine, PMEM0, DAX)?;
    let written = records("/mnt/records", 11);
    expect(&machine.persist(&written)?, LINE)?;
    let guarantee = probe(&mut machine, "/mnt/records")?;
    expect_value(&guarantee, "/region/domain", "unknown")?;
    machine.reboot()?;
    found_again(&mut machine, &written).context("after a reset")?;
    machine.power_off()
}

/// The region counts as one with its domain at the memory controller, for any memory that it names (Linux
/// `drivers/nvdimm/of_pmem.c`).
pub(super) fn device_tree(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let tree = Tree::new(kit, name, ("neoverse-n1", 1), Kind::Pmem)?;
    let mut machine = Machine::start(kit, &tree.setup.clone().with_kexec(), log)?;
    chooses(&mut machine, "dc cvap")?;
    make_ext4(&mut machine, PMEM0, DAX)?;
    let written = records("/mnt/records", 12);
    expect(&machine.persist(&written)?, LINE)?;
    let guarantee = probe(&mut machine, "/mnt/records")?;
    expect_value(&guarantee, "/region/domain", "memory_controller")?;
    machine.reboot()?;
    found_again(&mut machine, &written).context("after a reset")?;
    machine.kexec()?;
    found_again(&mut machine, &written).context("after a kexec")?;
    machine.power_off()
}

pub(super) fn without_cvap(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let mut tree = Tree::new(kit, name, ("cortex-a57", 1), Kind::Pmem)?;
    // The kernel has no other instruction there than DC CVAC, and relies on it.
    if let Some(losses) = &mut tree.setup.losses {
        losses.more.push(String::from("point=coherency"));
    }
    let mut machine = Machine::start(kit, &tree.setup, log)?;
    let report = machine.json(&Request::Report)?;
    expect_value(&report, "/cpu/writeback/coherency/instruction", "dc cvac")?;
    expect_value(&report, "/cpu/writeback/persistence/available", false)?;
    make_ext4(&mut machine, PMEM0, DAX)?;
    let written = records("/mnt/records", 13);
    let why = machine.refusal(&Request::Persist(written.clone()))?;
    ensure!(why.contains("this CPU cannot write back to the point of persistence"), "{why}");
    let written = Records { allow_pages: true, ..written };
    expect(&machine.persist(&written)?, PAGE)?;
    machine.reboot()?;
    found_again(&mut machine, &written).context("after a reset")?;
    machine.power_off()
}

/// RAM is behind the point of coherency.
pub(super) fn ram_device_tree(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let tree = Tree::new(kit, name, ("cortex-a72", 1), Kind::Ram)?;
    let mut machine = Machine::start(kit, &tree.setup.clone().with_kexec(), log)?;
    let report = machine.json(&Request::Report)?;
    expect_value(&report, "/cpu/writeback/persistence/available", false)?;
    make_ext4(&mut machine, PMEM0, DAX)?;
    let written = records("/mnt/records", 15);
    expect(&machine.persist(&written)?, LINE)?;
    let guarantee = probe(&mut machine, "/mnt/records")?;
    expect_value(&guarantee, "/region/domain", "none")?;
    expect_value(&guarantee, "/backing", "emulated_pmem")?;
    machine.reboot()?;
    found_again(&mut machine, &written).context("after a reset")?;
    machine.kexec()?;
    found_again(&mut machine, &written).context("after a kexec")?;
    machine.power_off()
}

/// Checks the report's instruction of the point of persistence: these CPUs reach no deeper one.
fn chooses(machine: &mut Machine, persistence: &str) -> Result<()> {
    let report = machine.json(&Request::Report)?;
    expect_value(&report, "/cpu/writeback/persistence/instruction", persistence)?;
    expect_value(&report, "/cpu/writeback/deep_persistence/available", false)
}
