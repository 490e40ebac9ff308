    sub sp, sp, #64
    stp x29, x30, [sp, #48]
    add x29, sp, #48
    ldp x9, x8, [x0]
    tst x1, #0x7
    stur x1, [x29, #-16]
    b.ne .L0
    cmp x8, x1, lsr #3
    b.ls .L1
    add x10, x9, x1
    mov w9, #7
    cmn x1, #8
    stlr x9, [x10]
    add x9, x1, #8
    stp x1, x9, [x29, #-16]
    b.hs .L2
    lsl x2, x8, #3
    cmp x9, x2
    b.hi .L3
    ldr x11, [x0, #16]
    add x8, x10, #7
    lsr w12, w11, #16
    and x9, x11, #0xffff
    tbnz w12, #0, .L4
    ubfx w12, w11, #16, #8
    tbnz w12, #1, .L5
    orr x11, x9, x10
    tbnz w12, #2, .L6
    dc civac, x10
    cmp x11, x8
    b.hs .L7
.L8:
    add x10, x11, #1
    dc civac, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L8
.L7:
    dsb sy
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    ret
.L4:
    dc cvac, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L9
.L10:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L10
.L9:
    dsb sy
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    ret
.L5:
    sys #3, c7, c12, #1, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L7
.L11:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L11
    b .L7
.L6:
    sys #3, c7, c13, #1, x10
    cmp x11, x8
    b.hs .L7
.L12:
    add x10, x11, #1
    sys #3, c7, c13, #1, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L12
    b .L7
.L3:
    adrp x3, .L13
    add x3, x3, :lo12:.L13
    mov x0, x1
    mov w1, #8
    bl _ZN10cachemaint6medium5words12out_of_rangeE
.L0:
    sub x8, x29, #16
    adrp x9, :got:_RNvXsd_NtNtNtC4core3fmt3num3impyNtB9_7Display3fmt
    adrp x0, .L14
    add x0, x0, :lo12:.L14
    ldr x10, [x9, :got_lo12:_RNvXsd_NtNtNtC4core3fmt3num3impyNtB9_7Display3fmt]
    str x8, [sp]
    adrp x8, :got:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt
    adrp x9, .L15
    add x9, x9, :lo12:.L15
    ldr x8, [x8, :got_lo12:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt]
    adrp x2, .L16
    add x2, x2, :lo12:.L16
    mov x1, sp
    stp x10, x9, [sp, #8]
    str x8, [sp, #24]
    bl _RNvNtC4core9panicking9panic_fmt
.L1:
    lsl x2, x8, #3
    adrp x3, .L16
    add x3, x3, :lo12:.L16
    mov x0, x1
    mov w1, #8
    bl _ZN10cachemaint6medium5words12out_of_rangeE
.L2:
    sub x8, x29, #16
    adrp x9, _ZN71_$LT$core..ops..range..Range$LT$Idx$GT$$u20$as$u20$core..fmt..Debug$GT$3fmtE
    add x9, x9, :lo12:_ZN71_$LT$core..ops..range..Range$LT$Idx$GT$$u20$as$u20$core..fmt..Debug$GT$3fmtE
    adrp x0, .L17
    add x0, x0, :lo12:.L17
    adrp x2, .L13
    add x2, x2, :lo12:.L13
    mov x1, sp
    stp x8, x9, [sp]
    bl _RNvNtC4core9panicking9panic_fmt
