    ld 3, 0(3)
    cmpldi 3, 2
    beqlr 0
    sync
    blr
