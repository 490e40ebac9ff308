    addi a4, a1, 63
    slli a3, a0, 48
    srli a3, a3, 48
    slli a6, a0, 47
    or a5, a3, a1
    bltz a6, .L0
    .insn i 15, 2, zero, a1, 2
    bgeu a5, a4, .L1
.L2:
    addi a5, a5, 1
    .insn i 15, 2, zero, a5, 2
    or a5, a5, a3
    bltu a5, a4, .L2
.L1:
    fence
    fence
    addi a1, a2, 63
    slli a4, a0, 39
    or a0, a3, a2
    bltz a4, .L3
    .insn i 15, 2, zero, a2, 2
    bgeu a0, a1, .L4
.L5:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 2
    or a0, a0, a3
    bltu a0, a1, .L5
.L4:
    fence
    ret
.L0:
    .insn i 15, 2, zero, a1, 1
    bgeu a5, a4, .L6
.L7:
    addi a5, a5, 1
    .insn i 15, 2, zero, a5, 1
    or a5, a5, a3
    bltu a5, a4, .L7
.L6:
    fence
    fence
    addi a1, a2, 63
    slli a4, a0, 39
    or a0, a3, a2
    bltz a4, .L8
    .insn i 15, 2, zero, a2, 2
    bgeu a0, a1, .L9
.L10:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 2
    or a0, a0, a3
    bltu a0, a1, .L10
.L9:
    fence
    ret
.L3:
    .insn i 15, 2, zero, a2, 1
    bgeu a0, a1, .L11
.L12:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 1
    or a0, a0, a3
    bltu a0, a1, .L12
.L11:
    fence
    ret
.L8:
    .insn i 15, 2, zero, a2, 1
    bgeu a0, a1, .L13
.L14:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 1
    or a0, a0, a3
    bltu a0, a1, .L14
.L13:
    fence
    ret
