    addi sp, sp, -64
    sd ra, 56(sp)
    ld a3, 0(a0)
    ld a2, 8(a0)
    andi a4, a1, 7
    sd a1, 40(sp)
    bnez a4, .L0
    srli a4, a1, 3
    bgeu a4, a2, .L1
    add a3, a3, a1
    fence rw, w
    li a5, 7
    addi a4, a1, 8
    sd a5, 0(a3)
    li a5, -8
    sd a1, 40(sp)
    sd a4, 48(sp)
    bgeu a1, a5, .L2
    slli a2, a2, 3
    bltu a2, a4, .L3
    ld a2, 16(a0)
    addi a0, a3, 7
    slli a1, a2, 48
    srli a1, a1, 48
    slli a4, a2, 47
    or a2, a1, a3
    bltz a4, .L4
    .insn i 15, 2, zero, a3, 2
    bgeu a2, a0, .L5
.L6:
    addi a2, a2, 1
    .insn i 15, 2, zero, a2, 2
    or a2, a2, a1
    bltu a2, a0, .L6
    j .L5
.L4:
    .insn i 15, 2, zero, a3, 1
    bgeu a2, a0, .L5
.L7:
    addi a2, a2, 1
    .insn i 15, 2, zero, a2, 1
    or a2, a2, a1
    bltu a2, a0, .L7
.L5:
    fence
    ld ra, 56(sp)
    addi sp, sp, 64
    ret
.L3:
.L9:
    auipc a3, %pcrel_hi(.L8)
    addi a3, a3, %pcrel_lo(.L9)
    mv a0, a1
    li a1, 8
    call _ZN10cachemaint6medium6memory12out_of_rangeE
.L0:
    addi a0, sp, 40
.L11:
    auipc a1, %got_pcrel_hi(_RNvXsd_NtNtNtC4core3fmt3num3impyNtB9_7Display3fmt)
.L12:
    auipc a2, %pcrel_hi(.L10)
.L13:
    auipc a3, %got_pcrel_hi(_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt)
    ld a1, %pcrel_lo(.L11)(a1)
    addi a2, a2, %pcrel_lo(.L12)
    ld a3, %pcrel_lo(.L13)(a3)
    sd a0, 8(sp)
    sd a1, 16(sp)
    sd a2, 24(sp)
    sd a3, 32(sp)
.L16:
    auipc a0, %pcrel_hi(.L14)
.L17:
    auipc a1, %pcrel_hi(.L15)
    addi a0, a0, %pcrel_lo(.L16)
    addi a2, a1, %pcrel_lo(.L17)
    addi a1, sp, 8
    call _RNvNtC4core9panicking9panic_fmt
.L1:
    slli a2, a2, 3
.L18:
    auipc a3, %pcrel_hi(.L15)
    addi a3, a3, %pcrel_lo(.L18)
    mv a0, a1
    li a1, 8
    call _ZN10cachemaint6medium6memory12out_of_rangeE
.L2:
    addi a0, sp, 40
.L19:
    auipc a1, %pcrel_hi(_ZN71_$LT$core..ops..range..Range$LT$Idx$GT$$u20$as$u20$core..fmt..Debug$GT$3fmtE)
    addi a1, a1, %pcrel_lo(.L19)
    sd a0, 8(sp)
    sd a1, 16(sp)
.L21:
    auipc a0, %pcrel_hi(.L20)
.L22:
    auipc a1, %pcrel_hi(.L8)
    addi a0, a0, %pcrel_lo(.L21)
    addi a2, a1, %pcrel_lo(.L22)
    addi a1, sp, 8
    call _RNvNtC4core9panicking9panic_fmt
