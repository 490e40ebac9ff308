    dmb osh
    cbz x2, .L0
    lsr w10, w0, #24
    add x8, x1, x2, lsl #3
    and x9, x0, #0xffff
    tbnz w10, #0, .L1
    tbnz w10, #1, .L2
    tbnz w10, #2, .L3
    b .L4
.L5:
    cmp x1, x8
    b.eq .L0
.L1:
    ldr x11, [x1], #8
    dc cvac, x11
    add x10, x11, #63
    orr x11, x9, x11
    cmp x11, x10
    b.hs .L5
.L6:
    add x11, x11, #1
    dc cvac, x11
    orr x11, x11, x9
    cmp x11, x10
    b.lo .L6
    b .L5
.L7:
    cmp x1, x8
    b.eq .L0
.L2:
    ldr x11, [x1], #8
    sys #3, c7, c12, #1, x11
    add x10, x11, #63
    orr x11, x9, x11
    cmp x11, x10
    b.hs .L7
.L8:
    add x11, x11, #1
    sys #3, c7, c12, #1, x11
    orr x11, x11, x9
    cmp x11, x10
    b.lo .L8
    b .L7
.L9:
    cmp x1, x8
    b.eq .L0
.L4:
    ldr x11, [x1], #8
    dc civac, x11
    add x10, x11, #63
    orr x11, x9, x11
    cmp x11, x10
    b.hs .L9
.L10:
    add x11, x11, #1
    dc civac, x11
    orr x11, x11, x9
    cmp x11, x10
    b.lo .L10
    b .L9
.L11:
    cmp x1, x8
    b.eq .L0
.L3:
    ldr x11, [x1], #8
    sys #3, c7, c13, #1, x11
    add x10, x11, #63
    orr x11, x9, x11
    cmp x11, x10
    b.hs .L11
.L12:
    add x11, x11, #1
    sys #3, c7, c13, #1, x11
    orr x11, x11, x9
    cmp x11, x10
    b.lo .L12
    b .L11
.L0:
    dsb sy
    ret
