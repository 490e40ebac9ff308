    test rdx, rdx
    je .L0
    mov eax, edi
    shr eax, 16
    test al, 1
    jne .L1
    test al, 2
    jne .L2
    test al, 4
    jne .L3
    mfence
    lea rax, [rsi + rdx]
    dec rax
    clflush byte ptr [rsi]
    movzx ecx, di
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
    lea rax, [rsi + rdx]
    dec rax
    clwb byte ptr [rsi]
    movzx ecx, di
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
    lea rax, [rsi + rdx]
    dec rax
    clflushopt byte ptr [rsi]
    movzx ecx, di
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
    lea rax, [rsi + rdx]
    dec rax
    clflush byte ptr [rsi]
    movzx ecx, di
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
