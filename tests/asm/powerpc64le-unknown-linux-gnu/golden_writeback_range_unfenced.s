    cmpldi 5, 0
    beqlr 0
    add 5, 4, 5
    rldicl 7, 3, 48, 16
    clrldi 6, 3, 48
    addi 5, 5, -1
    andi. 3, 7, 1
    bc 12, 1, .L0
    andi. 3, 7, 8
    bne 0, .L1
    andi. 3, 7, 16
    bne 0, .L2
    andi. 3, 7, 4
    or 3, 6, 4
    dcbf 0, 4
    cmpld 1, 3, 5
    bne 0, .L3
    bclr 4, 4, 0
.L4:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L4
    blr
.L0:
    dcbst 0, 4
    or 3, 6, 4
    cmpld 3, 5
    bgelr 0
.L5:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L5
    blr
.L1:
    mr 3, 4
    .long 2092964012
    or 3, 6, 4
.L6:
    cmpld 3, 5
    bgelr 0
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 6
    b .L6
.L2:
    mr 3, 4
    .long 2088769708
    or 3, 6, 4
    cmpld 3, 5
    bgelr 0
.L7:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L7
    blr
.L3:
    bclr 4, 4, 0
.L8:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L8
    blr
