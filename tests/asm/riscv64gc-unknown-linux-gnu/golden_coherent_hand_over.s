    addi sp, sp, -128
    sd ra, 120(sp)
    sd s0, 112(sp)
    addi s0, sp, 128
    andi sp, sp, -64
    li a1, 7
    sd a1, 0(sp)
    sd a1, 8(sp)
    sd a1, 16(sp)
    sd a1, 24(sp)
    sd a1, 32(sp)
    sd a1, 40(sp)
    sd a1, 48(sp)
    sd a1, 56(sp)
    mv a1, sp
    fence
    sd a1, 0(a0)
    fence
    ld a0, 0(sp)
    addi sp, s0, -128
    ld ra, 120(sp)
    ld s0, 112(sp)
    addi sp, sp, 128
    ret
