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
    mov rcx, rdi
    shr rcx, 52
    and ecx, 15
    cmp ecx, 7
    jae .L5
    mfence
    mov rcx, rdx
    or rcx, 63
    bt edi, 24
    jb .L6
    shr edi, 24
    test dil, 2
    jne .L7
    test dil, 4
    jne .L8
    mfence
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L9
.L10:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L10
.L9:
    mfence
    pop rax
    ret
.L0:
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jae .L3
.L11:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L11
    jmp .L3
.L6:
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L9
.L12:
    inc rdx
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L12
    jmp .L9
.L1:
    clflushopt byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jae .L3
.L13:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L13
    jmp .L3
.L7:
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L9
.L14:
    inc rdx
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L14
    jmp .L9
.L2:
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jae .L3
.L15:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L15
    jmp .L3
.L8:
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L9
.L16:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L16
    jmp .L9
.L5:
    lea rdi, [rip + .L17]
    lea rdx, [rip + .L18]
    mov esi, 105
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
