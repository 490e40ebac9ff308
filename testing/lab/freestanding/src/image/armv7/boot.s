// From the state that the loader leaves to mapped and cacheable memory: supervisor mode, MMU off, interrupts masked.
// Names of fields: Arm ARM (DDI 0406C), "System control registers in a VMSA implementation".

.section .text.entry, "ax"
.globl entry
entry:
    ldr sp, =stack_top
    ldr r0, =vectors
    mcr p15, 0, r0, c12, c0, 0  // VBAR
    mov r0, #0
    mcr p15, 0, r0, c2, c0, 2   // TTBCR: short descriptors, one table
    ldr r0, =table + 0x4a       // IRGN, RGN and S: walks are cached, write-back, and shared
    mcr p15, 0, r0, c2, c0, 0   // TTBR0
    mov r0, #1
    mcr p15, 0, r0, c3, c0, 0   // DACR: domain 0 has the permissions of its descriptors
    mcr p15, 0, r0, c8, c7, 0   // TLBIALL
    dsb
    isb
    mrc p15, 0, r0, c1, c0, 0   // SCTLR
    orr r0, r0, #1 << 12        // I
    orr r0, r0, #5              // C, M
    mcr p15, 0, r0, c1, c0, 0
    isb
    bl {start}

// "Exception vectors and the exception base address". Each mode has its own link register, and the stack of this one.
.balign 32
vectors:
.rept 8
    b trap
.endr
trap:
    mov r0, lr
    mrs r1, cpsr
    mrc p15, 0, r2, c5, c0, 0   // DFSR
    mrc p15, 0, r3, c6, c0, 0   // DFAR
    cps #0x13
    ldr sp, =stack_top
    b {trapped}
.ltorg

// "Short-descriptor translation table format descriptors": sections of 1 MiB, which privileged code may read and write.
// One to one: a GiB of devices, never executed; a GiB of write-back memory, shared. Then the memory again, not cached and
// never executed.
.section .rodata.boot, "a"
.balign 0x4000
table:
.set section, 0
.rept 1024
    .long section + 0x416
    .set section, section + 0x100000
.endr
.rept 1024
    .long section + 0x1140e
    .set section, section + 0x100000
.endr
.set section, 0x40000000
.rept 1024
    .long section + 0x11412
    .set section, section + 0x100000
.endr
    .fill 1024, 4, 0
