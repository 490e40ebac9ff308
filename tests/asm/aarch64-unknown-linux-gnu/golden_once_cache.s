    ldr x1, [x0]
    cmp x1, #0
    cset w0, ne
    ret
