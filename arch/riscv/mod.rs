//! RISC-V: Zicbom, the extension for cache-block management.
//!
//! | instruction | effect | permitted in user mode if |
//! |---|---|---|
//! | `cbo.clean` | writes back | `riscv_hwprobe` shows Zicbom |
//! | `cbo.flush` | writes back and drops | the same |
//! | `cbo.inval` | drops, and may lose dirty bytes | never by Linux |
//!
//! A hart can have them without user mode being allowed to use them: they need `senvcfg.CBCFE`, and otherwise raise an
//! illegal-instruction exception. Linux 6.15 and newer sets it if all harts have Zicbom, and reports that by
//! `riscv_hwprobe`; `zicbom` in the device tree or in `/proc/cpuinfo` says nothing about user mode. The instructions
//! are never tried. (Measured: QEMU 11.1 emulating a program without a kernel reports Zicbom this way but raises the
//! exception; QEMU 10.0 emulating a whole machine is correct.)
//!
//! `cbo.inval`, which drops a block and may lose its dirty bytes, is not used: `envcfg.CBIE` can make it illegal (00) or a
//! `cbo.flush` (01), and after an invalidation no block is dirty anyway.
//!
//! The specification covers memory and non-coherent agents. It has no point of persistence: the platform defines what
//! memory keeps at power loss.
//!
//! In the memory model they are stores to every byte of their block. Without a fence, they are ordered after this
//! hart's own accesses to the block, and before its later loads of it. FENCE counts them as writes, or as output if the
//! block belongs to a device, so one FENCE, IORW before IORW, completes them all. Another one precedes them when data
//! that another hart or device wrote are taken over.
//!
//! Sources: RISC-V "Cache-block management instructions" (`src/cmo.adoc` of the ISA manual), "Memory
//! Ordering" and "Traps"; Linux `arch/riscv/kernel/cpufeature.c` (`riscv_user_isa_enable`),
//! `arch/riscv/include/asm/insn-def.h` (encodings), `Documentation/arch/riscv/hwprobe.rst`.

pub mod instruction;
native_only! { riscv {
    #[expect(unsafe_code, reason = "the instructions are written in assembly")]
    pub mod ops;
} }

use super::{Architecture, DataCache, Fence, Fences, Missing, Sigbus, Unsupported, advice};

pub use instruction::*;

/// Orders all earlier accesses, of memory and of devices, before all later ones.
pub const FENCE_IORW: Fence = Fence(1);

/// The instruction is ordered after this hart's own stores to the block.
const FENCE_AFTER: Fences = Fences { before: Fence::NONE, after: FENCE_IORW };
/// An invalidation makes an observer's stores visible, and the load that signalled them is to another block.
const FENCE_AROUND: Fences = Fences { before: FENCE_IORW, after: FENCE_IORW };

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    name: if cfg!(target_arch = "riscv32") { "riscv32" } else { "riscv64" },
    instructions: ALL,
    fences: &["none", "fence iorw, iorw"],
    observed: FENCE_IORW,
    invalidate: FENCE_AROUND,
    unreachable: [
        Unsupported::new(
            Missing::Instruction,
            "the kernel does not report cbo.clean and cbo.flush (Zicbom) for user mode: not every hart has them, or \
             they are not enabled",
            advice::LEAVE_IT_TO_THE_SYSTEM,
        ),
        Unsupported::new(
            Missing::Point,
            "RISC-V has no point of persistence: Zicbom only promises to write back to memory",
            advice::ACCEPT_COHERENCY,
        ),
        Unsupported::new(
            Missing::Point,
            "no RISC-V instruction reaches the medium's own buffers",
            advice::DEEP_PERSIST,
        ),
    ],
    data_cache: DataCache::never(
        "Linux arch/riscv/Kconfig: ARCH_HAS_CPU_CACHE_ALIASING is not selected",
    ),
    whole_cache: None,
    no_whole_cache: Unsupported::new(
        Missing::Operation,
        "RISC-V has no instruction for a whole cache",
        "maintain ranges instead",
    ),
    sigbus: if cfg!(target_pointer_width = "64") { Sigbus::Handled } else { Sigbus::Untried },
};
