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
    lea rax, [rsi + rdx]
    dec rax
    clwb byte ptr [rsi]
    movzx ecx, di
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
    lea rax, [rsi + rdx]
    dec rax
    clflushopt byte ptr [rsi]
    movzx ecx, di
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
    lea rax, [rsi + rdx]
    dec rax
    clflush byte ptr [rsi]
    movzx ecx, di
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
