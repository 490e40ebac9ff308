    addi sp, sp, -64
    sd ra, 56(sp)
    sd s0, 48(sp)
.L0:
    auipc a1, %got_pcrel_hi(_ZN10cachemaint5cache5Cache4host6CHOSENE)
    ld a1, %pcrel_lo(.L0)(a1)
    ld a3, 0(a1)
    beqz a3, .L1
    addi a1, a0, 7
    slli a2, a3, 48
    srli a2, a2, 48
    slli a4, a3, 47
    or a3, a2, a0
    bltz a4, .L2
.L6:
    .insn i 15, 2, zero, a0, 2
    bgeu a3, a1, .L3
.L4:
    addi a3, a3, 1
    .insn i 15, 2, zero, a3, 2
    or a3, a3, a2
    bltu a3, a1, .L4
.L3:
    fence
    li a0, 1
    ld ra, 56(sp)
    ld s0, 48(sp)
    addi sp, sp, 64
    ret
.L1:
    mv s0, a0
    addi a0, sp, 8
    call _ZN10cachemaint5cache6chosen6Chosen6chooseE
    lw a0, 8(sp)
    li a1, 7
    bne a0, a1, .L5
    ld a3, 16(sp)
    mv a0, s0
    addi a1, s0, 7
    slli a2, a3, 48
    srli a2, a2, 48
    slli a4, a3, 47
    or a3, a2, s0
    bgez a4, .L6
.L2:
    .insn i 15, 2, zero, a0, 1
    bgeu a3, a1, .L7
.L8:
    addi a3, a3, 1
    .insn i 15, 2, zero, a3, 1
    or a3, a3, a2
    bltu a3, a1, .L8
.L7:
    fence
    li a0, 1
    ld ra, 56(sp)
    ld s0, 48(sp)
    addi sp, sp, 64
    ret
.L5:
    li a0, 0
    ld ra, 56(sp)
    ld s0, 48(sp)
    addi sp, sp, 64
    ret
