    lsr w10, w0, #16
    add x9, x1, #63
    and x8, x0, #0xffff
    tbnz w10, #0, .L0
    ubfx w11, w0, #16, #8
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
    dsb sy
    lsr w11, w0, #24
    orr x9, x2, #0x3f
    tbz w11, #0, .L5
.L10:
    dmb osh
    orr x10, x8, x2
    dc cvac, x2
    cmp x10, x9
    b.hs .L6
.L7:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L7
.L6:
    dsb sy
    ret
.L0:
    dc cvac, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L8
.L9:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L9
.L8:
    dsb sy
    lsr w11, w0, #24
    orr x9, x2, #0x3f
    tbnz w11, #0, .L10
.L5:
    tbnz w11, #1, .L11
    dmb osh
    orr x10, x8, x2
    tbnz w11, #2, .L12
    dc civac, x2
    cmp x10, x9
    b.hs .L13
.L14:
    add x10, x10, #1
    dc civac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L14
.L13:
    dsb sy
    ret
.L1:
    sys #3, c7, c12, #1, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L3
.L15:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L15
    b .L3
.L11:
    dmb osh
    orr x10, x8, x2
    sys #3, c7, c12, #1, x2
    cmp x10, x9
    b.hs .L13
.L16:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L16
    b .L13
.L2:
    sys #3, c7, c13, #1, x1
    cmp x10, x9
    b.hs .L3
.L17:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L17
    b .L3
.L12:
    sys #3, c7, c13, #1, x2
    cmp x10, x9
    b.hs .L13
.L18:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L18
    b .L13
