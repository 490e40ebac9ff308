    addi sp, sp, -16
    sd ra, 8(sp)
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
    j .L1
.L0:
    .insn i 15, 2, zero, a1, 1
    bgeu a5, a4, .L1
.L3:
    addi a5, a5, 1
    .insn i 15, 2, zero, a5, 1
    or a5, a5, a3
    bltu a5, a4, .L3
.L1:
    fence
    slli a1, a0, 8
    srli a1, a1, 60
    li a4, 7
    bgeu a1, a4, .L4
    fence
    addi a1, a2, 63
    slli a4, a0, 39
    or a0, a3, a2
    bltz a4, .L5
    .insn i 15, 2, zero, a2, 2
    bgeu a0, a1, .L6
.L7:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 2
    or a0, a0, a3
    bltu a0, a1, .L7
    j .L6
.L5:
    .insn i 15, 2, zero, a2, 1
    bgeu a0, a1, .L6
.L8:
    addi a0, a0, 1
    .insn i 15, 2, zero, a0, 1
    or a0, a0, a3
    bltu a0, a1, .L8
.L6:
    fence
    ld ra, 8(sp)
    addi sp, sp, 16
    ret
.L4:
.L11:
    auipc a0, %pcrel_hi(.L9)
.L12:
    auipc a1, %pcrel_hi(.L10)
    addi a0, a0, %pcrel_lo(.L11)
    addi a2, a1, %pcrel_lo(.L12)
    li a1, 105
    call _RNvNtC4core9panicking9panic_fmt
