.L0:
    addis 2, 12, .TOC.-.L0@ha
    addi 2, 2, .TOC.-.L0@l
    mflr 0
    stdu 1, -80(1)
    std 0, 96(1)
    li 6, -9
    ld 7, 456(3)
    addi 5, 4, 8
    cmpld 4, 6
    bgt 0, .L1
    cmpld 5, 7
    bc 12, 1, .L2
    ld 6, 416(3)
    andi. 7, 4, 7
    std 4, 40(1)
    bne 0, .L3
    li 7, 7
    lwsync
    stdx 7, 6, 4
    ld 7, 0(3)
    cmpldi 7, 0
    beq 0, .L4
    cmpldi 7, 1
    bne 0, .L5
    add 4, 6, 4
    ld 6, 8(3)
    addi 5, 4, 7
    rldicl 7, 6, 48, 16
    clrldi 6, 6, 48
    andi. 8, 7, 1
    bc 12, 1, .L6
    andi. 8, 7, 8
    bne 0, .L7
    andi. 8, 7, 16
    bne 0, .L8
    dcbf 0, 4
    or 4, 6, 4
    andi. 7, 7, 4
    cmpld 1, 4, 5
    bne 0, .L9
    bc 4, 4, .L10
.L11:
    addi 4, 4, 1
    dcbf 0, 4
    or 4, 4, 6
    cmpld 4, 5
    blt 0, .L11
.L10:
    sync
    b .L12
.L4:
    ld 4, 8(3)
    rldicl 4, 4, 48, 16
    andi. 5, 4, 1
    bc 12, 1, .L13
    andi. 5, 4, 8
    bne 0, .L14
    andi. 4, 4, 16
    bne 0, .L15
    sync
    b .L12
.L5:
    bl _ZN10cachemaint3dax4view7DaxView15writeback_pagesE
    nop
.L28:
    mr 4, 3
    b .L16
.L6:
    dcbst 0, 4
    or 4, 6, 4
    cmpld 4, 5
    bge 0, .L17
.L18:
    addi 4, 4, 1
    dcbst 0, 4
    or 4, 4, 6
    cmpld 4, 5
    blt 0, .L18
.L17:
    sync
    b .L12
.L13:
    sync
    b .L12
.L7:
    mr 7, 3
    mr 3, 4
    .long 2092964012
    or 3, 6, 4
    cmpld 3, 5
    bge 0, .L19
.L20:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L20
.L19:
    .long 2088764588
    mr 3, 7
    b .L12
.L14:
    .long 2088764588
    b .L12
.L8:
    mr 7, 3
    mr 3, 4
    .long 2088769708
    or 3, 6, 4
    cmpld 3, 5
    bge 0, .L21
.L22:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 6
    cmpld 3, 5
    blt 0, .L22
.L21:
    .long 2088764588
    mr 3, 7
    b .L12
.L15:
    .long 2088764588
    b .L12
.L9:
    bc 4, 4, .L23
.L24:
    addi 4, 4, 1
    dcbf 0, 4
    or 4, 4, 6
    cmpld 4, 5
    blt 0, .L24
.L23:
    sync
.L12:
    ld 4, 440(3)
    lwz 5, 16(4)
    li 4, 0
    cmplwi 5, 0
    bne 0, .L25
.L16:
    mr 3, 4
    addi 1, 1, 80
    ld 0, 16(1)
    mtlr 0
    blr
.L1:
.L2:
    addis 3, 2, .L26@toc@ha
    mr 5, 7
    addi 3, 3, .L26@toc@l
    addi 6, 3, 40
    mr 3, 4
    li 4, 8
    bl _ZN10cachemaint3dax7mapping12out_of_rangeE
    nop
.L3:
    addi 3, 1, 40
    addis 4, 2, .L26@toc@ha
    std 3, 48(1)
    addis 3, 2, .L27@toc@ha
    addi 4, 4, .L26@toc@l
    ld 3, .L27@toc@l(3)
    addi 5, 4, 8
    std 5, 64(1)
    addi 5, 4, 40
    std 3, 56(1)
    std 3, 72(1)
    addi 3, 4, 136
    addi 4, 1, 48
    bl _RNvNtC4core9panicking9panic_fmt
    nop
.L25:
    bl _ZN10cachemaint3dax4view7DaxView6failedE
    nop
    b .L28
