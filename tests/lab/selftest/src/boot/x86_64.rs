//! From the entry of a PVH kernel (Xen `docs/misc/pvh.pandoc`), in 32 bits without paging, to 64-bit
//! code with the first GiB mapped to itself. The machine is reset at the end, which ends an emulator
//! that was told not to reboot.

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

global_asm!(
    r#"
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18              // lengths of name and entry, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start

    .section .text.boot, "ax"
    .code32
    .globl start
start:
    cli
    mov esp, offset stack_top
    mov eax, offset level3
    or eax, 3                   // present, writable
    mov dword ptr [level4], eax
    mov dword ptr [level3], 0x83 // and 1 GiB large
    mov eax, offset level4
    mov cr3, eax
    mov eax, cr4
    or eax, 0x620               // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov ecx, 0xc0000080         // EFER
    rdmsr
    or eax, 0x100               // LME
    wrmsr
    mov eax, cr0
    and eax, 0xfffffffb         // EM off, for SSE
    or eax, 0x80000003          // PG, MP, PE
    mov cr0, eax
    lgdt [descriptors]
    .byte 0xea                  // jmp 8:start64
    .long start64
    .word 8

    .code64
start64:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    call main

    .section .data
    .balign 8
table:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
descriptors:
    .word 23
    .long table

    .section .bss
    .balign 4096
level4:
    .space 4096
level3:
    .space 4096
    .space 65536
stack_top:
    .text
"#
);

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    crate::planted::run();
    reset()
}

/// Resets the machine by the chipset's reset control register (Intel ICH9, `RST_CNT`).
fn reset() -> ! {
    loop {
        // SAFETY: there is nothing to lose.
        unsafe { asm!("out dx, al", in("dx") 0xcf9_u16, in("al") 6_u8) };
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    reset()
}
