    ld a0, 0(a0)
    li a1, 2
    beq a0, a1, .L0
    fence
.L0:
    ret
