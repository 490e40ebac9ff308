    addi a4, a1, 63
    slli a3, a0, 48
    srli a3, a3, 48
    slli a5, a0, 47
    or a0, a3, a1
    bltz a5, .L0
    .insn i 15, 2, zero, a1, 2
    bgeu a0, a4, .L1
.L2:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 2
    or a0, a0, a3
    bltu a0, a4, .L2
.L1:
    .insn i 15, 2, zero, a2, 2
    addi a0, a2, 63
    or a2, a2, a3
    bgeu a2, a0, .L3
.L4:
    addi a2, a2, 1
    .insn i 15, 2, zero, a2, 2
    or a2, a2, a3
    bltu a2, a0, .L4
    j .L3
.L0:
    .insn i 15, 2, zero, a1, 1
    bgeu a0, a4, .L5
.L6:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 1
    or a0, a0, a3
    bltu a0, a4, .L6
.L5:
    .insn i 15, 2, zero, a2, 1
    addi a0, a2, 63
    or a2, a2, a3
    bgeu a2, a0, .L3
.L7:
    addi a2, a2, 1
    .insn i 15, 2, zero, a2, 1
    or a2, a2, a3
    bltu a2, a0, .L7
.L3:
    fence
    ret
