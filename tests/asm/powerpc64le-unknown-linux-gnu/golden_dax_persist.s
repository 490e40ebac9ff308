.L0:
    addis 2, 12, .TOC.-.L0@ha
    addi 2, 2, .TOC.-.L0@l
    mflr 0
    std 30, -16(1)
    stdu 1, -128(1)
    li 6, -9
    std 0, 144(1)
    mr 30, 3
    addi 3, 5, 8
    ld 7, 496(4)
    cmpld 5, 6
    bgt 0, .L1
    cmpld 3, 7
    bc 12, 1, .L2
    ld 6, 472(4)
    andi. 7, 5, 7
    std 5, 96(1)
    bne 0, .L3
    li 7, 7
    lwsync
    stdx 7, 6, 5
    std 3, 104(1)
    std 5, 96(1)
    ld 3, 0(4)
    cmpldi 3, 0
    beq 0, .L4
    cmpldi 3, 1
    bne 0, .L5
    ld 4, 8(4)
    add 3, 6, 5
    addi 5, 3, 7
    clrldi 6, 4, 48
    rldicl 4, 4, 48, 16
    andi. 7, 4, 1
    bc 12, 1, .L6
    andi. 7, 4, 8
    bne 0, .L7
    andi. 7, 4, 16
    bne 0, .L8
    dcbf 0, 3
    or 3, 6, 3
    andi. 7, 4, 4
    cmpld 1, 3, 5
    bne 0, .L9
    bc 4, 4, .L10
.L11:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L11
    b .L10
.L4:
    lbz 4, 10(4)
.L10:
    li 3, 1
    rldic 3, 3, 63, 0
    std 3, 32(1)
    andi. 3, 4, 1
    bc 12, 1, .L12
    andi. 3, 4, 8
    bne 0, .L13
    andi. 3, 4, 16
    bne 0, .L14
    sync
    b .L15
.L12:
    sync
    b .L15
.L5:
    addis 3, 2, .L16@toc@ha
    addi 5, 1, 96
    addi 3, 3, .L16@toc@l
    addi 6, 3, 64
    addi 3, 1, 32
    bl _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
    nop
    b .L15
.L6:
    dcbst 0, 3
    or 3, 6, 3
    cmpld 3, 5
    bge 0, .L10
.L17:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L17
    b .L10
.L13:
    .long 2088764588
    b .L15
.L7:
    .long 2092964012
    or 3, 6, 3
    cmpld 3, 5
    bge 0, .L10
.L18:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L18
    b .L10
.L14:
    .long 2088764588
.L15:
    li 3, 48
    addi 4, 1, 32
    lxvd2x 0, 4, 3
    stxvd2x 0, 30, 3
    li 3, 32
    lxvd2x 0, 4, 3
    stxvd2x 0, 30, 3
    li 3, 16
    lxvd2x 0, 4, 3
    stxvd2x 0, 30, 3
    lxvd2x 0, 0, 4
    stxvd2x 0, 0, 30
    addi 1, 1, 128
    ld 0, 16(1)
    ld 30, -16(1)
    mtlr 0
    blr
.L8:
    .long 2088769708
    or 3, 6, 3
    cmpld 3, 5
    bge 0, .L10
.L19:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L19
    b .L10
.L9:
    bc 4, 4, .L10
.L20:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L20
    b .L10
.L1:
.L2:
    addis 3, 2, .L16@toc@ha
    li 4, 8
    addi 3, 3, .L16@toc@l
    addi 6, 3, 40
    mr 3, 5
    mr 5, 7
    bl _ZN10cachemaint3dax7mapping12out_of_rangeE
    nop
.L3:
    addi 3, 1, 96
    addis 4, 2, .L16@toc@ha
    std 3, 32(1)
    addis 3, 2, .L21@toc@ha
    addi 4, 4, .L16@toc@l
    ld 3, .L21@toc@l(3)
    addi 5, 4, 8
    std 5, 48(1)
    addi 5, 4, 40
    std 3, 40(1)
    std 3, 56(1)
    addi 3, 4, 136
    addi 4, 1, 32
    bl _RNvNtC4core9panicking9panic_fmt
    nop
