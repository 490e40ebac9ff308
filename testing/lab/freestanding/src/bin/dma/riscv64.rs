//! RISC-V on QEMU's board `virt`, with Zicbom and Svpbmt. Names are those of the privileged manual.

use core::arch::asm;

/// The registers of virtio devices (QEMU `hw/riscv/virt.c`, `VIRT_VIRTIO`).
pub(crate) const REGISTERS: usize = 0x1000_1000;
pub(crate) const DEVICE: usize = 0x1000;
pub(crate) const DEVICES: usize = 8;

// CBO.CLEAN, CBO.FLUSH and CBO.INVAL, which the assembler does not know without Zicbom.
operations! {
    fence: "fence iorw, iorw",
    clean: ".insn i 0x0f, 2, x0, {}, 1",
    clean_invalidate: ".insn i 0x0f, 2, x0, {}, 2",
    invalidate: ".insn i 0x0f, 2, x0, {}, 0",
}

#[repr(C, align(4096))]
struct Table([u64; 512]);

/// The bits V, R, W, X, A and D of an entry ("Sv39"), and PBMT for memory that is not cached ("Svpbmt").
const DATA: u64 = 0b1100_0111;
const CODE: u64 = DATA | 1 << 3;
const NC: u64 = 1 << 61;

/// One entry a GiB, one to one: devices; memory. Then the memory again, not cached. PPN begins at bit 10.
static TABLE: Table = {
    let memory = (2 << 30) >> 12 << 10;
    let mut entries = [0; 512];
    entries[0] = DATA;
    entries[2] = memory | CODE;
    entries[3] = memory | DATA | NC;
    Table(entries)
};

/// Maps the memory, and goes on in S-mode: M-mode has no page tables. Exceptions still go to M-mode.
pub(crate) fn prepare() {
    // "Physical Memory Protection CSRs": one region (NAPOT) of all addresses, with R, W and X.
    let (every_address, open) = (usize::MAX >> 10, 0b1_1111);
    // "menvcfg": S-mode may use PBMT, and CBO instructions; CBO.INVAL invalidates.
    let (pbmte, cbcfe, cbie) = (1_usize << 62, 1 << 6, 0b11 << 4);
    // "satp": Sv39, and the page of the table.
    let satp = 8 << 60 | (&raw const TABLE).addr() >> 12;
    // SAFETY: the boot code runs this in M-mode. The memory stays where it is, so the program goes on behind MRET.
    unsafe {
        asm!(
            "csrw pmpaddr0, {every_address}",
            "csrw pmpcfg0, {open}",
            "csrw menvcfg, {environment}",
            "csrw satp, {satp}",
            "sfence.vma",
            "csrc mstatus, {mpp}",
            "csrs mstatus, {s_mode}",
            "la {next}, 2f",
            "csrw mepc, {next}",
            "mret",
            "2:",
            every_address = in(reg) every_address,
            open = in(reg) open,
            environment = in(reg) pbmte | cbcfe | cbie,
            satp = in(reg) satp,
            mpp = in(reg) 3 << 11,
            s_mode = in(reg) 1 << 11,
            next = out(reg) _,
            options(nostack),
        );
    }
}

pub(crate) fn fill(buffer: &mut [u8], value: u8) {
    buffer.fill(value);
}
