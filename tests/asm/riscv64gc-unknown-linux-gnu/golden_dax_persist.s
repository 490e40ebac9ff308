    addi sp, sp, -48
    sd ra, 40(sp)
    ld a2, 512(a0)
    li a3, -9
    bltu a3, a1, .L0
    addi a4, a1, 8
    bltu a2, a4, .L0
    ld a3, 480(a0)
    andi a2, a1, 7
    sd a1, 0(sp)
    bnez a2, .L1
    add a3, a3, a1
    fence rw, w
    li a2, 7
    sd a2, 0(a3)
    ld a2, 0(a0)
    sd a1, 8(sp)
    sd a4, 16(sp)
    beqz a2, .L2
    li a1, 1
    bne a2, a1, .L3
    ld a4, 8(a0)
    addi a1, a3, 7
    slli a2, a4, 48
    srli a2, a2, 48
    slli a5, a4, 47
    or a4, a2, a3
    bltz a5, .L4
    .insn i 15, 2, zero, a3, 2
    bgeu a4, a1, .L5
.L6:
    addi a4, a4, 1
    .insn i 15, 2, zero, a4, 2
    or a4, a4, a2
    bltu a4, a1, .L6
.L5:
    fence
    j .L7
.L2:
    fence
    j .L7
.L3:
.L9:
    auipc a2, %pcrel_hi(.L8)
    addi a2, a2, %pcrel_lo(.L9)
    addi a1, sp, 8
    call _ZN10cachemaint3dax4view9writeback48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$15writeback_pagesE
    ld ra, 40(sp)
    addi sp, sp, 48
    ret
.L4:
    .insn i 15, 2, zero, a3, 1
    bgeu a4, a1, .L10
.L11:
    addi a4, a4, 1
    .insn i 15, 2, zero, a4, 1
    or a4, a4, a2
    bltu a4, a1, .L11
.L10:
    fence
.L7:
.L12:
    auipc a1, %got_pcrel_hi(_ZN10cachemaint3dax6faults5slots4USEDE)
    ld a1, %pcrel_lo(.L12)(a1)
    ld a1, 0(a1)
    fence r, rw
    bnez a1, .L13
    li a0, 0
    ld ra, 40(sp)
    addi sp, sp, 48
    ret
.L0:
.L15:
    auipc a3, %pcrel_hi(.L14)
    addi a3, a3, %pcrel_lo(.L15)
    mv a0, a1
    li a1, 8
    call _ZN10cachemaint3dax7mapping12out_of_rangeE
.L1:
    mv a0, sp
.L16:
    auipc a1, %got_pcrel_hi(_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt)
    ld a1, %pcrel_lo(.L16)(a1)
.L18:
    auipc a2, %pcrel_hi(.L17)
    addi a2, a2, %pcrel_lo(.L18)
    sd a0, 8(sp)
    sd a1, 16(sp)
    sd a2, 24(sp)
    sd a1, 32(sp)
.L20:
    auipc a0, %pcrel_hi(.L19)
.L21:
    auipc a1, %pcrel_hi(.L14)
    addi a0, a0, %pcrel_lo(.L20)
    addi a2, a1, %pcrel_lo(.L21)
    addi a1, sp, 8
    call _RNvNtC4core9panicking9panic_fmt
.L13:
    ld ra, 40(sp)
    addi sp, sp, 48
    tail _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$20check_guarded_storesE
