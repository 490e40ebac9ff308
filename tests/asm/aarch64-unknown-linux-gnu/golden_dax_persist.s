    sub sp, sp, #64
    stp x29, x30, [sp, #48]
    add x29, sp, #48
    ldr x8, [x0, #192]
    cmn x1, #9
    b.hi .L0
    add x2, x1, #8
    cmp x2, x8
    b.hi .L0
    ldr x8, [x0, #152]
    tst x1, #0x7
    str x1, [sp, #8]
    b.ne .L1
    add x8, x8, x1
    mov w9, #7
    stlr x9, [x8]
    ldur x9, [x0, #112]
    sub x10, x9, #2
    cmp x10, #2
    b.hs .L2
    add x0, x0, #112
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    b _ZN10cachemaint3dax7mapping7Mapping13persist_pagesE
.L2:
    cbnz x9, .L3
    dsb sy
    ldr x8, [x0, #176]
    ldr x8, [x8, #80]
    cbz x8, .L4
    b .L5
.L3:
    ldr x9, [x0, #120]
    lsr w10, w9, #16
    tbnz w10, #0, .L6
    ubfx w12, w9, #16, #8
    tbnz w12, #1, .L7
    and x9, x9, #0xffff
    add x10, x8, #7
    orr x11, x9, x8
    tbnz w12, #2, .L8
    dc civac, x8
    cmp x11, x10
    b.hs .L9
.L10:
    add x8, x11, #1
    dc civac, x8
    orr x11, x8, x9
    cmp x11, x10
    b.lo .L10
.L9:
    dsb sy
    ldr x8, [x0, #176]
    ldr x8, [x8, #80]
    cbz x8, .L4
    b .L5
.L6:
    dc cvac, x8
    and x9, x9, #0xffff
    add x10, x8, #7
    orr x8, x9, x8
    cmp x8, x10
    b.hs .L11
.L12:
    add x8, x8, #1
    dc cvac, x8
    orr x8, x8, x9
    cmp x8, x10
    b.lo .L12
.L11:
    dsb sy
    ldr x8, [x0, #176]
    ldr x8, [x8, #80]
    cbz x8, .L4
    b .L5
.L7:
    sys #3, c7, c12, #1, x8
    and x9, x9, #0xffff
    add x10, x8, #7
    orr x8, x9, x8
    cmp x8, x10
    b.hs .L13
.L14:
    add x8, x8, #1
    sys #3, c7, c12, #1, x8
    orr x8, x8, x9
    cmp x8, x10
    b.lo .L14
.L13:
    dsb sy
    ldr x8, [x0, #176]
    ldr x8, [x8, #80]
    cbnz x8, .L5
.L4:
    mov x0, xzr
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    ret
.L8:
    sys #3, c7, c13, #1, x8
    cmp x11, x10
    b.hs .L15
.L16:
    add x8, x11, #1
    sys #3, c7, c13, #1, x8
    orr x11, x8, x9
    cmp x11, x10
    b.lo .L16
.L15:
    dsb sy
    ldr x8, [x0, #176]
    ldr x8, [x8, #80]
    cbz x8, .L4
.L5:
    add x0, x0, #112
    ldp x29, x30, [sp, #48]
    add sp, sp, #64
    b _ZN10cachemaint3dax7mapping7Mapping6failedE
.L0:
    adrp x3, .L17
    add x3, x3, :lo12:.L17
    mov x0, x1
    mov w1, #8
    mov x2, x8
    bl _ZN10cachemaint6medium5words12out_of_rangeE
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
