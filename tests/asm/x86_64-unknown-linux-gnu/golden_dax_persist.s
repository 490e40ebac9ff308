    push rbx
    sub rsp, 48
    mov rax, qword ptr [rdi + 496]
    lea rdx, [rsi + 8]
    cmp rdx, rax
    seta cl
    cmp rsi, -9
    ja .L0
    test cl, cl
    jne .L1
.L19:
    mov rcx, qword ptr [rdi + 456]
    mov qword ptr [rsp + 8], rsi
    test sil, 7
    jne .L2
    mov qword ptr [rcx + rsi], 7
    mov rax, qword ptr [rdi]
    cmp rax, 2
    je .L3
    test rax, rax
    jne .L4
    movzx eax, byte ptr [rdi + 10]
.L14:
    mov rcx, qword ptr [rdi + 480]
    test al, 1
    jne .L5
    test al, 2
    jne .L6
    test al, 4
    jne .L7
    mfence
    mov rax, qword ptr [rcx + 32]
    test rax, rax
    je .L8
    jmp .L9
.L3:
    mov rbx, rdi
    call qword ptr [rip + _ZN10cachemaint3dax4view7DaxView15writeback_pagesE@GOTPCREL]
    test rax, rax
    je .L10
    add rsp, 48
    pop rbx
    ret
.L5:
    sfence
    mov rax, qword ptr [rcx + 32]
    test rax, rax
    je .L8
    jmp .L9
.L4:
    add rcx, rsi
    mov r8, qword ptr [rdi + 8]
    mov eax, r8d
    shr eax, 16
    lea rdx, [rcx + 7]
    movzx esi, r8w
    bt r8d, 16
    jb .L11
    test al, 2
    jne .L12
    test al, 4
    jne .L13
    mfence
    clflush byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jae .L14
.L15:
    inc rcx
    clflush byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jb .L15
    jmp .L14
.L6:
    sfence
    mov rax, qword ptr [rcx + 32]
    test rax, rax
    je .L8
    jmp .L9
.L11:
    clwb byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jae .L14
.L16:
    inc rcx
    clwb byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jb .L16
    jmp .L14
.L10:
    mov rdi, rbx
    mov rcx, qword ptr [rbx + 480]
    mov rax, qword ptr [rcx + 32]
    test rax, rax
    jne .L9
.L8:
    xor eax, eax
    add rsp, 48
    pop rbx
    ret
.L7:
    sfence
    mov rax, qword ptr [rcx + 32]
    test rax, rax
    je .L8
.L9:
    add rsp, 48
    pop rbx
    jmp qword ptr [rip + _ZN10cachemaint3dax4view7DaxView6failedE@GOTPCREL]
.L12:
    clflushopt byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jae .L14
.L17:
    inc rcx
    clflushopt byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jb .L17
    jmp .L14
.L13:
    clflush byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jae .L14
.L18:
    inc rcx
    clflush byte ptr [rcx]
    or rcx, rsi
    cmp rcx, rdx
    jb .L18
    jmp .L14
.L0:
    mov cl, 1
    test cl, cl
    je .L19
.L1:
    lea rcx, [rip + .L20]
    mov rdi, rsi
    mov esi, 8
    mov rdx, rax
    call qword ptr [rip + _ZN10cachemaint3dax7mapping12out_of_rangeE@GOTPCREL]
.L2:
    lea rax, [rsp + 8]
    mov qword ptr [rsp + 16], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 24], rax
    lea rcx, [rip + .L21]
    mov qword ptr [rsp + 32], rcx
    mov qword ptr [rsp + 40], rax
    lea rdi, [rip + .L22]
    lea rdx, [rip + .L20]
    lea rsi, [rsp + 16]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
