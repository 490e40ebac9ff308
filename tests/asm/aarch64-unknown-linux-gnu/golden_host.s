    sub sp, sp, #80
    stp x29, x30, [sp, #48]
    str x19, [sp, #64]
    add x29, sp, #48
    adrp x8, :got:_ZN10cachemaint5cache5Cache4host6CHOSENE
    ldr x8, [x8, :got_lo12:_ZN10cachemaint5cache5Cache4host6CHOSENE]
    ldr x8, [x8]
    cbz x8, .L0
    lsr w9, w8, #16
    tbnz w9, #0, .L1
.L11:
    ubfx w11, w8, #16, #8
    tbnz w11, #1, .L2
    and x8, x8, #0xffff
    orr x9, x0, #0x7
    orr x10, x8, x0
    tbnz w11, #2, .L3
    dc civac, x0
    cmp x10, x9
    b.hs .L4
.L5:
    add x10, x10, #1
    dc civac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L5
.L4:
    dsb sy
    mov w0, #1
    ldp x29, x30, [sp, #48]
    ldr x19, [sp, #64]
    add sp, sp, #80
    ret
.L2:
    sys #3, c7, c12, #1, x0
    and x8, x8, #0xffff
    orr x9, x0, #0x7
    orr x10, x8, x0
    cmp x10, x9
    b.hs .L6
.L7:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L7
.L6:
    dsb sy
    mov w0, #1
    ldp x29, x30, [sp, #48]
    ldr x19, [sp, #64]
    add sp, sp, #80
    ret
.L3:
    sys #3, c7, c13, #1, x0
    cmp x10, x9
    b.hs .L8
.L9:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L9
.L8:
    dsb sy
    mov w0, #1
    ldp x29, x30, [sp, #48]
    ldr x19, [sp, #64]
    add sp, sp, #80
    ret
.L0:
    mov x19, x0
    add x0, sp, #8
    bl _ZN10cachemaint5cache4once9OnceCache6chooseE
    ldr w8, [sp, #8]
    cmp w8, #7
    b.ne .L10
    ldr x8, [sp, #16]
    mov x0, x19
    lsr w9, w8, #16
    tbz w9, #0, .L11
.L1:
    dc cvac, x0
    and x8, x8, #0xffff
    orr x9, x0, #0x7
    orr x10, x8, x0
    b .L12
.L13:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
.L12:
    cmp x10, x9
    b.lo .L13
    dsb sy
    mov w0, #1
    ldp x29, x30, [sp, #48]
    ldr x19, [sp, #64]
    add sp, sp, #80
    ret
.L10:
    mov w0, wzr
    ldp x29, x30, [sp, #48]
    ldr x19, [sp, #64]
    add sp, sp, #80
    ret
