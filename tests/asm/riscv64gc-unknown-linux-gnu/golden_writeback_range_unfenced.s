    beqz a2, .L0
    add a2, a2, a1
    slli a3, a0, 48
    addi a2, a2, -1
    srli a3, a3, 48
    slli a4, a0, 47
    or a0, a3, a1
    bltz a4, .L1
    .insn i 15, 2, zero, a1, 2
    bgeu a0, a2, .L0
.L2:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 2
    or a0, a0, a3
    bltu a0, a2, .L2
    j .L0
.L1:
    .insn i 15, 2, zero, a1, 1
    bgeu a0, a2, .L0
.L3:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 1
    or a0, a0, a3
    bltu a0, a2, .L3
.L0:
    ret
