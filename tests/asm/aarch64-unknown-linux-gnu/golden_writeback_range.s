    cbz x2, .L0
    add x9, x1, x2
    ubfx w11, w0, #16, #8
    and x8, x0, #0xffff
    sub x9, x9, #1
    tbnz w11, #0, .L1
    tbnz w11, #1, .L2
    orr x10, x8, x1
    tbnz w11, #2, .L3
    dc civac, x1
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
    ret
.L1:
    dc cvac, x1
    orr x10, x8, x1
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
.L0:
    ret
.L2:
    sys #3, c7, c12, #1, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L8
.L9:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L9
.L8:
    dsb sy
    ret
.L3:
    sys #3, c7, c13, #1, x1
    cmp x10, x9
    b.hs .L10
.L11:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L11
.L10:
    dsb sy
    ret
