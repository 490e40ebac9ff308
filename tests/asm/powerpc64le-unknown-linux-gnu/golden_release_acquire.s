.L0:
    addis 2, 12, .TOC.-.L0@ha
    addi 2, 2, .TOC.-.L0@l
    mflr 0
    stdu 1, -32(1)
    std 0, 48(1)
    mr 6, 3
    rldicl 8, 3, 48, 16
    addi 10, 4, 63
    clrldi 9, 3, 48
    andi. 3, 8, 1
    rldicl 7, 6, 40, 24
    crmove 20, 2
    bc 12, 1, .L1
    andi. 3, 8, 8
    bne 0, .L2
    andi. 3, 8, 16
    mcrf 1, 0
    bne 0, .L3
    andi. 3, 8, 4
    or 3, 9, 4
    dcbf 0, 4
    cmpld 6, 3, 10
    bne 0, .L4
    bc 4, 24, .L5
.L6:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 9
    cmpld 3, 10
    blt 0, .L6
    b .L5
.L1:
    dcbst 0, 4
    or 3, 9, 4
    cmpld 3, 10
    bge 0, .L7
.L8:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 9
    cmpld 3, 10
    blt 0, .L8
.L7:
    andi. 3, 7, 1
    bc 12, 1, .L9
    andi. 3, 7, 8
    bne 0, .L10
    andi. 3, 7, 16
    bne 0, .L11
    sync
    b .L12
.L2:
    mr 3, 4
    .long 2092964012
    or 3, 9, 4
    cmpld 3, 10
    bge 0, .L13
.L14:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 9
    cmpld 3, 10
    blt 0, .L14
.L13:
    .long 2088764588
    b .L12
.L9:
    sync
    b .L12
.L3:
    mr 3, 4
    .long 2088769708
    or 3, 9, 4
    cmpld 3, 10
    bge 0, .L5
.L15:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 9
    cmpld 3, 10
    blt 0, .L15
    b .L5
.L10:
    .long 2088764588
    b .L12
.L4:
    bc 4, 24, .L5
.L16:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 9
    cmpld 3, 10
    blt 0, .L16
.L5:
    bc 4, 6, .L17
    andi. 3, 8, 4
    mcrf 1, 0
    andi. 3, 7, 1
    bne 1, .L18
    bc 4, 2, .L19
    andi. 3, 7, 8
    bne 0, .L20
    andi. 3, 7, 16
    bne 0, .L21
    sync
    b .L12
.L17:
    .long 2088764588
    b .L12
.L11:
    .long 2088764588
    b .L12
.L18:
    bc 4, 2, .L22
    andi. 3, 7, 8
    bne 0, .L23
    andi. 3, 7, 16
    bne 0, .L24
    sync
    b .L12
.L19:
    sync
    b .L12
.L22:
    sync
    b .L12
.L20:
    .long 2088764588
    b .L12
.L23:
    .long 2088764588
    b .L12
.L21:
    .long 2088764588
    b .L12
.L24:
    .long 2088764588
.L12:
    rldicl 3, 6, 12, 60
    cmpldi 3, 7
    bge 0, .L25
    ori 4, 5, 63
    andi. 3, 7, 1
    crmove 21, 2
    bc 12, 1, .L26
    andi. 3, 7, 8
    bne 0, .L27
    andi. 3, 7, 16
    bne 0, .L28
    andi. 3, 7, 4
    or 3, 9, 5
    sync
    dcbf 0, 5
    cmpld 1, 3, 4
    bne 0, .L29
    bc 4, 4, .L30
.L31:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 9
    cmpld 3, 4
    blt 0, .L31
    b .L30
.L26:
    sync
    or 3, 9, 5
    dcbst 0, 5
    cmpld 3, 4
    bge 0, .L30
.L32:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 9
    cmpld 3, 4
    blt 0, .L32
.L30:
    bc 4, 20, .L33
    andi. 3, 8, 8
    bne 0, .L34
    andi. 3, 8, 16
    bne 0, .L35
    andi. 3, 8, 4
    bne 0, .L36
    bc 4, 21, .L37
    andi. 3, 7, 8
    bne 0, .L38
    andi. 3, 7, 16
    bne 0, .L39
    sync
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L33:
    bc 4, 21, .L40
    andi. 3, 7, 8
    bne 0, .L41
    andi. 3, 7, 16
    bne 0, .L42
    sync
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L27:
    sync
    mr 3, 5
    .long 2092964012
    or 3, 9, 5
    cmpld 3, 4
    bge 0, .L30
.L43:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 9
    cmpld 3, 4
    blt 0, .L43
    b .L30
.L34:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L40:
    sync
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L28:
    sync
    mr 3, 5
    .long 2088769708
    or 3, 9, 5
    cmpld 3, 4
    bge 0, .L30
.L44:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 9
    cmpld 3, 4
    blt 0, .L44
    b .L30
.L35:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L41:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L29:
    bc 4, 4, .L30
.L45:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 9
    cmpld 3, 4
    blt 0, .L45
    b .L30
.L36:
    bc 4, 21, .L46
    andi. 3, 7, 8
    bne 0, .L47
    andi. 3, 7, 16
    bne 0, .L48
    sync
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L42:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L37:
    sync
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L46:
    sync
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L38:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L47:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L39:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L48:
    .long 2088764588
    addi 1, 1, 32
    ld 0, 16(1)
    mtlr 0
    blr
.L25:
    addis 3, 2, .L49@toc@ha
    addi 4, 3, .L49@toc@l
    addi 3, 4, 271
    addi 5, 4, 144
    li 4, 105
    bl _RNvNtC4core9panicking9panic_fmt
    nop
