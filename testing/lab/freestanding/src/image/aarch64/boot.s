// From the state that the loader leaves to mapped and cacheable memory: EL1, MMU off, interrupts masked.
// Names of fields: Arm ARM (DDI 0487), "AArch64 System register descriptions".

.section .text.entry, "ax"
.globl entry
entry:
    ldr x19, =stack_top
    ldr x20, ={start}
    b prepare

// The start of another CPU, with the end of its stack in x0.
.globl other_entry
other_entry:
    mov x19, x0
    ldr x20, ={joined}

prepare:
    ldr x0, =vectors
    msr vbar_el1, x0
    mov x0, #3 << 20            // FPEN: no trap of floating point, which copies of memory use
    msr cpacr_el1, x0
    ldr x0, =0x44ff00           // 0 is a device, 1 is write-back memory, 2 is memory that is not cached
    msr mair_el1, x0
    // T0SZ 25, so that the table below comes first; walks are cached; 4 KiB; EPD1; addresses of 32 bits.
    ldr x0, =0x803519
    msr tcr_el1, x0
    ldr x0, =table
    msr ttbr0_el1, x0
    tlbi vmalle1
    dsb sy
    isb
    ldr x0, =0x30d01805         // I, C, M, and what is 1 in ARMv8.0
    msr sctlr_el1, x0
    isb
    mov sp, x19
    mov x29, xzr
    blr x20
.ltorg

// "Exception vectors": 16 entries of 128 bytes. The link register says which one it was.
.balign 2048
vectors:
.rept 16
    .balign 128
    bl trap
.endr
.balign 128
trap:
    mov x0, x30
    mrs x1, esr_el1
    mrs x2, elr_el1
    mrs x3, far_el1
    b {trapped}

// One entry a GiB, one to one: devices, never executed; memory, shared with all CPUs. Then the memory again, not cached
// and never executed. The access flag is set.
.section .rodata.boot, "a"
.balign 4096
table:
    .quad 0x0060000000000401
    .quad 0x0000000040000705
    .quad 0x0060000040000709
    .fill 509, 8, 0
