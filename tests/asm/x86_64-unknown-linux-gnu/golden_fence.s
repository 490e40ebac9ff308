    bt edi, 16
    jb .L0
    shr edi, 16
    test dil, 2
    jne .L1
    test dil, 4
    jne .L2
    mfence
    ret
.L0:
    sfence
    ret
.L1:
    sfence
    ret
.L2:
    sfence
    ret
