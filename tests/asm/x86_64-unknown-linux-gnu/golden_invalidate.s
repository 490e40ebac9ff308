    bt edi, 24
    jb .L0
    mov r8d, edi
    shr r8d, 24
    test r8b, 2
    jne .L1
    lea rax, [rsi + 63]
    movzx ecx, di
    mov rdx, rcx
    or rdx, rsi
    mfence
    clflush byte ptr [rsi]
    test r8b, 4
    jne .L2
    cmp rdx, rax
    jae .L3
.L4:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rax
    jb .L4
.L3:
    mfence
    ret
.L2:
    cmp rdx, rax
    jae .L5
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rcx
    jmp .L2
.L0:
    mfence
    lea rax, [rsi + 63]
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
    mfence
    ret
.L1:
    mfence
    lea rax, [rsi + 63]
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
    mfence
    ret
.L5:
    mfence
    ret
