    sub sp, sp, #64
    stp x29, x30, [sp, #48]
    add x29, sp, #48
    ldr x8, [x0, #496]
    cmn x1, #9
    b.hi .L0
    add x2, x1, #8
    cmp x2, x8
    b.hi .L0
    ldr x8, [x0, #456]
    tst x1, #0x7
    str x1, [sp, #8]
    b.ne .L1
    add x10, x8, x1
    mov w8, #7
    stlr x8, [x10]
    ldr x8, [x0]
    cbz x8, .L2
    cmp x8, #2
    b.ne .L3
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    b _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
.L3:
    ldr x11, [x0, #8]
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
    b.hs .L2
.L7:
    add x10, x11, #1
    dc civac, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L7
.L2:
    ldr x8, [x0, #480]
    dsb sy
    ldr x8, [x8, #32]
    cbnz x8, .L8
    mov x0, xzr
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    ret
.L4:
    dc cvac, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L2
.L9:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L9
    b .L2
.L5:
    sys #3, c7, c12, #1, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L2
.L10:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L10
    b .L2
.L6:
    sys #3, c7, c13, #1, x10
    cmp x11, x8
    b.hs .L2
.L11:
    add x10, x11, #1
    sys #3, c7, c13, #1, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L11
    b .L2
.L8:
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    b _ZN10cachemaint3dax4view7DaxView6failedE
.L0:
    adrp x3, .L12
    add x3, x3, :lo12:.L12
    mov x0, x1
    mov w1, #8
    mov x2, x8
    bl _ZN10cachemaint3dax7mapping12out_of_rangeE
.L1:
    adrp x9, :got:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt
    add x8, sp, #8
    adrp x0, .L13
    add x0, x0, :lo12:.L13
    ldr x9, [x9, :got_lo12:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt]
    adrp x2, .L12
    add x2, x2, :lo12:.L12
    add x1, sp, #16
    stp x8, x9, [sp, #16]
    adrp x8, .L14
    add x8, x8, :lo12:.L14
    stp x8, x9, [sp, #32]
    bl _RNvNtC4core9panicking9panic_fmt
