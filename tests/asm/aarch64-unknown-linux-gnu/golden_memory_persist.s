    sub sp, sp, #64
    stp x29, x30, [sp, #48]
    add x29, sp, #48
    ldp x8, x9, [x0]
    tst x1, #0x7
    str x1, [sp, #8]
    b.ne .L0
    cmp x9, x1, lsr #3
    b.ls .L1
    lsl x2, x9, #3
    add x8, x8, x1
    mov w10, #7
    cmn x1, #9
    stlr x10, [x8]
    b.hi .L2
    add x9, x1, #8
    cmp x9, x2
    b.hi .L2
    ldr x9, [x0, #16]
    lsr w10, w9, #16
    tbnz w10, #0, .L3
    ubfx w12, w9, #16, #8
    tbnz w12, #1, .L4
    and x9, x9, #0xffff
    add x10, x8, #7
    orr x11, x9, x8
    tbnz w12, #2, .L5
    dc civac, x8
    cmp x11, x10
    b.hs .L6
.L7:
    add x8, x11, #1
    dc civac, x8
    orr x11, x8, x9
    cmp x11, x10
    b.lo .L7
.L6:
    dsb sy
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    ret
.L3:
    dc cvac, x8
    and x9, x9, #0xffff
    add x10, x8, #7
    orr x8, x9, x8
    cmp x8, x10
    b.hs .L8
.L9:
    add x8, x8, #1
    dc cvac, x8
    orr x8, x8, x9
    cmp x8, x10
    b.lo .L9
.L8:
    dsb sy
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    ret
.L4:
    sys #3, c7, c12, #1, x8
    and x9, x9, #0xffff
    add x10, x8, #7
    orr x8, x9, x8
    cmp x8, x10
    b.hs .L6
.L10:
    add x8, x8, #1
    sys #3, c7, c12, #1, x8
    orr x8, x8, x9
    cmp x8, x10
    b.lo .L10
    b .L6
.L5:
    sys #3, c7, c13, #1, x8
    cmp x11, x10
    b.hs .L6
.L11:
    add x8, x11, #1
    sys #3, c7, c13, #1, x8
    orr x11, x8, x9
    cmp x11, x10
    b.lo .L11
    b .L6
.L2:
    adrp x3, .L12
    add x3, x3, :lo12:.L12
    mov x0, x1
    mov w1, #8
    bl _ZN10cachemaint6medium5words12out_of_rangeE
.L0:
    add x8, sp, #8
    adrp x9, :got:_RNvXsd_NtNtNtC4core3fmt3num3impyNtB9_7Display3fmt
    adrp x0, .L13
    add x0, x0, :lo12:.L13
    ldr x10, [x9, :got_lo12:_RNvXsd_NtNtNtC4core3fmt3num3impyNtB9_7Display3fmt]
    str x8, [sp, #16]
    adrp x8, :got:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt
    adrp x9, .L14
    add x9, x9, :lo12:.L14
    ldr x8, [x8, :got_lo12:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt]
    adrp x2, .L15
    add x2, x2, :lo12:.L15
    add x1, sp, #16
    stp x10, x9, [sp, #24]
    str x8, [sp, #40]
    bl _RNvNtC4core9panicking9panic_fmt
.L1:
    lsl x2, x9, #3
    adrp x3, .L15
    add x3, x3, :lo12:.L15
    mov x0, x1
    mov w1, #8
    bl _ZN10cachemaint6medium5words12out_of_rangeE
