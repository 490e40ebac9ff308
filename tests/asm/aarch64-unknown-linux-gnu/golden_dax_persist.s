    sub sp, sp, #64
    stp x29, x30, [sp, #48]
    add x29, sp, #48
    ldr x8, [x0, #456]
    cmn x1, #9
    b.hi .L0
    add x2, x1, #8
    cmp x2, x8
    b.hi .L0
    ldr x8, [x0, #416]
    tst x1, #0x7
    str x1, [sp, #8]
    b.ne .L1
    add x10, x8, x1
    mov w8, #7
    stlr x8, [x10]
    ldr x8, [x0]
    cbz x8, .L2
    cmp x8, #1
    b.ne .L3
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
    b.hs .L7
.L8:
    add x10, x11, #1
    dc civac, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L8
.L7:
    dsb sy
    ldr x8, [x0, #440]
    ldr w8, [x8, #16]
    cbz w8, .L9
    b .L10
.L2:
    dsb sy
    ldr x8, [x0, #440]
    ldr w8, [x8, #16]
    cbz w8, .L9
    b .L10
.L3:
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    b _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
.L4:
    dc cvac, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L11
.L12:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L12
.L11:
    dsb sy
    ldr x8, [x0, #440]
    ldr w8, [x8, #16]
    cbz w8, .L9
    b .L10
.L5:
    sys #3, c7, c12, #1, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L13
.L14:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L14
.L13:
    dsb sy
    ldr x8, [x0, #440]
    ldr w8, [x8, #16]
    cbnz w8, .L10
.L9:
    mov x0, xzr
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    ret
.L6:
    sys #3, c7, c13, #1, x10
    cmp x11, x8
    b.hs .L15
.L16:
    add x10, x11, #1
    sys #3, c7, c13, #1, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L16
.L15:
    dsb sy
    ldr x8, [x0, #440]
    ldr w8, [x8, #16]
    cbz w8, .L9
.L10:
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    b _ZN10cachemaint3dax4view7DaxView6failedE
.L0:
    adrp x3, .L17
    add x3, x3, :lo12:.L17
    mov x0, x1
    mov w1, #8
    mov x2, x8
    bl _ZN10cachemaint3dax7mapping12out_of_rangeE
.L1:
    adrp x9, :got:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt
    add x8, sp, #8
    adrp x0, .L18
    add x0, x0, :lo12:.L18
    ldr x9, [x9, :got_lo12:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt]
    adrp x2, .L17
    add x2, x2, :lo12:.L17
    add x1, sp, #16
    stp x8, x9, [sp, #16]
    adrp x8, .L19
    add x8, x8, :lo12:.L19
    stp x8, x9, [sp, #32]
    bl _RNvNtC4core9panicking9panic_fmt
