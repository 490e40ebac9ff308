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
    jae .L0
.L4:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L4
.L0:
    ret
.L1:
    clwb byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jae .L0
.L5:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L5
    jmp .L0
.L2:
    clflushopt byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jae .L0
.L6:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L6
    jmp .L0
.L3:
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jae .L0
.L7:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L7
    jmp .L0
