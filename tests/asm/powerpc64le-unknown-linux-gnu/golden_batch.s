    rldicl 8, 3, 48, 16
    addi 7, 4, 63
    clrldi 6, 3, 48
    andi. 3, 8, 1
    bc 12, 1, .L0
    andi. 3, 8, 8
    bne 0, .L1
    andi. 3, 8, 16
    bne 0, .L2
    andi. 3, 8, 4
    or 3, 6, 4
    dcbf 0, 4
    cmpld 5, 3, 7
    bne 0, .L3
    bc 4, 20, .L4
.L5:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 6
    cmpld 1, 3, 7
    blt 1, .L5
    b .L4
.L0:
    dcbst 0, 4
    or 3, 6, 4
    cmpld 3, 7
    bge 0, .L6
.L7:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 6
    cmpld 3, 7
    blt 0, .L7
.L6:
    dcbst 0, 5
    addi 3, 5, 63
    or 4, 6, 5
    cmpld 4, 3
    bge 0, .L8
.L9:
    addi 4, 4, 1
    dcbst 0, 4
    or 4, 4, 6
    cmpld 4, 3
    blt 0, .L9
.L8:
    sync
    blr
.L1:
    mr 3, 4
    .long 2092964012
    or 3, 6, 4
    cmpld 3, 7
    bge 0, .L10
.L11:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 6
    cmpld 3, 7
    blt 0, .L11
.L10:
    mr 3, 5
    .long 2092964012
    addi 4, 5, 63
    or 3, 6, 5
    cmpld 3, 4
    bge 0, .L12
.L13:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 6
    cmpld 3, 4
    blt 0, .L13
.L12:
    .long 2088764588
    blr
.L2:
    mr 3, 4
    .long 2088769708
    or 3, 6, 4
    cmpld 3, 7
    bge 0, .L14
.L15:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 6
    cmpld 3, 7
    blt 0, .L15
.L14:
    mr 3, 5
    .long 2088769708
    addi 4, 5, 63
    or 3, 6, 5
    cmpld 3, 4
    bge 0, .L16
.L17:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 6
    cmpld 3, 4
    blt 0, .L17
.L16:
    .long 2088764588
    blr
.L3:
    bc 4, 20, .L4
.L18:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 6
    cmpld 1, 3, 7
    blt 1, .L18
.L4:
    addi 3, 5, 63
    or 4, 6, 5
    dcbf 0, 5
    cmpld 1, 4, 3
    bc 4, 2, .L19
    bc 4, 4, .L20
.L21:
    addi 4, 4, 1
    dcbf 0, 4
    or 4, 4, 6
    cmpld 4, 3
    blt 0, .L21
    b .L20
.L19:
    bc 4, 4, .L20
.L22:
    addi 4, 4, 1
    dcbf 0, 4
    or 4, 4, 6
    cmpld 4, 3
    blt 0, .L22
.L20:
    sync
    blr
