    fence
    ret
