//! From the entry of a kernel of QEMU's machine `virt`, at EL1 with the MMU off, to Rust. The machine
//! is turned off at the end.

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

global_asm!(
    r#"
    .section .text.boot, "ax"
    .globl start
start:
    mov x0, #(3 << 20)          // CPACR_EL1.FPEN: vector registers
    msr cpacr_el1, x0
    isb
    adrp x0, stack_top
    add x0, x0, :lo12:stack_top
    mov sp, x0
    bl main

    .section .bss
    .balign 16
    .space 65536
stack_top:
    .text
"#
);

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    crate::planted::run();
    turn_off()
}

/// Calls PSCI `SYSTEM_OFF` (Arm DEN 0022).
fn turn_off() -> ! {
    loop {
        // SAFETY: there is nothing to lose.
        unsafe { asm!("hvc #0", in("x0") 0x8400_0008_u64) };
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    turn_off()
}
