    cmp dword ptr [rdi + 376], 1
    ja .L0
    mfence
.L0:
    ret
