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
    dc civac, x2
    add x9, x2, #63
    orr x10, x8, x2
    cmp x10, x9
    b.hs .L5
.L6:
    add x10, x10, #1
    dc civac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L6
.L5:
    dsb sy
    ret
.L0:
    dc cvac, x1
    and x8, x0, #0xffff
    add x9, x1, #63
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L7
.L8:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L8
.L7:
    dc cvac, x2
    add x9, x2, #63
    orr x10, x8, x2
    cmp x10, x9
    b.hs .L5
.L9:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L9
    b .L5
.L1:
    sys #3, c7, c12, #1, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L10
.L11:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L11
.L10:
    sys #3, c7, c12, #1, x2
    add x9, x2, #63
    orr x10, x8, x2
    cmp x10, x9
    b.hs .L5
.L12:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L12
    b .L5
.L2:
    sys #3, c7, c13, #1, x1
    cmp x10, x9
    b.hs .L13
.L14:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L14
.L13:
    sys #3, c7, c13, #1, x2
    add x9, x2, #63
    orr x10, x8, x2
    cmp x10, x9
    b.hs .L5
.L15:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L15
    b .L5
