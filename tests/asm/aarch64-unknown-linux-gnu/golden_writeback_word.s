    lsr w8, w0, #16
    tbnz w8, #0, .L0
    ubfx w11, w0, #16, #8
    and x8, x0, #0xffff
    orr x9, x1, #0x7
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
    ret
.L0:
    dc cvac, x1
    and x8, x0, #0xffff
    orr x9, x1, #0x7
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L5
.L6:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L6
.L5:
    dsb sy
    ret
.L1:
    sys #3, c7, c12, #1, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L7
.L8:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L8
.L7:
    dsb sy
    ret
.L2:
    sys #3, c7, c13, #1, x1
    cmp x10, x9
    b.hs .L9
.L10:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L10
.L9:
    dsb sy
    ret
