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
    dmb osh
    lsr w11, w0, #24
    and x8, x0, #0xffff
    add x9, x2, #63
    tbnz w11, #0, .L5
    tbnz w11, #1, .L6
    orr x10, x8, x2
    tbnz w11, #2, .L7
    dc civac, x2
    cmp x10, x9
    b.hs .L8
.L9:
    add x10, x10, #1
    dc civac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L9
.L8:
    dc civac, x3
    add x9, x3, #63
    orr x10, x8, x3
    cmp x10, x9
    b.hs .L10
.L11:
    add x10, x10, #1
    dc civac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L11
.L10:
    dsb sy
    ret
.L0:
    dc cvac, x1
    and x8, x0, #0xffff
    add x9, x1, #63
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L3
.L12:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L12
    b .L3
.L5:
    dc cvac, x2
    orr x10, x8, x2
    cmp x10, x9
    b.hs .L13
.L14:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L14
.L13:
    dc cvac, x3
    add x9, x3, #63
    orr x10, x8, x3
    cmp x10, x9
    b.hs .L10
.L15:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L15
    b .L10
.L1:
    sys #3, c7, c12, #1, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L3
.L16:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L16
    b .L3
.L6:
    sys #3, c7, c12, #1, x2
    orr x10, x8, x2
    cmp x10, x9
    b.hs .L17
.L18:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L18
.L17:
    sys #3, c7, c12, #1, x3
    add x9, x3, #63
    orr x10, x8, x3
    cmp x10, x9
    b.hs .L10
.L19:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L19
    b .L10
.L2:
    sys #3, c7, c13, #1, x1
    cmp x10, x9
    b.hs .L3
.L20:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L20
    b .L3
.L7:
    sys #3, c7, c13, #1, x2
    cmp x10, x9
    b.hs .L21
.L22:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L22
.L21:
    sys #3, c7, c13, #1, x3
    add x9, x3, #63
    orr x10, x8, x3
    cmp x10, x9
    b.hs .L10
.L23:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L23
    b .L10
