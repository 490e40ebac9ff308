    bt edi, 16
    jb .L0
    mov eax, edi
    shr eax, 16
    test al, 2
    jne .L1
    test al, 4
    jne .L2
    mfence
    mov rax, rsi
    or rax, 7
    clflush byte ptr [rsi]
    movzx ecx, di
    or rsi, rcx
    cmp rsi, rax
    jae .L3
.L4:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L4
.L3:
    mfence
    ret
.L0:
    mov rax, rsi
    or rax, 7
    clwb byte ptr [rsi]
    movzx ecx, di
    or rsi, rcx
    cmp rsi, rax
    jae .L5
.L6:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L6
.L5:
    sfence
    ret
.L1:
    mov rax, rsi
    or rax, 7
    clflushopt byte ptr [rsi]
    movzx ecx, di
    or rsi, rcx
    cmp rsi, rax
    jae .L7
.L8:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L8
.L7:
    sfence
    ret
.L2:
    mov rax, rsi
    or rax, 7
    clflush byte ptr [rsi]
    movzx ecx, di
    or rsi, rcx
    cmp rsi, rax
    jae .L9
.L10:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L10
.L9:
    sfence
    ret
