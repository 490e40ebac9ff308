    addi sp, sp, -48
    sd ra, 40(sp)
    ld a2, 496(a0)
    li a3, -9
    bltu a3, a1, .L0
    addi a3, a1, 8
    bltu a2, a3, .L0
    ld a2, 472(a0)
    andi a4, a1, 7
    sd a1, 0(sp)
    bnez a4, .L1
    add a2, a2, a1
    fence rw, w
    li a4, 7
    sd a4, 0(a2)
    ld a4, 0(a0)
    sd a1, 8(sp)
    sd a3, 16(sp)
    beqz a4, .L2
    li a1, 1
    bne a4, a1, .L3
    ld a3, 8(a0)
    addi a0, a2, 7
    slli a1, a3, 48
    srli a1, a1, 48
    slli a4, a3, 47
    or a3, a1, a2
    bltz a4, .L4
    .insn i 15, 2, zero, a2, 2
    bgeu a3, a0, .L5
.L6:
    addi a3, a3, 1
    .insn i 15, 2, zero, a3, 2
    or a3, a3, a1
    bltu a3, a0, .L6
.L5:
    fence
    li a0, 0
    ld ra, 40(sp)
    addi sp, sp, 48
    ret
.L2:
    fence
    li a0, 0
    ld ra, 40(sp)
    addi sp, sp, 48
    ret
.L3:
.L8:
    auipc a2, %pcrel_hi(.L7)
    addi a2, a2, %pcrel_lo(.L8)
    addi a1, sp, 8
    call _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
    ld ra, 40(sp)
    addi sp, sp, 48
    ret
.L4:
    .insn i 15, 2, zero, a2, 1
    bgeu a3, a0, .L9
.L10:
    addi a3, a3, 1
    .insn i 15, 2, zero, a3, 1
    or a3, a3, a1
    bltu a3, a0, .L10
.L9:
    fence
    li a0, 0
    ld ra, 40(sp)
    addi sp, sp, 48
    ret
.L0:
.L12:
    auipc a3, %pcrel_hi(.L11)
    addi a3, a3, %pcrel_lo(.L12)
    mv a0, a1
    li a1, 8
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
