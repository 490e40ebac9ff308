    clrldi 0, 1, 58
    std 30, -16(1)
    mr 30, 1
    subfic 0, 0, -192
    stdux 1, 1, 0
    vspltisw 2, 7
    addi 6, 1, 112
    addi 4, 1, 64
    addi 5, 1, 80
    vupklsw 2, 2
    xxswapd 0, 34
    stxvd2x 0, 0, 6
    addi 6, 1, 96
    stxvd2x 0, 0, 4
    stxvd2x 0, 0, 5
    stxvd2x 0, 0, 6
    sync
    std 4, 0(3)
    sync
    ld 3, 64(1)
    mr 1, 30
    ld 30, -16(1)
    blr
