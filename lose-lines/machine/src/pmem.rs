//! Machines with an NVDIMM that has its contents in a file. They lose the lines that were not written back, and have a DAX
//! file system.

use anyhow::{Context as _, Result};

use crate::architecture::Architecture;
use crate::emulator::value;
use crate::kit::Kit;
use crate::losses::{Losses, Memory, RESET_OF_FIRMWARE, copy_sparse, make_sparse, persisted};
use crate::machine::Machine;
use crate::machine::agent::Mounted;
use crate::machine::setup::Setup;
use crate::temporary::Temporary;

/// The mount point of the file system under test.
pub const DIRECTORY: &str = "/mnt";

/// The first device of persistent memory.
pub const PMEM0: &str = "/dev/pmem0";

/// The mount option that makes ext4 map files directly.
pub const DAX: &str = "dax=always";

/// The address of the first NVDIMM on a board with 1 GiB of RAM at 1 GiB (QEMU, `hw/arm/virt.c`: memory devices begin
/// at the next multiple of 1 GiB).
const AFTER_RAM: u64 = 2 << 30;

/// Returns a PC with one NVDIMM, with its contents in the file. It loses lines unless the CPU caches are in the
/// persistence domain. `claim` is the domain that its firmware claims, in QEMU's words. QEMU places it at 4 GiB.
pub fn nvdimm(name: &str, claim: Option<&str>, contents: &Contents) -> Setup {
    let has_caches_in_domain = claim == Some("cpu");
    let claim = claim.map(|claim| format!(",nvdimm-persistence={claim}")).unwrap_or_default();
    let setup = Setup::new(name, &format!("q35,nvdimm=on{claim}"), "768M,slots=2,maxmem=4G")
        .devices(["-object", &contents.backend()])
        .devices(["-device", "nvdimm,memdev=contents"]);
    if has_caches_in_domain { setup } else { setup.losing(contents.losses(1 << 32)) }
}

/// Returns a machine, a PC or a board, with one NVDIMM without the CPU caches in its persistence domain.
pub fn nvdimm_of(kit: &Kit, name: &str, contents: &Contents) -> Setup {
    match kit.architecture {
        Architecture::Arm64 => nvdimm_board(kit, name, contents),
        Architecture::X86 | Architecture::Riscv64 => nvdimm(name, Some("mem-ctrl"), contents),
    }
}

/// Returns a board with one NVDIMM, which it finds through ACPI. Its contents are in the file, and lose lines.
pub fn nvdimm_board(kit: &Kit, name: &str, contents: &Contents) -> Setup {
    let board = "virt,gic-version=3,nvdimm=on";
    Setup::new(name, board, "1G,slots=2,maxmem=4G")
        .cpu("neoverse-n1")
        .devices(["-bios", &kit.emulators.file("usr/share/qemu-efi-aarch64/QEMU_EFI.fd")])
        .devices(["-object", &contents.backend()])
        .devices(["-device", "nvdimm,memdev=contents"])
        .losing(Losses { reset: RESET_OF_FIRMWARE, ..contents.losses(AFTER_RAM) })
}

/// A file with the contents of a medium. It remains when its machine ends.
pub struct Contents {
    pub path: Temporary,
    /// The bytes that have persisted.
    persisted: Temporary,
}

impl Contents {
    const SIZE: u64 = 256 << 20;

    /// Creates an empty medium.
    pub fn new(kit: &Kit, name: &str) -> Result<Self> {
        let contents = Self::named(kit, name);
        make_sparse(&contents.path, Self::SIZE)?;
        make_sparse(&contents.persisted, Self::SIZE)?;
        Ok(contents)
    }

    /// Creates a medium with all bytes of this one, all of them persisted.
    pub fn copy(&self, kit: &Kit, name: &str) -> Result<Self> {
        let contents = Self::named(kit, name);
        copy_sparse(&self.path, &contents.path)?;
        copy_sparse(&self.path, &contents.persisted)?;
        Ok(contents)
    }

    /// Creates a medium with all bytes of this one, with the same ones persisted.
    pub fn twin(&self, kit: &Kit, name: &str) -> Result<Self> {
        let contents = Self::named(kit, name);
        copy_sparse(&self.path, &contents.path)?;
        copy_sparse(&self.persisted, &contents.persisted)?;
        Ok(contents)
    }

    fn named(kit: &Kit, name: &str) -> Self {
        let path = kit.work.join(format!("{}.medium", name.replace('/', "-")));
        Self { persisted: Temporary::new(persisted(&path)), path: Temporary::new(path) }
    }

    /// Returns the losses of the medium as memory at this physical address.
    pub fn losses(&self, base: u64) -> Losses {
        Losses::new(Memory::File(self.path.to_path_buf()), base, Self::SIZE)
    }

    /// Returns the contents as the memory of a device.
    pub fn backend(&self) -> String {
        let path = value(self.path.display());
        format!("memory-backend-file,id=contents,share=on,mem-path={path},size={}", Self::SIZE)
    }
}

/// Creates a namespace with a mode on a region, which makes it a device.
pub fn make_namespace(machine: &mut Machine, region: &str, mode: &str) -> Result<()> {
    let number = region.strip_prefix("region").context("no region")?;
    machine.wait_for(&format!("/sys/bus/nd/devices/{region}"))?;
    machine.run(&format!(
        "/bin/ndctl create-namespace --force --reconfig=namespace{number}.0 --mode={mode} --map=mem --no-autolabel"
    ))
}

/// Mounts the first device of persistent memory, whose file system may be damaged.
pub fn try_mount_again(machine: &mut Machine) -> Result<Mounted> {
    machine.wait_for(PMEM0)?;
    machine.try_mount("ext4", PMEM0, DIRECTORY, DAX)
}

/// Mounts the first device of persistent memory, which has a file system already.
pub fn mount_again(machine: &mut Machine) -> Result<()> {
    machine.wait_for(PMEM0)?;
    machine.mount(PMEM0, DIRECTORY, DAX)
}
