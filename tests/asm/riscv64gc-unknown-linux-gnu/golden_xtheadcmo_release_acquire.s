    srli a3, a0, 6
    addi a0, a0, 127
    srli a4, a0, 6
    bltu a4, a3, .L0
    bgeu a3, a4, .L1
    slli a2, a3, 6
    sub a3, a4, a3
.L2:
    .insn r 11, 0, 1, zero, a2, t0
    addi a3, a3, -1
    addi a2, a2, 64
    bnez a3, .L2
.L1:
    andi a0, a0, -64
    .insn r 11, 0, 1, zero, a0, t0
.L0:
    .insn r 11, 0, 0, zero, zero, s9
    fence
    .insn r 11, 0, 0, zero, zero, s9
    srli a2, a1, 6
    addi a0, a1, 127
    srli a3, a0, 6
    bltu a3, a2, .L3
    bgeu a2, a3, .L4
    sub a2, a3, a2
.L5:
    .insn r 11, 0, 1, zero, a1, t2
    addi a2, a2, -1
    addi a1, a1, 64
    bnez a2, .L5
.L4:
    andi a0, a0, -64
    .insn r 11, 0, 1, zero, a0, t2
.L3:
    .insn r 11, 0, 0, zero, zero, s9
    fence
    ret
