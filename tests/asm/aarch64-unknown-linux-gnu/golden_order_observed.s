    dmb osh
    ret
