    sub rsp, 40
    mov rax, qword ptr [rdi + 496]
    lea rdx, [rsi + 8]
    cmp rdx, rax
    seta cl
    cmp rsi, -9
    ja .L0
    test cl, cl
    jne .L1
.L20:
    mov rax, qword ptr [rdi + 456]
    mov qword ptr [rsp], rsi
    test sil, 7
    jne .L2
    mov qword ptr [rax + rsi], 7
    mov r9, qword ptr [rdi]
    cmp r9, 2
    jne .L3
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax4view7DaxView15writeback_pagesE@GOTPCREL]
.L3:
    mov r8, qword ptr [rdi + 8]
    mov ecx, r8d
    shr ecx, 16
    test r9, r9
    je .L4
    add rax, rsi
    lea rdx, [rax + 7]
    movzx esi, r8w
    test cl, 1
    jne .L5
    test cl, 2
    jne .L6
    test cl, 4
    jne .L7
    mfence
    clflush byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jae .L8
.L9:
    inc rax
    clflush byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jb .L9
.L8:
    mov rax, qword ptr [rdi + 480]
    jmp .L10
.L4:
    mov rax, qword ptr [rdi + 480]
    test cl, 1
    jne .L11
.L10:
    test cl, 2
    jne .L12
    test cl, 4
    jne .L13
    mfence
    mov rax, qword ptr [rax + 32]
    test rax, rax
    je .L14
    jmp .L15
.L5:
    clwb byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jae .L16
.L17:
    inc rax
    clwb byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jb .L17
.L16:
    mov rax, qword ptr [rdi + 480]
.L11:
    sfence
    mov rax, qword ptr [rax + 32]
    test rax, rax
    je .L14
    jmp .L15
.L12:
    sfence
    mov rax, qword ptr [rax + 32]
    test rax, rax
    jne .L15
.L14:
    xor eax, eax
    add rsp, 40
    ret
.L6:
    clflushopt byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jae .L8
.L18:
    inc rax
    clflushopt byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jb .L18
    jmp .L8
.L13:
    sfence
    mov rax, qword ptr [rax + 32]
    test rax, rax
    je .L14
.L15:
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax4view7DaxView6failedE@GOTPCREL]
.L7:
    clflush byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jae .L8
.L19:
    inc rax
    clflush byte ptr [rax]
    or rax, rsi
    cmp rax, rdx
    jb .L19
    jmp .L8
.L0:
    mov cl, 1
    test cl, cl
    je .L20
.L1:
    lea rcx, [rip + .L21]
    mov rdi, rsi
    mov esi, 8
    mov rdx, rax
    call qword ptr [rip + _ZN10cachemaint3dax7mapping12out_of_rangeE@GOTPCREL]
.L2:
    mov rax, rsp
    mov qword ptr [rsp + 8], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 16], rax
    lea rcx, [rip + .L22]
    mov qword ptr [rsp + 24], rcx
    mov qword ptr [rsp + 32], rax
    lea rdi, [rip + .L23]
    lea rdx, [rip + .L21]
    lea rsi, [rsp + 8]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
