.L0:
    addis 2, 12, .TOC.-.L0@ha
    addi 2, 2, .TOC.-.L0@l
    mflr 0
    stdu 1, -80(1)
    std 0, 96(1)
    mr 6, 3
    ld 3, 0(3)
    std 4, 64(1)
    andi. 7, 4, 7
    ld 5, 8(6)
    bne 0, .L1
    rldicl 7, 4, 61, 3
    cmpld 7, 5
    bge 0, .L2
    li 8, -8
    li 7, 7
    lwsync
    cmpld 4, 8
    stdx 7, 3, 4
    addi 7, 4, 8
    std 4, 64(1)
    std 7, 72(1)
    bge 0, .L3
    sldi 5, 5, 3
    cmpld 7, 5
    bgt 0, .L4
    ld 5, 16(6)
    add 3, 3, 4
    addi 4, 3, 7
    rldicl 6, 5, 48, 16
    clrldi 5, 5, 48
    andi. 7, 6, 1
    bc 12, 1, .L5
    andi. 7, 6, 8
    bne 0, .L6
    andi. 7, 6, 16
    mcrf 1, 0
    bne 0, .L7
    dcbf 0, 3
    or 3, 5, 3
    andi. 6, 6, 4
    cmpld 5, 3, 4
    bne 0, .L8
    bc 4, 20, .L9
.L10:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L10
    b .L9
.L5:
    dcbst 0, 3
    or 3, 5, 3
    cmpld 3, 4
    bge 0, .L11
.L12:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L12
.L11:
    sync
    addi 1, 1, 80
    ld 0, 16(1)
    mtlr 0
    blr
.L6:
    .long 2092964012
    or 3, 5, 3
    cmpld 3, 4
    bge 0, .L13
.L14:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L14
.L13:
    .long 2088764588
    addi 1, 1, 80
    ld 0, 16(1)
    mtlr 0
    blr
.L7:
    .long 2088769708
    or 3, 5, 3
    cmpld 3, 4
    bge 0, .L9
.L15:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L15
    b .L9
.L8:
    bc 4, 20, .L9
.L16:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 5
    cmpld 3, 4
    blt 0, .L16
.L9:
    bc 4, 6, .L17
    sync
    addi 1, 1, 80
    ld 0, 16(1)
    mtlr 0
    blr
.L17:
    .long 2088764588
    addi 1, 1, 80
    ld 0, 16(1)
    mtlr 0
    blr
.L4:
    addis 3, 2, .L18@toc@ha
    addi 3, 3, .L18@toc@l
    addi 6, 3, 88
    mr 3, 4
    li 4, 8
    bl _ZN10cachemaint6medium6memory12out_of_rangeE
    nop
.L1:
    addis 3, 2, .L18@toc@ha
    addi 4, 1, 64
    addi 5, 3, .L18@toc@l
    std 4, 32(1)
    addis 4, 2, .L19@toc@ha
    addi 3, 5, 8
    ld 4, .L19@toc@l(4)
    std 3, 48(1)
    addis 3, 2, .L20@toc@ha
    std 4, 40(1)
    addi 4, 1, 32
    ld 3, .L20@toc@l(3)
    std 3, 56(1)
    addi 3, 5, 136
    addi 5, 5, 64
    bl _RNvNtC4core9panicking9panic_fmt
    nop
.L2:
    addis 3, 2, .L18@toc@ha
    sldi 5, 5, 3
    addi 3, 3, .L18@toc@l
    addi 6, 3, 64
    mr 3, 4
    li 4, 8
    bl _ZN10cachemaint6medium6memory12out_of_rangeE
    nop
.L3:
    addi 3, 1, 64
    std 3, 32(1)
    addis 3, 2, _ZN71_$LT$core..ops..range..Range$LT$Idx$GT$$u20$as$u20$core..fmt..Debug$GT$3fmtE@toc@ha
    addi 3, 3, _ZN71_$LT$core..ops..range..Range$LT$Idx$GT$$u20$as$u20$core..fmt..Debug$GT$3fmtE@toc@l
    std 3, 40(1)
    addis 3, 2, .L18@toc@ha
    addi 4, 3, .L18@toc@l
    addi 3, 4, 170
    addi 5, 4, 88
    addi 4, 1, 32
    bl _RNvNtC4core9panicking9panic_fmt
    nop
