    push rax
    bt edi, 16
    jb .L0
    mov eax, edi
    shr eax, 16
    test al, 2
    jne .L1
    test al, 4
    jne .L2
    mfence
    lea rax, [rsi + 63]
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
    mov rax, rdi
    shr rax, 52
    and eax, 15
    cmp eax, 7
    jae .L5
    mfence
    bt edi, 24
    jb .L6
    mov eax, edi
    shr eax, 24
    test al, 2
    jne .L7
    test al, 4
    jne .L8
    mfence
    mov rax, rdx
    or rax, 63
    clflush byte ptr [rdx]
    movzx ecx, di
    or rdx, rcx
    cmp rdx, rax
    jae .L9
.L10:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rax
    jb .L10
.L9:
    mfence
    pop rax
    ret
.L0:
    lea rax, [rsi + 63]
    clwb byte ptr [rsi]
    movzx ecx, di
    or rsi, rcx
    cmp rsi, rax
    jae .L3
.L11:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L11
    jmp .L3
.L6:
    mov rax, rdx
    or rax, 63
    clwb byte ptr [rdx]
    movzx ecx, di
    or rdx, rcx
    cmp rdx, rax
    jae .L9
.L12:
    inc rdx
    clwb byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rax
    jb .L12
    jmp .L9
.L1:
    lea rax, [rsi + 63]
    clflushopt byte ptr [rsi]
    movzx ecx, di
    or rsi, rcx
    cmp rsi, rax
    jae .L3
.L13:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L13
    jmp .L3
.L7:
    mov rax, rdx
    or rax, 63
    clflushopt byte ptr [rdx]
    movzx ecx, di
    or rdx, rcx
    cmp rdx, rax
    jae .L9
.L14:
    inc rdx
    clflushopt byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rax
    jb .L14
    jmp .L9
.L2:
    lea rax, [rsi + 63]
    clflush byte ptr [rsi]
    movzx ecx, di
    or rsi, rcx
    cmp rsi, rax
    jae .L3
.L15:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rcx
    cmp rsi, rax
    jb .L15
    jmp .L3
.L8:
    mov rax, rdx
    or rax, 63
    clflush byte ptr [rdx]
    movzx ecx, di
    or rdx, rcx
    cmp rdx, rax
    jae .L9
.L16:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rax
    jb .L16
    jmp .L9
.L5:
    lea rdi, [rip + .L17]
    lea rdx, [rip + .L18]
    mov esi, 105
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
