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
    b.hs .L0
.L4:
    add x10, x10, #1
    dc civac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L4
.L0:
    ret
.L1:
    dc cvac, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L0
.L5:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L5
    b .L0
.L2:
    sys #3, c7, c12, #1, x1
    orr x10, x8, x1
    cmp x10, x9
    b.hs .L0
.L6:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L6
    b .L0
.L3:
    sys #3, c7, c13, #1, x1
    cmp x10, x9
    b.hs .L0
.L7:
    add x10, x10, #1
    sys #3, c7, c13, #1, x10
    orr x10, x10, x8
    cmp x10, x9
    b.lo .L7
    b .L0
