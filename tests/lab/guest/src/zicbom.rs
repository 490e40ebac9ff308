//! What the kernel says of Zicbom, and whether its instructions then execute in user mode: so a lane
//! knows what a back end for the architecture can build on.

use anyhow::{Context as _, Result, ensure};
use core::arch::asm;
use std::process::ExitCode;

/// Linux `arch/riscv/include/uapi/asm/hwprobe.h`: the key of the extensions, Zicbom among them, and the
/// key of its block size.
const IMA_EXTENSIONS: i64 = 4;
const ZICBOM: u64 = 1 << 55;
const ZICBOM_BLOCK_SIZE: i64 = 12;

/// Linux `arch/riscv/include/uapi/asm/unistd.h`: the first number of the architecture's own, and 14.
const RISCV_HWPROBE: libc::c_long = 244 + 14;

/// A pair that `riscv_hwprobe` fills in.
#[repr(C)]
struct Pair {
    key: i64,
    value: u64,
}

/// Ends with the logarithm of the block size, and with 0 if there is no Zicbom. An instruction that
/// traps all the same ends this process by SIGILL.
pub(crate) fn zicbom() -> Result<ExitCode> {
    let (extensions, block) = (probe(IMA_EXTENSIONS)?, probe(ZICBOM_BLOCK_SIZE)?);
    if extensions & ZICBOM == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(block.is_power_of_two(), "a block of {block} bytes");
    let data = [7_u64; 1024];
    clean_and_flush(data.as_ptr());
    Ok(ExitCode::from(u8::try_from(block.ilog2())?))
}

#[expect(unsafe_code, reason = "no library has this system call")]
fn probe(key: i64) -> Result<u64> {
    let mut pair = Pair { key, value: 0 };
    // SAFETY: one pair is passed, and no set of CPUs: it is asked of all (Linux,
    // Documentation/arch/riscv/hwprobe.rst).
    let result =
        unsafe { libc::syscall(RISCV_HWPROBE, &raw mut pair, 1_usize, 0_usize, 0_usize, 0_u32) };
    ensure!(result == 0, "riscv_hwprobe: {}", std::io::Error::last_os_error());
    (pair.key == key).then_some(pair.value).with_context(|| format!("the kernel has no key {key}"))
}

/// `cbo.clean` and `cbo.flush` of the block, in the encoding of the manual (RISC-V CMO extensions 1.0):
/// the assembler need not know the extension.
#[expect(unsafe_code, reason = "there is no safe way to an instruction")]
fn clean_and_flush(data: *const u64) {
    // SAFETY: both change no byte of memory; the address can be read.
    unsafe {
        asm!(
            ".insn i 0x0f, 2, x0, {0}, 1",
            ".insn i 0x0f, 2, x0, {0}, 2",
            in(reg) data,
            options(nostack, preserves_flags),
        );
    };
}
