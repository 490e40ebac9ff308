//! Lanes on whole machines: the library reports the promise of each medium, and persisted records
//! are there after a kexec, a reset through firmware, a power cut.

mod arm64;
mod bad_blocks;
mod canary;
mod device_dax;
mod flush;
mod guard;
mod libpmem;
mod media;
mod oldest_kernel;
mod pmem;
mod power;
mod requests;
mod suite;
mod tool;
mod tracer;
mod tree;
mod trials;
mod vm_restart;

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::{Persisted, Records, Request};
use lose_lines_machine::architecture::Architecture::{self, Arm64, Riscv64, X86};
use lose_lines_machine::initramfs::Initramfs;
use lose_lines_machine::kit::Kit;
use lose_lines_machine::machine::Machine;
use lose_lines_machine::machine::setup::Setup;
use lose_lines_machine::pmem::{
    Contents, DAX, DIRECTORY, PMEM0, make_namespace, mount_again, nvdimm, nvdimm_board,
};
use lose_lines_machine::transcript::Transcript;
use serde_json::Value;

use self::pmem::{
    EMULATED, LIMIT, dax_machine, emulated, emulated_with, make_ext4, set_aside, start_on_dax,
};
use self::requests::Library as _;
use crate::lab::Lab;
use crate::lane::Lane;

/// The mount options with which ext4 does not commit by itself what a program has left out (Linux,
/// `Documentation/admin-guide/ext4.rst`).
const WITHOUT_COMMITS: &str = "dax=always,commit=3600";

/// Granularities, as the library names them.
const LINE: &str = "cache line (64 bytes)";
const PAGE: &str = "page (4096 bytes)";

/// A lane on machines of one architecture.
struct Story {
    architecture: Architecture,
    name: &'static str,
    /// Returns what the machines are made of.
    kit: fn(&Lab, Architecture) -> Result<Kit>,
    /// Returns the files that the machines have besides the agent.
    files: fn(&Lab) -> Result<Initramfs>,
    steps: Steps,
}

/// What the steps of a lane work with.
struct Stage {
    kit: Kit,
    files: Initramfs,
    name: String,
}

impl Stage {
    /// Returns a PC with emulated pmem, with the files of the lane.
    fn emulated(&self) -> Setup {
        Setup { files: self.files.clone(), ..emulated(&self.name) }
    }
}

type Steps = fn(&Stage, &mut Transcript) -> Result<()>;

impl Story {
    const fn on(architecture: Architecture, name: &'static str, steps: Steps) -> Self {
        let files = |_: &Lab| Ok(Initramfs::default());
        Self { architecture, name, kit: Lab::kit, files, steps }
    }

    /// Returns the lane on machines with the oldest kernel.
    const fn oldest(self) -> Self {
        Self { kit: |lab, _| lab.oldest_kit(), ..self }
    }

    /// Returns the lane on machines that lose lines, where no emulator is too old for it.
    const fn losing(self) -> Self {
        Self { kit: Lab::losing_kit, ..self }
    }

    const fn with(self, files: fn(&Lab) -> Result<Initramfs>) -> Self {
        Self { files, ..self }
    }

    fn lane(&'static self) -> Lane {
        let name = format!("machine/{}/{}", self.architecture.qemu(), self.name);
        Lane::new(name.clone(), move |lab| {
            let (kit, files) = ((self.kit)(lab, self.architecture)?, (self.files)(lab)?);
            let stage = Stage { kit, files, name };
            Ok(Box::new(move |log| (self.steps)(&stage, log)))
        })
    }
}

const STORIES: [Story; 29] = [
    Story::on(X86, "emulated-pmem", media::emulated_pmem),
    Story::on(X86, "xfs", media::xfs),
    Story::on(X86, "without-dax", media::without_dax),
    Story::on(X86, "nvdimm-adr", media::nvdimm_adr),
    Story::on(X86, "nvdimm-eadr", media::nvdimm_eadr),
    Story::on(X86, "nvdimm-no-claim", media::nvdimm_bare),
    Story::on(X86, "virtio-pmem", media::virtio_pmem),
    Story::on(X86, "two-regions", media::two_regions),
    Story::on(X86, "device-dax", device_dax::emulated_device),
    Story::on(Arm64, "nvdimm-acpi", arm64::nvdimm_acpi),
    Story::on(Arm64, "pmem-device-tree", arm64::device_tree),
    Story::on(Arm64, "without-cvap", arm64::without_cvap),
    Story::on(Arm64, "ram-device-tree", arm64::ram_device_tree),
    Story::on(X86, "power-cut-pmem", power::cut_records).losing(),
    Story::on(X86, "journal-power-cut", power::cut_journal).losing(),
    Story::on(X86, "store-power-cut", power::cut_store).losing(),
    Story::on(X86, "recorder-power-cut", power::cut_recordings).losing(),
    Story::on(X86, "power-cut-disk", power::cut_on_disk),
    Story::on(X86, "vm-restart", vm_restart::restarts).losing(),
    Story::on(X86, "bad-blocks", bad_blocks::on_emulated).with(command),
    Story::on(X86, "canary", canary::after_resets).with(command),
    Story::on(X86, "tracer", tracer::reset_after_last_pass).with(tracer::files),
    Story::on(X86, "guard-holes", guard::holes).with(command),
    Story::on(X86, "oldest-kernel", oldest_kernel::outlives_a_reset).with(command).oldest(),
    Story::on(X86, "trials", trials::on_pmem).losing(),
    Story::on(Arm64, "trials", trials::on_pmem).losing(),
    Story::on(Arm64, "trials-ram", trials::on_ram).losing(),
    Story::on(Riscv64, "trials-ram", trials::on_ram).losing(),
    Story::on(X86, "left-out", trials::left_out).losing(),
];

pub(super) fn lanes() -> Vec<Lane> {
    let others = [suite::lanes(), tool::lanes(), libpmem::lanes(), flush::lanes()];
    STORIES.iter().map(Story::lane).chain(others.into_iter().flatten()).collect()
}

/// The path of the command `cachemaint` in machines.
const COMMAND: &str = "/lab/cachemaint";

/// Returns the command as the only file.
fn command(lab: &Lab) -> Result<Initramfs> {
    let mut files = Initramfs::default();
    files.file(COMMAND, lab.command()?);
    Ok(files)
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
