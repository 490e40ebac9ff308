    addi a2, a1, 63
    slli a3, a0, 48
    fence
    srli a3, a3, 48
    slli a4, a0, 39
    or a0, a3, a1
    bltz a4, .L0
    .insn i 15, 2, zero, a1, 2
    bgeu a0, a2, .L1
.L2:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 2
    or a0, a0, a3
    bltu a0, a2, .L2
.L1:
    fence
    ret
.L0:
    .insn i 15, 2, zero, a1, 1
    bgeu a0, a2, .L3
.L4:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 1
    or a0, a0, a3
    bltu a0, a2, .L4
.L3:
    fence
    ret
