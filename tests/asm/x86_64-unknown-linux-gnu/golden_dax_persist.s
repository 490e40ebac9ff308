    sub rsp, 40
    mov rax, qword ptr [rdi + 456]
    lea rdx, [rsi + 8]
    cmp rdx, rax
    seta cl
    cmp rsi, -9
    ja .L0
    test cl, cl
    jne .L1
.L21:
    mov rax, qword ptr [rdi + 416]
    mov qword ptr [rsp], rsi
    test sil, 7
    jne .L2
    mov qword ptr [rax + rsi], 7
    mov rcx, qword ptr [rdi]
    test rcx, rcx
    je .L3
    cmp ecx, 1
    jne .L4
    add rax, rsi
    mov rsi, qword ptr [rdi + 8]
    lea rcx, [rax + 7]
    movzx edx, si
    bt esi, 16
    jb .L5
    shr esi, 16
    test sil, 2
    jne .L6
    test sil, 4
    jne .L7
    mfence
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L8
.L9:
    inc rax
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L9
.L8:
    mfence
    jmp .L10
.L3:
    movzx eax, byte ptr [rdi + 10]
    test al, 1
    jne .L11
    test al, 2
    jne .L12
    test al, 4
    jne .L13
    mfence
    jmp .L10
.L4:
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax4view7DaxView15writeback_pagesE@GOTPCREL]
.L5:
    clwb byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L14
.L15:
    inc rax
    clwb byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L15
.L14:
    sfence
    jmp .L10
.L11:
    sfence
    jmp .L10
.L6:
    clflushopt byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L16
.L17:
    inc rax
    clflushopt byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L17
.L16:
    sfence
    jmp .L10
.L12:
    sfence
    jmp .L10
.L7:
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L18
.L19:
    inc rax
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L19
.L18:
    sfence
    jmp .L10
.L13:
    sfence
.L10:
    mov rax, qword ptr [rdi + 440]
    mov eax, dword ptr [rax + 16]
    test eax, eax
    jne .L20
    xor eax, eax
    add rsp, 40
    ret
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
    mov rax, rsp
    mov qword ptr [rsp + 8], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 16], rax
    lea rcx, [rip + .L23]
    mov qword ptr [rsp + 24], rcx
    mov qword ptr [rsp + 32], rax
    lea rdi, [rip + .L24]
    lea rdx, [rip + .L22]
    lea rsi, [rsp + 8]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
.L20:
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax4view7DaxView6failedE@GOTPCREL]
