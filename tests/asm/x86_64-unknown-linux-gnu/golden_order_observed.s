    mfence
    ret
