    ldr x8, [x0, #112]
    cmp x8, #1
    b.hi .L0
    dmb osh
.L0:
    ret
