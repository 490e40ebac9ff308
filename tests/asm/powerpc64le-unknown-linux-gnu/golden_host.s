.L0:
    addis 2, 12, .TOC.-.L0@ha
    addi 2, 2, .TOC.-.L0@l
    mflr 0
    std 30, -16(1)
    stdu 1, -96(1)
    addis 4, 2, .L1@toc@ha
    std 0, 112(1)
    ld 4, .L1@toc@l(4)
    ld 5, 0(4)
    cmpldi 5, 0
    beq 0, .L2
.L19:
    rldicl 6, 5, 48, 16
    ori 4, 3, 7
    clrldi 5, 5, 48
    andi. 7, 6, 1
    bc 12, 1, .L3
    andi. 7, 6, 8
    bne 0, .L4
    andi. 7, 6, 16
    bne 0, .L5
    dcbf 0, 3
    or 3, 5, 3
    andi. 6, 6, 4
    cmpld 1, 3, 4
    bne 0, .L6
    bc 4, 4, .L7
.L8:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L8
.L7:
    sync
    b .L9
.L3:
    dcbst 0, 3
    or 3, 5, 3
    cmpld 3, 4
    bge 0, .L10
.L11:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L11
.L10:
    sync
    b .L9
.L4:
    .long 2092964012
    or 3, 5, 3
    cmpld 3, 4
    bge 0, .L12
.L13:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L13
.L12:
    .long 2088764588
    b .L9
.L5:
    .long 2088769708
    or 3, 5, 3
    cmpld 3, 4
    bge 0, .L14
.L15:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L15
.L14:
    .long 2088764588
    b .L9
.L6:
    bc 4, 4, .L16
.L17:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L17
.L16:
    sync
.L9:
    li 3, 1
.L18:
    addi 1, 1, 96
    ld 0, 16(1)
    ld 30, -16(1)
    mtlr 0
    blr
.L2:
    mr 30, 3
    addi 3, 1, 40
    bl _ZN10cachemaint5cache6chosen6Chosen6chooseE
    lwz 4, 40(1)
    li 3, 0
    cmplwi 4, 7
    bne 0, .L18
    ld 5, 48(1)
    mr 3, 30
    b .L19
