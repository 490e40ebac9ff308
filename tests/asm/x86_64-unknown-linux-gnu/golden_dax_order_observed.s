    cmp dword ptr [rdi], 2
    je .L0
    mfence
.L0:
    ret
