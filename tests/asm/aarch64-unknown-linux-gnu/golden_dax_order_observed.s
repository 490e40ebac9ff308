    ldr x8, [x0]
    cmp x8, #2
    b.eq .L0
    dmb osh
.L0:
    ret
