    sub rsp, 40
    mov rdx, qword ptr [rdi + 512]
    lea rcx, [rsi + 8]
    cmp rcx, rdx
    seta al
    cmp rsi, -9
    ja .L0
    test al, al
    jne .L1
.L20:
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
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$12check_storesE@GOTPCREL]
.L3:
    movzx eax, byte ptr [rdi + 10]
    test al, 1
    jne .L10
    test al, 2
    jne .L11
    test al, 4
    jne .L12
    mfence
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$12check_storesE@GOTPCREL]
.L4:
    lea rdx, [rip + .L13]
    lea rsi, [rsp + 8]
    call qword ptr [rip + _ZN10cachemaint3dax4view9writeback48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$15writeback_pagesE@GOTPCREL]
    add rsp, 40
    ret
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
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$12check_storesE@GOTPCREL]
.L10:
    sfence
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$12check_storesE@GOTPCREL]
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
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$12check_storesE@GOTPCREL]
.L11:
    sfence
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$12check_storesE@GOTPCREL]
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
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$12check_storesE@GOTPCREL]
.L12:
    sfence
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax6faults48_$LT$impl$u20$cachemaint..dax..view..DaxView$GT$12check_storesE@GOTPCREL]
.L0:
    mov al, 1
    test al, al
    je .L20
.L1:
    lea rcx, [rip + .L21]
    mov rdi, rsi
    mov esi, 8
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
