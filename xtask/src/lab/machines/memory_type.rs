//! The memory type of a mapping, as the kernel and the firmware's registers set it, when both are changed.

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::Request;
use serde_json::Value;

use super::{
    Architecture, DAX, DIRECTORY, Kit, LINE, Lane, Log, Machine, PMEM0, emulated, expect,
    expect_value, lane, probe, records, start_on_dax,
};

/// The range that is set aside as pmem, in the words of `/proc/mtrr` (Linux,
/// `Documentation/arch/x86/mtrr.rst`).
const WRITE_THROUGH: &str = "base=0x40000000 size=0x10000000 type=write-through\n";
const DRIVER: &str = "/sys/bus/nd/drivers/nd_pmem";

pub(super) fn lanes() -> Vec<Lane> {
    vec![lane(
        Architecture::X86,
        "memory-type",
        "the memory type of pmem is read as the kernel and the MTRRs set it, or the reason is reported",
        memory_type,
    )]
}

fn memory_type(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let mut machine = start_on_dax(kit, &emulated(name), log)?;
    let written = records("/mnt/records", 20);
    expect(&machine.persist(&written)?, LINE)?;

    let hidden = caching(&mut machine, Value::Null).context("without debugfs")?;
    let advice = hidden.get("advice").and_then(Value::as_str).unwrap_or_default();
    ensure!(advice.contains("mount -t debugfs"), "without debugfs it advises {advice:?}");
    machine.mount_as("debugfs", "none", "/sys/kernel/debug", "")?;
    caching(&mut machine, "write_back").context("as the kernel maps it")?;

    // Mapped write-back, and a range of write-through: together write-through (Intel SDM vol. 3A,
    // "Effective Page-Level Memory Types").
    machine.doing(&Request::Write {
        path: String::from("/proc/mtrr"),
        text: WRITE_THROUGH.to_owned(),
    })?;
    caching(&mut machine, "write_through").context("with an MTRR")?;
    machine.verify(&written)?;

    // A kernel that maps the range now asks the MTRRs, and falls back to UC- (Linux, `arch/x86/mm/pat/memtype.c`,
    // `pat_x_mtrr_type`).
    machine.unmount(DIRECTORY)?;
    for verb in ["unbind", "bind"] {
        let path = format!("{DRIVER}/{verb}");
        machine.doing(&Request::Write { path, text: String::from("namespace0.0") })?;
    }
    machine.wait_for(PMEM0)?;
    machine.mount(PMEM0, DIRECTORY, DAX)?;
    let bound_anew =
        if follows_list(&mut machine)? { Value::from("uncached") } else { Value::Null };
    caching(&mut machine, bound_anew).context("bound anew with an MTRR")?;
    machine.verify(&written)?;
    machine.power_off()
}

/// Returns true if the kernel maps a file's pages as its list says: up to Linux 6.14 (`fs/dax.c`).
fn follows_list(machine: &mut Machine) -> Result<bool> {
    let release = machine.read("/proc/sys/kernel/osrelease")?.context("no release")?;
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor) < (6, 15)),
        _ => anyhow::bail!("the release is {release}"),
    }
}

/// Checks the memory type that was read for the records' file. Returns the whole answer.
fn caching(machine: &mut Machine, expected: impl Into<Value>) -> Result<Value> {
    let guarantee = probe(machine, "/mnt/records")?;
    expect_value(&guarantee, "/caching/read", expected)?;
    expect_value(&guarantee, "/caching/by_rule", "write_back")?;
    guarantee.get("caching").cloned().context("no caching")
}
