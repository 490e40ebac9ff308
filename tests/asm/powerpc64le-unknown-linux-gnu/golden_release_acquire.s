.L0:
    addis 2, 12, .TOC.-.L0@ha
    addi 2, 2, .TOC.-.L0@l
    mflr 0
    stdu 1, -32(1)
    std 0, 48(1)
    rldicl 7, 3, 48, 16
    mr 6, 3
    addi 9, 4, 63
    clrldi 8, 3, 48
    andi. 3, 7, 1
    crmove 20, 2
    bc 12, 1, .L1
    andi. 3, 7, 8
    mcrf 1, 0
    bne 0, .L2
    andi. 3, 7, 16
    bne 0, .L3
    andi. 3, 7, 4
    or 3, 8, 4
    dcbf 0, 4
    cmpld 6, 3, 9
    bne 0, .L4
    bc 4, 24, .L5
.L6:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L6
    b .L5
.L1:
    dcbst 0, 4
    or 3, 8, 4
    cmpld 3, 9
    bge 0, .L7
.L8:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L8
.L7:
    sync
    rldicl 3, 6, 12, 60
    cmpldi 3, 7
    blt 0, .L9
    b .L10
.L2:
    mr 3, 4
    .long 2092964012
    or 3, 8, 4
    cmpld 3, 9
    bge 0, .L5
.L11:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L11
.L5:
    bc 4, 6, .L12
    andi. 3, 7, 16
    bne 0, .L13
    sync
    rldicl 3, 6, 12, 60
    cmpldi 3, 7
    blt 0, .L9
    b .L10
.L12:
    .long 2088764588
    rldicl 3, 6, 12, 60
    cmpldi 3, 7
    bge 0, .L10
.L9:
    rldicl 3, 6, 40, 24
    ori 4, 5, 63
    andi. 6, 3, 1
    bc 12, 1, .L14
    andi. 6, 3, 8
    bne 0, .L15
    andi. 6, 3, 16
    bne 0, .L16
    andi. 3, 3, 4
    or 3, 8, 5
    sync
    dcbf 0, 5
    cmpld 1, 3, 4
    bne 0, .L17
    bc 4, 4, .L18
.L19:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L19
    b .L18
.L14:
    sync
    or 3, 8, 5
    dcbst 0, 5
    cmpld 3, 4
    bge 0, .L18
.L20:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L20
.L18:
    bc 4, 20, .L21
    andi. 3, 7, 8
    bne 0, .L22
    andi. 3, 7, 16
    bne 0, .L23
    sync
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L21:
    sync
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L15:
    sync
    mr 3, 5
    .long 2092964012
    or 3, 8, 5
    cmpld 3, 4
    bge 0, .L18
.L24:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L24
    b .L18
.L22:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L3:
    mr 3, 4
    .long 2088769708
    or 3, 8, 4
    cmpld 3, 9
    bge 0, .L5
.L25:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L25
    b .L5
.L13:
    .long 2088764588
    rldicl 3, 6, 12, 60
    cmpldi 3, 7
    blt 0, .L9
.L10:
    addis 3, 2, .L26@toc@ha
    addi 4, 3, .L26@toc@l
    addi 3, 4, 206
    addi 5, 4, 112
    li 4, 105
    bl _RNvNtC4core9panicking9panic_fmt
    nop
.L16:
    sync
    mr 3, 5
    .long 2088769708
    or 3, 8, 5
    cmpld 3, 4
    bge 0, .L18
.L27:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L27
    b .L18
.L23:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L4:
    bc 4, 24, .L5
.L28:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L28
    b .L5
.L17:
    bc 4, 4, .L18
.L29:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L29
    b .L18
