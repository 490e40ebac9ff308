    rldicl 7, 3, 40, 24
    addi 5, 4, 63
    clrldi 6, 3, 48
    andi. 3, 7, 1
    bc 12, 1, .L0
    andi. 3, 7, 8
    bne 0, .L1
    andi. 3, 7, 16
    bne 0, .L2
    andi. 3, 7, 4
    or 3, 6, 4
    sync
    dcbf 0, 4
    cmpld 1, 3, 5
    bne 0, .L3
    bc 4, 4, .L4
.L5:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L5
.L4:
    sync
    blr
.L0:
    sync
    or 3, 6, 4
    dcbst 0, 4
    cmpld 3, 5
    bge 0, .L6
.L7:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L7
.L6:
    sync
    blr
.L1:
    sync
    mr 3, 4
    .long 2092964012
    or 3, 6, 4
    cmpld 3, 5
    bge 0, .L8
.L9:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L9
.L8:
    sync
    blr
.L2:
    sync
    mr 3, 4
    .long 2088769708
    or 3, 6, 4
    cmpld 3, 5
    bge 0, .L10
.L11:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L11
.L10:
    sync
    blr
.L3:
    bc 4, 4, .L12
.L13:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L13
.L12:
    sync
    blr
