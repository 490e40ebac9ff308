    stp x29, x30, [sp, #-16]!
    mov x29, sp
    lsr w8, w0, #16
    tbnz w8, #0, .L0
    ubfx w11, w0, #16, #8
    and x8, x0, #0xffff
    add x9, x1, #63
    tbnz w11, #1, .L1
    orr x10, x8, x1
    tbnz w11, #2, .L2
    dc civac, x1
    cmp x10, x9
    b.hs .L3
.L4:
    add x10, x10, #1
    dc civac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L4
.L3:
    ubfx x8, x0, #52, #4
    dsb sy
    cmp x8, #7
    b.hs .L5
    dmb osh
    lsr w11, w0, #24
    and x8, x0, #0xffff
    orr x9, x2, #0x3f
    tbnz w11, #0, .L6
    tbnz w11, #1, .L7
    orr x10, x8, x2
    tbnz w11, #2, .L8
    dc civac, x2
    cmp x10, x9
    b.hs .L9
.L10:
    add x10, x10, #1
    dc civac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L10
.L9:
    dsb sy
    ldp x29, x30, [sp], #16
    ret
.L0:
    dc cvac, x1
    and x8, x0, #0xffff
    add x9, x1, #63
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L3
.L11:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L11
    b .L3
.L6:
    dc cvac, x2
    orr x10, x8, x2
    cmp x10, x9
    b.hs .L9
.L12:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L12
    b .L9
.L1:
    sys #3, c7, c12, #1, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L3
.L13:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L13
    b .L3
.L7:
    sys #3, c7, c12, #1, x2
    orr x10, x8, x2
    cmp x10, x9
    b.hs .L9
.L14:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L14
    b .L9
.L2:
    sys #3, c7, c13, #1, x1
    cmp x10, x9
    b.hs .L3
.L15:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L15
    b .L3
.L8:
    sys #3, c7, c13, #1, x2
    cmp x10, x9
    b.hs .L9
.L16:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L16
    b .L9
.L5:
    adrp x0, .L17
    add x0, x0, :lo12:.L17
    adrp x2, .L18
    add x2, x2, :lo12:.L18
    mov w1, #105
    bl _RNvNtC4core9panicking9panic_fmt
