# From the state after reset: M-mode, no translation, interrupts off (RISC-V privileged manual, "Reset").

.section .text.entry, "ax"
.globl entry
entry:
    la t0, trap
    csrw mtvec, t0
    li t0, 3 << 13              # mstatus.FS: floating point, which copies of memory may use
    csrs mstatus, t0
    la sp, stack_top
    mv s0, zero
    call {start}

# mtvec holds addresses of 4 bytes.
.balign 4
trap:
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    tail {trapped}
