    rldicl 6, 3, 48, 16
    addi 9, 4, 63
    clrldi 8, 3, 48
    andi. 7, 6, 1
    rldicl 7, 3, 40, 24
    crmove 20, 2
    bc 12, 1, .L0
    andi. 3, 6, 8
    bne 0, .L1
    andi. 3, 6, 16
    mcrf 1, 0
    bne 0, .L2
    andi. 3, 6, 4
    or 3, 8, 4
    dcbf 0, 4
    cmpld 6, 3, 9
    bne 0, .L3
    bc 4, 24, .L4
.L5:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L5
    b .L4
.L0:
    dcbst 0, 4
    or 3, 8, 4
    cmpld 3, 9
    bge 0, .L6
.L7:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L7
.L6:
    andi. 3, 7, 1
    bc 12, 1, .L8
    andi. 3, 7, 8
    bne 0, .L9
    andi. 3, 7, 16
    bne 0, .L10
    sync
    b .L11
.L1:
    mr 3, 4
    .long 2092964012
    or 3, 8, 4
    cmpld 3, 9
    bge 0, .L12
.L13:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L13
.L12:
    .long 2088764588
    b .L11
.L8:
    sync
    b .L11
.L2:
    mr 3, 4
    .long 2088769708
    or 3, 8, 4
    cmpld 3, 9
    bge 0, .L4
.L14:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L14
    b .L4
.L9:
    .long 2088764588
    b .L11
.L3:
    bc 4, 24, .L4
.L15:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 8
    cmpld 3, 9
    blt 0, .L15
.L4:
    bc 4, 6, .L16
    andi. 3, 6, 4
    mcrf 1, 0
    andi. 3, 7, 1
    bne 1, .L17
    bc 4, 2, .L18
    andi. 3, 7, 8
    bne 0, .L19
    andi. 3, 7, 16
    bne 0, .L20
    sync
    b .L11
.L16:
    .long 2088764588
    b .L11
.L10:
    .long 2088764588
    b .L11
.L17:
    bc 4, 2, .L21
    andi. 3, 7, 8
    bne 0, .L22
    andi. 3, 7, 16
    bne 0, .L23
    sync
    b .L11
.L18:
    sync
    b .L11
.L21:
    sync
    b .L11
.L19:
    .long 2088764588
    b .L11
.L22:
    .long 2088764588
    b .L11
.L20:
    .long 2088764588
    b .L11
.L23:
    .long 2088764588
.L11:
    ori 4, 5, 63
    andi. 3, 7, 1
    bc 12, 1, .L24
    andi. 3, 7, 8
    mcrf 1, 0
    bne 0, .L25
    andi. 3, 7, 16
    bne 0, .L26
    andi. 3, 7, 4
    or 3, 8, 5
    sync
    dcbf 0, 5
    cmpld 6, 3, 4
    bne 0, .L27
    bc 4, 24, .L28
.L29:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L29
    b .L28
.L24:
    sync
    or 3, 8, 5
    dcbst 0, 5
    cmpld 3, 4
    bge 0, .L30
.L31:
    addi 3, 3, 1
    dcbst 0, 3
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L31
.L30:
    bc 4, 20, .L32
    andi. 3, 6, 8
    bne 0, .L33
    andi. 3, 6, 16
    bne 0, .L34
    sync
    blr
.L25:
    sync
    mr 3, 5
    .long 2092964012
    or 3, 8, 5
    cmpld 3, 4
    bge 0, .L28
.L35:
    addi 3, 3, 1
    .long 2092964012
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L35
.L28:
    bc 4, 20, .L36
    andi. 3, 6, 8
    bne 0, .L37
    andi. 3, 6, 16
    bne 0, .L38
    andi. 3, 6, 4
    bne 0, .L39
    bc 4, 6, .L40
    andi. 3, 7, 16
    bne 0, .L41
    sync
    blr
.L32:
    sync
    blr
.L36:
    bc 4, 6, .L42
    andi. 3, 7, 16
    bne 0, .L43
    sync
    blr
.L26:
    sync
    mr 3, 5
    .long 2088769708
    or 3, 8, 5
    cmpld 3, 4
    bge 0, .L28
.L44:
    addi 3, 3, 1
    .long 2088769708
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L44
    b .L28
.L33:
    .long 2088764588
    blr
.L37:
    .long 2088764588
    blr
.L42:
    .long 2088764588
    blr
.L27:
    bc 4, 24, .L28
.L45:
    addi 3, 3, 1
    dcbf 0, 3
    or 3, 3, 8
    cmpld 3, 4
    blt 0, .L45
    b .L28
.L34:
    .long 2088764588
    blr
.L38:
    .long 2088764588
    blr
.L43:
    .long 2088764588
    blr
.L39:
    bc 4, 6, .L46
    andi. 3, 7, 16
    bne 0, .L47
    sync
    blr
.L40:
    .long 2088764588
    blr
.L46:
    .long 2088764588
    blr
.L41:
    .long 2088764588
    blr
.L47:
    .long 2088764588
    blr
