.L0:
    addis 2, 12, .TOC.-.L0@ha
    addi 2, 2, .TOC.-.L0@l
    mflr 0
    std 30, -16(1)
    stdu 1, -112(1)
    li 7, -9
    std 0, 128(1)
    addi 6, 4, 8
    ld 5, 512(3)
    cmpld 4, 7
    bgt 0, .L1
    cmpld 6, 5
    bc 12, 1, .L2
    ld 5, 480(3)
    andi. 7, 4, 7
    std 4, 72(1)
    bne 0, .L3
    li 7, 7
    lwsync
    stdx 7, 5, 4
    std 6, 80(1)
    std 4, 72(1)
    ld 6, 0(3)
    cmpldi 6, 0
    beq 0, .L4
    cmpldi 6, 1
    bne 0, .L5
    ld 7, 8(3)
    add 4, 5, 4
    li 5, 0
    stb 5, 95(1)
    addi 5, 4, 7
    std 4, 40(1)
    clrldi 6, 7, 48
    rldicl 7, 7, 48, 16
    std 5, 48(1)
    andi. 8, 7, 1
    std 6, 56(1)
    bc 12, 1, .L6
    andi. 8, 7, 8
    bne 0, .L7
    andi. 8, 7, 16
    bne 0, .L8
    mr 30, 3
    andi. 3, 7, 4
    bne 0, .L9
    addis 3, 2, .L10@toc@ha
    addi 3, 3, .L10@toc@l
    addi 5, 3, 328
    b .L11
.L4:
    ld 4, 8(3)
    rldicl 4, 4, 48, 16
    andi. 5, 4, 1
    bc 12, 1, .L12
    andi. 5, 4, 8
    bne 0, .L13
    andi. 4, 4, 16
    bne 0, .L14
    sync
    b .L15
.L5:
    addis 4, 2, .L10@toc@ha
    addi 4, 4, .L10@toc@l
    addi 5, 4, 72
    addi 4, 1, 72
    bl _ZN10cachemaint3dax4view9writeback48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$15writeback_pagesE
    nop
.L26:
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
    b .L15
.L12:
    sync
    b .L15
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
    b .L15
.L13:
    .long 2088764588
    b .L15
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
    b .L15
.L14:
    .long 2088764588
    b .L15
.L9:
    addis 3, 2, .L10@toc@ha
    addi 3, 3, .L10@toc@l
    addi 5, 3, 384
.L11:
    addi 3, 1, 95
    addi 4, 1, 40
    bl _ZN83_$LT$cachemaint..cache..run..Machine$u20$as$u20$cachemaint..cache..run..Execute$GT$6select28_$u7b$$u7b$closure$u7d$$u7d$E
    mr 3, 30
.L15:
    addis 4, 2, .L23@toc@ha
    ld 4, .L23@toc@l(4)
    ld 5, 0(4)
    li 4, 0
    cmpd 7, 5, 5
    cmpldi 5, 0
    bne- 7, .+4
    isync
    bne 0, .L24
.L16:
    mr 3, 4
    addi 1, 1, 112
    ld 0, 16(1)
    ld 30, -16(1)
    mtlr 0
    blr
.L1:
.L2:
    addis 3, 2, .L10@toc@ha
    addi 3, 3, .L10@toc@l
    addi 6, 3, 48
    mr 3, 4
    li 4, 8
    bl _ZN10cachemaint3dax7mapping12out_of_rangeE
    nop
.L3:
    addi 3, 1, 72
    addis 4, 2, .L10@toc@ha
    std 3, 40(1)
    addis 3, 2, .L25@toc@ha
    addi 4, 4, .L10@toc@l
    ld 3, .L25@toc@l(3)
    addi 5, 4, 16
    std 5, 56(1)
    addi 5, 4, 48
    std 3, 48(1)
    std 3, 64(1)
    addi 3, 4, 201
    addi 4, 1, 40
    bl _RNvNtC4core9panicking9panic_fmt
    nop
.L24:
    bl _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$20check_guarded_storesE
    nop
    b .L26
