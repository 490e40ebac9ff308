    sub rsp, 40
    mov rdx, qword ptr [rdi + 512]
    lea rcx, [rsi + 8]
    cmp rcx, rdx
    seta al
    cmp rsi, -9
    ja .L0
    test al, al
    jne .L1
.L22:
    mov rax, qword ptr [rdi + 480]
    mov qword ptr [rsp], rsi
    test sil, 7
    jne .L2
    mov qword ptr [rax + rsi], 7
    mov qword ptr [rsp + 8], rsi
    mov qword ptr [rsp + 16], rcx
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
    lea rdx, [rip + .L14]
    lea rsi, [rsp + 8]
    call qword ptr [rip + _ZN10cachemaint3dax4view9writeback48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$15writeback_pagesE@GOTPCREL]
    add rsp, 40
    ret
.L5:
    clwb byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L15
.L16:
    inc rax
    clwb byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L16
.L15:
    sfence
    jmp .L10
.L11:
    sfence
    jmp .L10
.L6:
    clflushopt byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L17
.L18:
    inc rax
    clflushopt byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L18
.L17:
    sfence
    jmp .L10
.L12:
    sfence
    jmp .L10
.L7:
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L19
.L20:
    inc rax
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L20
.L19:
    sfence
    jmp .L10
.L13:
    sfence
.L10:
    mov rax, qword ptr [rip + _ZN10cachemaint3dax6faults5slots4USEDE@GOTPCREL]
    mov rax, qword ptr [rax]
    test rax, rax
    jne .L21
    xor eax, eax
    add rsp, 40
    ret
.L0:
    mov al, 1
    test al, al
    je .L22
.L1:
    lea rcx, [rip + .L23]
    mov rdi, rsi
    mov esi, 8
    call qword ptr [rip + _ZN10cachemaint3dax7mapping12out_of_rangeE@GOTPCREL]
.L2:
    mov rax, rsp
    mov qword ptr [rsp + 8], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 16], rax
    lea rcx, [rip + .L24]
    mov qword ptr [rsp + 24], rcx
    mov qword ptr [rsp + 32], rax
    lea rdi, [rip + .L25]
    lea rdx, [rip + .L23]
    lea rsi, [rsp + 8]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
.L21:
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$20check_guarded_storesE@GOTPCREL]
