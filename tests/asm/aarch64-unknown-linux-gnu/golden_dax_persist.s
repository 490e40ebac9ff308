    sub sp, sp, #64
    stp x29, x30, [sp, #32]
    str x19, [sp, #48]
    add x29, sp, #32
    ldr x8, [x0, #496]
    cmn x1, #9
    b.hi .L0
    add x2, x1, #8
    cmp x2, x8
    b.hi .L0
    ldr x8, [x0, #456]
    tst x1, #0x7
    str x1, [x29, #24]
    b.ne .L1
    add x10, x8, x1
    mov w8, #7
    stlr x8, [x10]
    ldr x8, [x0]
    cbz x8, .L2
    cmp x8, #2
    b.ne .L3
    mov x19, x0
    bl _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
    cbz x0, .L4
    ldp x29, x30, [sp, #32]
    ldr x19, [sp, #48]
    add sp, sp, #64
    ret
.L3:
    ldr x11, [x0, #8]
    add x8, x10, #7
    lsr w12, w11, #16
    and x9, x11, #0xffff
    tbnz w12, #0, .L5
    ubfx w12, w11, #16, #8
    tbnz w12, #1, .L6
    orr x11, x9, x10
    tbnz w12, #2, .L7
    dc civac, x10
    cmp x11, x8
    b.hs .L2
.L8:
    add x10, x11, #1
    dc civac, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L8
.L2:
    ldr x8, [x0, #480]
    dsb sy
    ldr x8, [x8, #32]
    cbnz x8, .L9
.L11:
    mov x0, xzr
    ldp x29, x30, [sp, #32]
    ldr x19, [sp, #48]
    add sp, sp, #64
    ret
.L5:
    dc cvac, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L2
.L10:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L10
    b .L2
.L4:
    ldr x8, [x19, #480]
    mov x0, x19
    ldr x8, [x8, #32]
    cbz x8, .L11
.L9:
    ldp x29, x30, [sp, #32]
    ldr x19, [sp, #48]
    add sp, sp, #64
    b _ZN10cachemaint3dax4view7DaxView6failedE
.L6:
    sys #3, c7, c12, #1, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L2
.L12:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L12
    b .L2
.L7:
    sys #3, c7, c13, #1, x10
    cmp x11, x8
    b.hs .L2
.L13:
    add x10, x11, #1
    sys #3, c7, c13, #1, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L13
    b .L2
.L0:
    adrp x3, .L14
    add x3, x3, :lo12:.L14
    mov x0, x1
    mov w1, #8
    mov x2, x8
    bl _ZN10cachemaint3dax7mapping12out_of_rangeE
.L1:
    adrp x9, :got:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt
    add x8, x29, #24
    adrp x0, .L15
    add x0, x0, :lo12:.L15
    ldr x9, [x9, :got_lo12:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt]
    adrp x2, .L14
    add x2, x2, :lo12:.L14
    mov x1, sp
    stp x8, x9, [sp]
    adrp x8, .L16
    add x8, x8, :lo12:.L16
    stp x8, x9, [sp, #16]
    bl _RNvNtC4core9panicking9panic_fmt
