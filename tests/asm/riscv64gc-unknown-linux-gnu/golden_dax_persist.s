    addi sp, sp, -96
    sd ra, 88(sp)
    sd s0, 80(sp)
    ld a4, 496(a1)
    li a3, -9
    bltu a3, a2, .L0
    addi a5, a2, 8
    bltu a4, a5, .L0
    ld a3, 472(a1)
    andi a4, a2, 7
    sd a2, 64(sp)
    bnez a4, .L1
    add a3, a3, a2
    fence rw, w
    li a4, 7
    sd a4, 0(a3)
    ld a4, 0(a1)
    sd a2, 64(sp)
    sd a5, 72(sp)
    beqz a4, .L2
    li a2, 1
    bne a4, a2, .L3
    ld a4, 8(a1)
    addi a1, a3, 7
    slli a2, a4, 48
    srli a2, a2, 48
    slli a5, a4, 47
    or a4, a2, a3
    bltz a5, .L4
    .insn i 15, 2, zero, a3, 2
    bgeu a4, a1, .L2
.L5:
    addi a4, a4, 1
    .insn i 15, 2, zero, a4, 2
    or a4, a4, a2
    bltu a4, a1, .L5
    j .L2
.L3:
.L7:
    auipc a2, %pcrel_hi(.L6)
    mv s0, a0
    mv a0, sp
    addi a3, a2, %pcrel_lo(.L7)
    addi a2, sp, 64
    call _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
    mv a0, s0
    j .L8
.L4:
    .insn i 15, 2, zero, a3, 1
    bgeu a4, a1, .L2
.L9:
    addi a4, a4, 1
    .insn i 15, 2, zero, a4, 1
    or a4, a4, a2
    bltu a4, a1, .L9
.L2:
    li a1, -1
    slli a1, a1, 63
    sd a1, 0(sp)
    fence
.L8:
    ld a1, 32(sp)
    ld a2, 40(sp)
    ld a3, 48(sp)
    ld a4, 56(sp)
    sd a1, 32(a0)
    sd a2, 40(a0)
    sd a3, 48(a0)
    sd a4, 56(a0)
    ld a1, 0(sp)
    ld a2, 8(sp)
    ld a3, 16(sp)
    ld a4, 24(sp)
    sd a1, 0(a0)
    sd a2, 8(a0)
    sd a3, 16(a0)
    sd a4, 24(a0)
    ld ra, 88(sp)
    ld s0, 80(sp)
    addi sp, sp, 96
    ret
.L0:
.L11:
    auipc a3, %pcrel_hi(.L10)
    addi a3, a3, %pcrel_lo(.L11)
    li a1, 8
    mv a0, a2
    mv a2, a4
    call _ZN10cachemaint3dax7mapping12out_of_rangeE
.L1:
    addi a0, sp, 64
.L12:
    auipc a1, %got_pcrel_hi(_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt)
    ld a1, %pcrel_lo(.L12)(a1)
.L14:
    auipc a2, %pcrel_hi(.L13)
    addi a2, a2, %pcrel_lo(.L14)
    sd a0, 0(sp)
    sd a1, 8(sp)
    sd a2, 16(sp)
    sd a1, 24(sp)
.L16:
    auipc a0, %pcrel_hi(.L15)
.L17:
    auipc a1, %pcrel_hi(.L10)
    addi a0, a0, %pcrel_lo(.L16)
    addi a2, a1, %pcrel_lo(.L17)
    mv a1, sp
    call _RNvNtC4core9panicking9panic_fmt
