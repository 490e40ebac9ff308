    addi sp, sp, -48
    sd ra, 40(sp)
    ld a4, 456(a0)
    li a2, -9
    bltu a2, a1, .L0
    addi a2, a1, 8
    bltu a4, a2, .L0
    ld a4, 416(a0)
    andi a3, a1, 7
    sd a1, 0(sp)
    bnez a3, .L1
    add a4, a4, a1
    fence rw, w
    li a3, 7
    sd a3, 0(a4)
    ld a3, 0(a0)
    beqz a3, .L2
    li a5, 1
    bne a3, a5, .L3
    ld a3, 8(a0)
    addi a1, a4, 7
    slli a2, a3, 48
    srli a2, a2, 48
    slli a5, a3, 47
    or a3, a2, a4
    bltz a5, .L4
    .insn i 15, 2, zero, a4, 2
    bgeu a3, a1, .L5
.L6:
    addi a3, a3, 1
    .insn i 15, 2, zero, a3, 2
    or a3, a3, a2
    bltu a3, a1, .L6
.L5:
    fence
    ld a1, 440(a0)
    lw a1, 16(a1)
    beqz a1, .L7
    j .L8
.L2:
    fence
    ld a1, 440(a0)
    lw a1, 16(a1)
    bnez a1, .L8
.L7:
    li a0, 0
    ld ra, 40(sp)
    addi sp, sp, 48
    ret
.L3:
    ld ra, 40(sp)
    addi sp, sp, 48
    tail _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
.L4:
    .insn i 15, 2, zero, a4, 1
    bgeu a3, a1, .L9
.L10:
    addi a3, a3, 1
    .insn i 15, 2, zero, a3, 1
    or a3, a3, a2
    bltu a3, a1, .L10
.L9:
    fence
    ld a1, 440(a0)
    lw a1, 16(a1)
    beqz a1, .L7
.L8:
    ld ra, 40(sp)
    addi sp, sp, 48
    tail _ZN10cachemaint3dax4view7DaxView6failedE
.L0:
.L12:
    auipc a3, %pcrel_hi(.L11)
    addi a3, a3, %pcrel_lo(.L12)
    mv a0, a1
    li a1, 8
    mv a2, a4
    call _ZN10cachemaint3dax7mapping12out_of_rangeE
.L1:
    mv a0, sp
.L13:
    auipc a1, %got_pcrel_hi(_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt)
    ld a1, %pcrel_lo(.L13)(a1)
.L15:
    auipc a2, %pcrel_hi(.L14)
    addi a2, a2, %pcrel_lo(.L15)
    sd a0, 8(sp)
    sd a1, 16(sp)
    sd a2, 24(sp)
    sd a1, 32(sp)
.L17:
    auipc a0, %pcrel_hi(.L16)
.L18:
    auipc a1, %pcrel_hi(.L11)
    addi a0, a0, %pcrel_lo(.L17)
    addi a2, a1, %pcrel_lo(.L18)
    addi a1, sp, 8
    call _RNvNtC4core9panicking9panic_fmt
