    push rbx
    sub rsp, 80
    mov rax, qword ptr [rsi + 496]
    lea r8, [rdx + 8]
    cmp r8, rax
    seta cl
    cmp rdx, -9
    ja .L0
    test cl, cl
    jne .L1
.L18:
    mov rcx, qword ptr [rsi + 472]
    mov qword ptr [rsp], rdx
    test dl, 7
    jne .L2
    mov qword ptr [rcx + rdx], 7
    mov qword ptr [rsp], rdx
    mov qword ptr [rsp + 8], r8
    mov rax, qword ptr [rsi]
    test rax, rax
    je .L3
    cmp eax, 1
    jne .L4
    add rcx, rdx
    mov r8, qword ptr [rsi + 8]
    lea rdx, [rcx + 7]
    movzx esi, r8w
    mov eax, r8d
    shr eax, 16
    bt r8d, 16
    jb .L5
    test al, 2
    jne .L6
    test al, 4
    jne .L7
    mfence
    clflush byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jae .L8
.L9:
    inc rcx
    clflush byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jb .L9
    jmp .L8
.L3:
    movzx eax, byte ptr [rsi + 10]
.L8:
    movabs rcx, -9223372036854775808
    mov qword ptr [rsp + 16], rcx
    test al, 1
    jne .L10
    test al, 2
    jne .L11
    test al, 4
    jne .L12
    mfence
    jmp .L13
.L10:
    sfence
    jmp .L13
.L4:
    lea rcx, [rip + .L14]
    lea rax, [rsp + 16]
    mov rdx, rsp
    mov rbx, rdi
    mov rdi, rax
    call qword ptr [rip + _ZN10cachemaint3dax4view7DaxView15writeback_pagesE@GOTPCREL]
    mov rdi, rbx
    jmp .L13
.L5:
    clwb byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jae .L8
.L15:
    inc rcx
    clwb byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jb .L15
    jmp .L8
.L11:
    sfence
    jmp .L13
.L6:
    clflushopt byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jae .L8
.L16:
    inc rcx
    clflushopt byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jb .L16
    jmp .L8
.L12:
    sfence
.L13:
    movups xmm0, xmmword ptr [rsp + 16]
    movups xmm1, xmmword ptr [rsp + 32]
    movups xmm2, xmmword ptr [rsp + 48]
    movups xmm3, xmmword ptr [rsp + 64]
    movups xmmword ptr [rdi + 48], xmm3
    movups xmmword ptr [rdi + 32], xmm2
    movups xmmword ptr [rdi + 16], xmm1
    movups xmmword ptr [rdi], xmm0
    mov rax, rdi
    add rsp, 80
    pop rbx
    ret
.L7:
    clflush byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jae .L8
.L17:
    inc rcx
    clflush byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jb .L17
    jmp .L8
.L0:
    mov cl, 1
    test cl, cl
    je .L18
.L1:
    lea rcx, [rip + .L19]
    mov esi, 8
    mov rdi, rdx
    mov rdx, rax
    call qword ptr [rip + _ZN10cachemaint3dax7mapping12out_of_rangeE@GOTPCREL]
.L2:
    mov rax, rsp
    mov qword ptr [rsp + 16], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 24], rax
    lea rcx, [rip + .L20]
    mov qword ptr [rsp + 32], rcx
    mov qword ptr [rsp + 40], rax
    lea rdi, [rip + .L21]
    lea rdx, [rip + .L19]
    lea rsi, [rsp + 16]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
