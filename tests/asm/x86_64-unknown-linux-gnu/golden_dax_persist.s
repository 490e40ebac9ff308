    push rbx
    sub rsp, 48
    mov rax, qword ptr [rdi + 472]
    lea rdx, [rsi + 8]
    cmp rdx, rax
    seta cl
    cmp rsi, -9
    ja .L0
    test cl, cl
    jne .L1
.L21:
    mov rax, qword ptr [rdi + 432]
    mov qword ptr [rsp + 8], rsi
    test sil, 7
    jne .L2
    mov qword ptr [rax + rsi], 7
    mov r9, qword ptr [rdi]
    cmp r9, 2
    jne .L3
    mov rbx, rdi
    call qword ptr [rip + _ZN10cachemaint3dax4view7DaxView15writeback_pagesE@GOTPCREL]
    test rax, rax
    je .L4
    add rsp, 48
    pop rbx
    ret
.L3:
    mov r8, qword ptr [rdi + 8]
    mov ecx, r8d
    shr ecx, 16
    test r9, r9
    je .L5
    add rax, rsi
    lea rdx, [rax + 7]
    movzx esi, r8w
    test cl, 1
    jne .L6
    test cl, 2
    jne .L7
    test cl, 4
    jne .L8
    mfence
    clflush byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jae .L9
.L10:
    inc rax
    clflush byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jb .L10
.L9:
    mov rax, qword ptr [rdi + 456]
    jmp .L11
.L4:
    mov rdi, rbx
    mov rax, qword ptr [rbx + 456]
    mov rax, qword ptr [rax + 32]
    test rax, rax
    je .L12
    jmp .L13
.L5:
    mov rax, qword ptr [rdi + 456]
    test cl, 1
    jne .L14
.L11:
    test cl, 2
    jne .L15
    test cl, 4
    jne .L16
    mfence
    mov rax, qword ptr [rax + 32]
    test rax, rax
    je .L12
    jmp .L13
.L6:
    clwb byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jae .L17
.L18:
    inc rax
    clwb byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jb .L18
.L17:
    mov rax, qword ptr [rdi + 456]
.L14:
    sfence
    mov rax, qword ptr [rax + 32]
    test rax, rax
    je .L12
    jmp .L13
.L15:
    sfence
    mov rax, qword ptr [rax + 32]
    test rax, rax
    jne .L13
.L12:
    xor eax, eax
    add rsp, 48
    pop rbx
    ret
.L7:
    clflushopt byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jae .L9
.L19:
    inc rax
    clflushopt byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jb .L19
    jmp .L9
.L16:
    sfence
    mov rax, qword ptr [rax + 32]
    test rax, rax
    je .L12
.L13:
    add rsp, 48
    pop rbx
    jmp qword ptr [rip + _ZN10cachemaint3dax4view7DaxView6failedE@GOTPCREL]
.L8:
    clflush byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jae .L9
.L20:
    inc rax
    clflush byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jb .L20
    jmp .L9
.L0:
    mov cl, 1
    test cl, cl
    je .L21
.L1:
    lea rcx, [rip + .L22]
    mov rdi, rsi
    mov esi, 8
    mov rdx, rax
    call qword ptr [rip + _ZN10cachemaint3dax7mapping12out_of_rangeE@GOTPCREL]
.L2:
    lea rax, [rsp + 8]
    mov qword ptr [rsp + 16], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 24], rax
    lea rcx, [rip + .L23]
    mov qword ptr [rsp + 32], rcx
    mov qword ptr [rsp + 40], rax
    lea rdi, [rip + .L24]
    lea rdx, [rip + .L22]
    lea rsi, [rsp + 16]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
