    dsb sy
    ret
