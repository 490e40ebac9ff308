    rldicl 3, 3, 48, 16
    andi. 4, 3, 1
    bc 12, 1, .L0
    andi. 4, 3, 8
    bne 0, .L1
    andi. 3, 3, 16
    bne 0, .L2
    sync
    blr
.L0:
    sync
    blr
.L1:
    .long 2088764588
    blr
.L2:
    .long 2088764588
    blr
