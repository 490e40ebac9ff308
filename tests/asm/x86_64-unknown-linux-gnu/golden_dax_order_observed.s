    cmp dword ptr [rdi + 112], 1
    ja .L0
    mfence
.L0:
    ret
