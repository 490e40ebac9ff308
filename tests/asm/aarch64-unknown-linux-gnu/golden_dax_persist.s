    sub sp, sp, #112
    stp x29, x30, [sp, #80]
    str x19, [sp, #96]
    add x29, sp, #80
    ldr x2, [x0, #496]
    cmn x1, #9
    b.hi .L0
    add x9, x1, #8
    cmp x9, x2
    b.hi .L0
    ldr x10, [x0, #472]
    tst x1, #0x7
    stur x1, [x29, #-16]
    b.ne .L1
    add x11, x10, x1
    mov w10, #7
    stlr x10, [x11]
    ldr x10, [x0]
    stp x1, x9, [x29, #-16]
    cbz x10, .L2
    cmp x10, #1
    b.ne .L3
    ldr x12, [x0, #8]
    add x9, x11, #7
    lsr w13, w12, #16
    and x10, x12, #0xffff
    tbnz w13, #0, .L4
    ubfx w13, w12, #16, #8
    tbnz w13, #1, .L5
    orr x12, x10, x11
    tbnz w13, #2, .L6
    dc civac, x11
    cmp x12, x9
    b.hs .L2
.L7:
    add x11, x12, #1
    dc civac, x11
    orr x12, x11, x10
    cmp x12, x9
    b.lo .L7
.L2:
    mov x9, #-9223372036854775808
    str x9, [sp]
    dsb sy
    b .L8
.L3:
    adrp x2, .L9
    add x2, x2, :lo12:.L9
    mov x19, x8
    mov x8, sp
    sub x1, x29, #16
    bl _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
    mov x8, x19
.L8:
    ldp q0, q1, [sp]
    stp q0, q1, [x8]
    ldp q0, q2, [sp, #32]
    stp q0, q2, [x8, #32]
    ldp x29, x30, [sp, #80]
    ldr x19, [sp, #96]
    add sp, sp, #112
    ret
.L4:
    dc cvac, x11
    orr x11, x10, x11
    cmp x11, x9
    b.hs .L2
.L10:
    add x11, x11, #1
    dc cvac, x11
    orr x11, x11, x10
    cmp x11, x9
    b.lo .L10
    b .L2
.L5:
    sys #3, c7, c12, #1, x11
    orr x11, x10, x11
    cmp x11, x9
    b.hs .L2
.L11:
    add x11, x11, #1
    sys #3, c7, c12, #1, x11
    orr x11, x11, x10
    cmp x11, x9
    b.lo .L11
    b .L2
.L6:
    sys #3, c7, c13, #1, x11
    cmp x12, x9
    b.hs .L2
.L12:
    add x11, x12, #1
    sys #3, c7, c13, #1, x11
    orr x12, x11, x10
    cmp x12, x9
    b.lo .L12
    b .L2
.L0:
    adrp x3, .L13
    add x3, x3, :lo12:.L13
    mov x0, x1
    mov w1, #8
    bl _ZN10cachemaint3dax7mapping12out_of_rangeE
.L1:
    adrp x9, :got:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt
    sub x8, x29, #16
    adrp x0, .L14
    add x0, x0, :lo12:.L14
    ldr x9, [x9, :got_lo12:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt]
    adrp x2, .L13
    add x2, x2, :lo12:.L13
    mov x1, sp
    stp x8, x9, [sp]
    adrp x8, .L15
    add x8, x8, :lo12:.L15
    stp x8, x9, [sp, #16]
    bl _RNvNtC4core9panicking9panic_fmt
