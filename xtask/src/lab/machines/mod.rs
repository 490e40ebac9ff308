//! Lanes on whole machines: the library reports the promise of each medium, and persisted records
//! are there after a kexec, a reset through firmware, a power cut.

mod arm64;
mod bad_blocks;
mod canary;
mod cpuid;
mod device_dax;
mod files;
mod flush;
mod guard;
mod hot_plug;
mod journal;
mod libpmem;
mod lose_c;
mod media;
mod peers;
mod power;
mod preserve;
mod recorder;
mod reserve_mem;
mod riscv64;
mod suite;
mod trace;
mod tracer;
mod tree;
mod trials;

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::{Records, Request};
use serde_json::{Value, json};

use super::Lab;
use super::architecture::Architecture;
use super::emulator::value;
use super::initramfs::Initramfs;
use super::kit::Kit;
use super::lane::Lane;
use super::losses::{Losses, Memory, copy_sparse, make_sparse, persisted};
use super::machine::Machine;
use super::machine::agent::Persisted;
use super::machine::setup::Setup;
use super::temporary::Temporary;
use lose_lines::log::Log;
use crate::report::Finding;

/// The MiB of emulated pmem where a lane does not need more.
const EMULATED: u64 = 256;

/// The mount point of the file system under test.
pub(super) const DIRECTORY: &str = "/mnt";

/// The first device of persistent memory.
const PMEM0: &str = "/dev/pmem0";

/// The mount option with which ext4 maps files directly.
const DAX: &str = "dax=always";

/// The mount options with which ext4 does not commit by itself what a program has left out (Linux,
/// `Documentation/admin-guide/ext4.rst`).
const WITHOUT_COMMITS: &str = "dax=always,commit=3600";

/// Granularities, as the library names them.
const LINE: &str = "cache line (64 bytes)";
const PAGE: &str = "page (4096 bytes)";

/// `SIGKILL` (signal(7)).
const SIGKILL: i32 = 9;

pub(super) fn lanes() -> Vec<Lane> {
    let mut lanes = media::lanes();
    lanes.extend(device_dax::lanes());
    lanes.extend(arm64::lanes());
    lanes.extend(power::lanes());
    lanes.extend(journal::lanes());
    lanes.extend(lose_c::lanes());
    lanes.extend(libpmem::lanes());
    lanes.extend(recorder::lanes());
    lanes.extend(preserve::lanes());
    lanes.extend(files::lanes());
    lanes.extend(bad_blocks::lanes());
    lanes.extend(canary::lanes());
    lanes.extend(hot_plug::lanes());
    lanes.extend(reserve_mem::lanes());
    lanes.extend(tracer::lanes());
    lanes.extend(guard::lanes());
    lanes.extend(peers::lanes());
    lanes.extend(cpuid::lanes());
    lanes.extend(suite::lanes());
    lanes.extend(riscv64::lanes());
    lanes.extend(flush::lanes());
    lanes.extend(trials::lanes());
    lanes
}

/// The steps of a lane on its machines.
type Story = fn(&Kit, &str, &mut Log) -> Result<()>;

/// Returns a lane on machines of an architecture. `prepare` makes the further things that its steps need.
fn lane_with<T: Send + 'static, F: Into<Finding>>(
    architecture: Architecture,
    name: &str,
    proves: &str,
    prepare: impl FnOnce(&Lab<'_>) -> Result<T> + 'static,
    story: impl FnOnce(&Kit, &T, &str, &mut Log) -> Result<F> + Send + 'static,
) -> Lane {
    let name = name.to_owned();
    Lane::new(name.clone(), proves, move |lab| {
        let needed = prepare(lab)?;
        let kit = lab.kit(architecture)?;
        Ok(Box::new(move |log| story(&kit, &needed, &name, log).map(Into::into)))
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
fn losing_lane<F: Into<Finding>>(
    architecture: Architecture,
    name: &str,
    proves: &str,
    story: impl FnOnce(&Kit, &str, &mut Log) -> Result<F> + Send + 'static,
) -> Lane {
    let name = format!("machine/{}/{name}", architecture.qemu());
    let prepare = move |lab: &Lab<'_>| lab.can_lose_lines(architecture);
    lane_with(architecture, &name, proves, prepare, move |kit, (), name, log| story(kit, name, log))
}

/// Returns enough records for some pages of a file.
fn records(path: &str, seed: u64) -> Records {
    Records { path: path.to_owned(), seed, count: 4096, allow_pages: false }
}

/// Returns a PC with emulated pmem, which loses lines.
fn emulated(name: &str) -> Setup {
    emulated_with(name, 1536, EMULATED)
}

/// Returns such a PC with these MiB of RAM, and of them as pmem.
fn emulated_with(name: &str, ram: u64, pmem: u64) -> Setup {
    let memory = Memory::Ram { ram: ram << 20, offset: 1 << 30 };
    let losses = Losses::new(memory, 1 << 30, pmem << 20);
    Setup::new(name, "pc", &format!("{ram}M")).kernel(&set_aside(pmem)).losing(losses)
}

/// Returns the words of a kernel's command line that set aside these MiB of RAM at 1 GiB as pmem (Linux,
/// `Documentation/admin-guide/kernel-parameters.txt`, `memmap=nn[KMG]!ss[KMG]`).
fn set_aside(pmem: u64) -> String {
    format!("memmap={pmem}M!1G")
}

/// Starts a PC with files of its own, and a DAX file system for more.
pub(super) fn dax_machine(
    kit: &Kit,
    name: &str,
    add_files: impl FnOnce(&mut Initramfs),
    log: &mut Log,
) -> Result<Machine> {
    // The machine is started once, so nothing would be lost.
    let mut setup = emulated(name).keeping();
    setup.limit = suite::LIMIT;
    add_files(&mut setup.files);
    start_on_dax(kit, &setup, log)
}

/// Starts a machine, and makes a DAX file system on its first device of persistent memory.
fn start_on_dax(kit: &Kit, setup: &Setup, log: &Log) -> Result<Machine> {
    let mut machine = Machine::start(kit, setup, log)?;
    make_ext4(&mut machine, PMEM0, DAX)?;
    Ok(machine)
}

/// Returns a PC with one NVDIMM, whose contents are in the file and lose lines unless the CPU caches are in the domain.
/// `claim` is the domain that its firmware claims, in QEMU's words.
pub(super) fn nvdimm(name: &str, claim: Option<&str>, contents: &Contents) -> Setup {
    nvdimm_slots(name, claim, contents)
        .devices(["-object", &contents.backend()])
        .devices(["-device", "nvdimm,memdev=contents"])
}

/// Returns a machine with one NVDIMM whose domain has no CPU caches in it: a PC, or a board.
pub(super) fn nvdimm_of(kit: &Kit, name: &str, contents: &Contents) -> Setup {
    match kit.architecture {
        Architecture::Arm64 => arm64::nvdimm_board(kit, name, contents),
        Architecture::X86 | Architecture::Riscv64 => nvdimm(name, Some("mem-ctrl"), contents),
    }
}

/// Returns such a PC whose NVDIMM is still to be plugged. QEMU places it at 4 GiB.
fn nvdimm_slots(name: &str, claim: Option<&str>, contents: &Contents) -> Setup {
    let has_caches_in_domain = claim == Some("cpu");
    let claim = claim.map(|claim| format!(",nvdimm-persistence={claim}")).unwrap_or_default();
    let setup = Setup::new(name, &format!("q35,nvdimm=on{claim}"), "768M,slots=2,maxmem=4G");
    if has_caches_in_domain { setup } else { setup.losing(contents.losses(1 << 32)) }
}

/// A file that is the contents of a medium. It stays when its machine ends.
pub(super) struct Contents {
    path: Temporary,
    /// The bytes that have persisted.
    persisted: Temporary,
}

impl Contents {
    const SIZE: u64 = 256 << 20;

    /// Creates an empty medium.
    pub(super) fn new(kit: &Kit, name: &str) -> Result<Self> {
        let contents = Self::named(kit, name);
        make_sparse(&contents.path, Self::SIZE)?;
        make_sparse(&contents.persisted, Self::SIZE)?;
        Ok(contents)
    }

    /// Creates a medium with all bytes of this one, which have persisted there.
    pub(super) fn copy(&self, kit: &Kit, name: &str) -> Result<Self> {
        let contents = Self::named(kit, name);
        copy_sparse(&self.path, &contents.path)?;
        copy_sparse(&self.path, &contents.persisted)?;
        Ok(contents)
    }

    fn named(kit: &Kit, name: &str) -> Self {
        let path = kit.work.join(format!("{}.medium", name.replace('/', "-")));
        Self { persisted: Temporary::new(persisted(&path)), path: Temporary::new(path) }
    }

    /// Returns the losses of the medium as memory at this physical address.
    fn losses(&self, base: u64) -> Losses {
        Losses::new(Memory::File(self.path.to_path_buf()), base, Self::SIZE)
    }

    /// Returns the contents as the memory of a device.
    fn backend(&self) -> String {
        let path = value(self.path.display());
        format!("memory-backend-file,id=contents,share=on,mem-path={path},size={}", Self::SIZE)
    }

    /// Returns the same for a machine that runs.
    fn object(&self) -> Value {
        json!({
            "qom-type": "memory-backend-file", "id": "contents", "share": true,
            "mem-path": self.path.display().to_string(), "size": Self::SIZE,
        })
    }
}

/// Makes a namespace of a mode on a region, which makes it a device.
pub(super) fn make_namespace(machine: &mut Machine, region: &str, mode: &str) -> Result<()> {
    let number = region.strip_prefix("region").context("no region")?;
    machine.wait_for(&format!("/sys/bus/nd/devices/{region}"))?;
    machine.run(&format!(
        "/bin/ndctl create-namespace --force --reconfig=namespace{number}.0 --mode={mode} --map=mem --no-autolabel"
    ))
}

/// Makes ext4 on a device and mounts it.
fn make_ext4(machine: &mut Machine, device: &str, options: &str) -> Result<()> {
    machine.wait_for(device)?;
    machine.run(&format!("/bin/mke2fs -q -F -t ext4 -b 4096 {device}"))?;
    machine.mount(device, DIRECTORY, options)
}

/// Mounts the first device of persistent memory, which has a file system already.
pub(super) fn mount_again(machine: &mut Machine) -> Result<()> {
    machine.wait_for(PMEM0)?;
    machine.mount(PMEM0, DIRECTORY, DAX)
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
        persisted.is_synchronous != by_pages,
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

#[cfg(test)]
mod tests {
    use super::{Setup, emulated};
    use lose_lines::losses::Policy;

    #[test]
    fn the_only_crash_of_a_machine_loses_lines_by_each_seed() {
        let policy = |setup: Setup| setup.losses.map(|losses| losses.policy);
        assert_eq!(policy(emulated("a")), Some(Policy::Half));
        assert_eq!(policy(emulated("a").policy(Policy::Any)), Some(Policy::Any));
        assert_eq!(policy(emulated("a").keeping().policy(Policy::Any)), None);
    }
}
