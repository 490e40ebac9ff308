    push rax
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
    jmp .L5
.L0:
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jae .L6
.L7:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L7
.L6:
    mfence
.L5:
    mov rcx, rdi
    shr rcx, 52
    and ecx, 15
    cmp ecx, 7
    jae .L8
    mov rcx, rdx
    or rcx, 63
    bt edi, 24
    jb .L9
    shr edi, 24
    test dil, 2
    jne .L10
    mov rsi, rax
    or rsi, rdx
    mfence
    clflush byte ptr [rdx]
    test dil, 4
    jne .L11
    cmp rsi, rcx
    jae .L12
.L13:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L13
.L12:
    mfence
    pop rax
    ret
.L11:
    cmp rsi, rcx
    jae .L12
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    jmp .L11
.L9:
    mfence
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L12
.L14:
    inc rdx
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L14
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
.L10:
    mfence
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L12
.L16:
    inc rdx
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L16
    jmp .L12
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
.L8:
    lea rdi, [rip + .L18]
    lea rdx, [rip + .L19]
    mov esi, 105
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
