//! Machines that are described by a device tree, which sets a part of their RAM aside as pmem.

use anyhow::{Result, bail};

use super::Setup;
use lose_lines_machine::architecture::Architecture;
use lose_lines_machine::emulator::value;
use lose_lines_machine::kit::Kit;
use lose_lines_machine::losses::{Losses, Memory, RESET_OF_BOARD, RESET_OF_RISCV};
use lose_lines_machine::temporary::Temporary;

/// A board of QEMU, and the places in its RAM.
struct Board {
    /// The name of the board with its options.
    machine: &'static str,
    /// The address and the bytes of the RAM.
    base: u64,
    ram: u64,
    /// The bytes of the RAM that stay the kernel's.
    kept: u64,
    /// The address of the first instruction after a reset.
    reset: u64,
}

/// Without an interrupt translation service: its tables stay in use over a kexec, and the next kernel, which has no EFI
/// to learn them from, fails.
const ARM64: Board = Board {
    machine: "virt,gic-version=3,its=off",
    base: 1 << 30,
    ram: 1 << 30,
    kept: 768 << 20,
    reset: RESET_OF_BOARD,
};

/// QEMU puts the tree below 3 GiB at each reset (`hw/riscv/boot.c`, `riscv_compute_fdt_addr`). The part begins behind it.
const RISCV64: Board =
    Board { machine: "virt", base: 2 << 30, ram: 2 << 30, kept: 1536 << 20, reset: RESET_OF_RISCV };

/// The bytes that are set aside.
const PMEM: u64 = 256 << 20;

/// The statement of the tree about the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The kernel takes it for persistent.
    Pmem,
    /// RAM that loses its contents with the power: the property `volatile`.
    Ram,
}

/// A machine whose device tree sets 256 MiB of its RAM aside as pmem.
pub(super) struct Tree {
    pub(super) setup: Setup,
    /// The file of the tree, which is removed with it.
    _file: Temporary,
}

impl Tree {
    /// Takes the tree that QEMU makes for the board, and changes the end of the RAM, and adds a node for the range
    /// after it (Linux, `Documentation/devicetree/bindings/pmem/pmem-region.txt`).
    pub(super) fn new(kit: &Kit, name: &str, (cpu, cpus): (&str, u32), kind: Kind) -> Result<Self> {
        let Board { machine, base, ram, kept, reset } = match kit.architecture {
            Architecture::Arm64 => ARM64,
            Architecture::Riscv64 => RISCV64,
            Architecture::X86 => bail!("a PC has no device tree"),
        };
        let file = Temporary::new(kit.work.join(format!("{}.dtb", name.replace('/', "-"))));
        let (path, memory) = (file.display().to_string(), format!("{}M", ram >> 20));
        kit.emulators
            .system(kit.architecture.qemu())
            .args(["-machine", &format!("{machine},dumpdtb={}", value(&path))])
            .args(["-cpu", cpu, "-smp", &cpus.to_string(), "-m", &memory])
            .read()?;
        let put = |line: &str| kit.emulators.program("usr/bin/fdtput").words(line).read();
        let at = base + kept;
        put(&format!("-t x {path} /memory@{base:x} reg 0 {base:x} 0 {kept:x}"))?;
        put(&format!("-c {path} /pmem@{at:x}"))?;
        put(&format!("-t s {path} /pmem@{at:x} compatible pmem-region"))?;
        put(&format!("-t x {path} /pmem@{at:x} reg 0 {at:x} 0 {PMEM:x}"))?;
        let mut losses =
            Losses { reset, ..Losses::new(Memory::Ram { ram, offset: kept }, at, PMEM) };
        if kind == Kind::Ram {
            put(&format!("{path} /pmem@{at:x} volatile"))?;
            // Volatile RAM is behind the point of coherency.
            losses.more.push(String::from("point=coherency"));
        }
        let mut setup = Setup::new(name, machine, &memory)
            .cpu(cpu)
            // For arm64 QEMU completes the tree's memory node from the option `-m`.
            .kernel(&format!("mem={}M", kept >> 20))
            .devices(["-dtb", &path])
            .losing(losses);
        setup.cpus = cpus;
        Ok(Self { setup, _file: file })
    }
}
