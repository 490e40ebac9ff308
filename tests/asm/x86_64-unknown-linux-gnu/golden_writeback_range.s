    test rdx, rdx
    je .L0
    lea rax, [rsi + rdx]
    dec rax
    movzx ecx, di
    bt edi, 16
    jb .L1
    shr edi, 16
    test dil, 2
    jne .L2
    test dil, 4
    jne .L3
    mfence
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jae .L4
.L5:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L5
.L4:
    mfence
    ret
.L1:
    clwb byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jae .L6
.L7:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L7
.L6:
    sfence
.L0:
    ret
.L2:
    clflushopt byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jae .L8
.L9:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L9
.L8:
    sfence
    ret
.L3:
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jae .L10
.L11:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L11
.L10:
    sfence
    ret
