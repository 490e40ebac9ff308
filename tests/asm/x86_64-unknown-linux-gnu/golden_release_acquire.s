    lea rcx, [rsi + 63]
    movzx eax, di
    bt edi, 16
    jb .L0
    mov r8d, edi
    shr r8d, 16
    test r8b, 2
    jne .L1
    test r8b, 4
    jne .L2
    mfence
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jae .L3
.L4:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L4
.L3:
    mfence
    mov rcx, rdx
    or rcx, 63
    bt edi, 24
    jae .L5
.L10:
    mfence
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L6
.L7:
    inc rdx
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L7
.L6:
    mfence
    ret
.L0:
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jae .L8
.L9:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L9
.L8:
    mfence
    mov rcx, rdx
    or rcx, 63
    bt edi, 24
    jb .L10
.L5:
    shr edi, 24
    test dil, 2
    jne .L11
    mov rsi, rax
    or rsi, rdx
    mfence
    clflush byte ptr [rdx]
    test dil, 4
    jne .L12
    cmp rsi, rcx
    jae .L13
.L14:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L14
.L13:
    mfence
    ret
.L12:
    cmp rsi, rcx
    jae .L13
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    jmp .L12
.L1:
    clflushopt byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jae .L3
.L15:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L15
    jmp .L3
.L11:
    mfence
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L13
.L16:
    inc rdx
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L16
    jmp .L13
.L2:
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jae .L3
.L17:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L17
    jmp .L3
