//! Lanes on whole machines: the library reports the promise of each medium, and persisted records
//! are there after a kexec, a reset through firmware, a power cut.

mod arm64;
mod bad_blocks;
mod canary;
mod device_dax;
mod drive_formats;
mod flush;
mod guard;
mod libpmem;
mod lose_c;
mod media;
mod oldest_kernel;
mod power;
mod requests;
mod riscv64;
mod suite;
mod tracer;
mod tree;
mod trials;
mod vm_restart;

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::{Persisted, Records, Request};
use lose_lines::architecture::Architecture;
use lose_lines::kit::Kit;
use lose_lines::log::Log;
use lose_lines::machine::Machine;
use lose_lines::machine::setup::Setup;
use lose_lines::pmem::{
    Contents, DAX, DIRECTORY, EMULATED, LIMIT, PMEM0, dax_machine, emulated, emulated_with,
    make_ext4, make_namespace, mount_again, nvdimm, nvdimm_board, set_aside, start_on_dax,
};
use serde_json::Value;

use self::requests::Library as _;
use crate::lab::Lab;
use crate::lane::Lane;

/// The mount options with which ext4 does not commit by itself what a program has left out (Linux,
/// `Documentation/admin-guide/ext4.rst`).
const WITHOUT_COMMITS: &str = "dax=always,commit=3600";

/// Granularities, as the library names them.
const LINE: &str = "cache line (64 bytes)";
const PAGE: &str = "page (4096 bytes)";

pub(super) fn lanes() -> Vec<Lane> {
    let mut lanes = media::lanes();
    lanes.extend(device_dax::lanes());
    lanes.extend(arm64::lanes());
    lanes.extend(power::lanes());
    lanes.extend(lose_c::lanes());
    lanes.extend(drive_formats::lanes());
    lanes.extend(libpmem::lanes());
    lanes.extend(vm_restart::lanes());
    lanes.extend(bad_blocks::lanes());
    lanes.extend(canary::lanes());
    lanes.extend(tracer::lanes());
    lanes.extend(guard::lanes());
    lanes.extend(suite::lanes());
    lanes.extend(oldest_kernel::lanes());
    lanes.extend(riscv64::lanes());
    lanes.extend(flush::lanes());
    lanes.extend(trials::lanes());
    lanes
}

/// The steps of a lane on its machines.
type Story = fn(&Kit, &str, &mut Log) -> Result<()>;

/// Returns a lane on machines of an architecture. `prepare` makes the further things that its steps need.
fn lane_with<T: 'static>(
    architecture: Architecture,
    name: &str,
    proves: &str,
    prepare: impl FnOnce(&Lab) -> Result<T> + Send + 'static,
    story: impl FnOnce(&Kit, &T, &str, &mut Log) -> Result<()> + Send + 'static,
) -> Lane {
    let name = name.to_owned();
    Lane::new(name.clone(), proves, move |lab| {
        let needed = prepare(lab)?;
        let kit = lab.kit(architecture)?;
        Ok(Box::new(move |log| story(&kit, &needed, &name, log)))
    })
}

/// Returns a lane that needs nothing else.
fn lane(architecture: Architecture, name: &str, proves: &str, story: Story) -> Lane {
    let name = format!("machine/{}/{name}", architecture.qemu());
    lane_with(
        architecture,
        &name,
        proves,
        |_lab| Ok(()),
        move |kit, (), name, log| story(kit, name, log),
    )
}

/// Returns a lane that needs a machine which loses lines.
fn losing_lane(
    architecture: Architecture,
    name: &str,
    proves: &str,
    story: impl FnOnce(&Kit, &str, &mut Log) -> Result<()> + Send + 'static,
) -> Lane {
    let name = format!("machine/{}/{name}", architecture.qemu());
    let prepare = move |lab: &Lab| lab.plugin(architecture.qemu()).map(drop);
    lane_with(architecture, &name, proves, prepare, move |kit, (), name, log| story(kit, name, log))
}

/// Returns enough records for some pages of a file.
fn records(path: &str, seed: u64) -> Records {
    Records { path: path.to_owned(), seed, count: 4096, allow_pages: false }
}

/// Checks that every acknowledged record is there; there may be more.
fn at_least(there: u64, acknowledged: u64) -> Result<()> {
    ensure!(
        there >= acknowledged,
        "{} of {acknowledged} that were acknowledged are lost",
        acknowledged - there
    );
    Ok(())
}

/// Returns the number at a JSON pointer.
fn count(document: &Value, pointer: &str) -> Result<u64> {
    let count = document.pointer(pointer).and_then(Value::as_u64);
    count.with_context(|| format!("there is no number {pointer} in {document}"))
}

/// Mounts the first device of persistent memory again and checks the records.
fn found_again(machine: &mut Machine, written: &Records) -> Result<()> {
    found_again_on(machine, PMEM0, DAX, written)
}

/// Mounts a device again and checks the records.
fn found_again_on(
    machine: &mut Machine,
    device: &str,
    options: &str,
    written: &Records,
) -> Result<()> {
    machine.wait_for(device)?;
    machine.mount(device, DIRECTORY, options)?;
    machine.verify(written)
}

/// Checks the granularity of a file, and that its mapping is synchronous unless it is persisted by
/// pages.
fn expect(persisted: &Persisted, granularity: &str) -> Result<()> {
    ensure!(
        persisted.granularity == granularity,
        "the granularity is {}, not {granularity}: {}",
        persisted.granularity,
        persisted.reason
    );
    let by_pages = granularity.starts_with("page");
    ensure!(
        persisted.is_synchronous() != by_pages,
        "persisted by {granularity}, and the mapping {} MAP_SYNC (flag sf in smaps)",
        if by_pages { "has" } else { "lacks" }
    );
    Ok(())
}

/// Checks the value at a JSON pointer.
fn expect_value(document: &Value, pointer: &str, expected: impl Into<Value>) -> Result<()> {
    let (found, expected) = (document.pointer(pointer), expected.into());
    ensure!(found == Some(&expected), "{pointer} is {found:?}, not {expected}");
    Ok(())
}

/// Returns the library's report on a path.
fn probe(machine: &mut Machine, path: &str) -> Result<Value> {
    machine.json(&Request::Probe { path: path.to_owned() })
}
