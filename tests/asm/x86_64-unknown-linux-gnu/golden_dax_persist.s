    sub rsp, 40
    mov rax, qword ptr [rdi + 192]
    cmp rsi, -9
    ja .L0
    lea rdx, [rsi + 8]
    cmp rdx, rax
    ja .L0
    mov rcx, qword ptr [rdi + 152]
    mov qword ptr [rsp], rsi
    test sil, 7
    jne .L1
    lea rax, [rdi + 112]
    mov qword ptr [rcx + rsi], 7
    mov r8, qword ptr [rdi + 112]
    lea r9d, [r8 - 2]
    cmp r9d, 2
    jae .L2
    mov rdi, rax
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax7mapping7Mapping13persist_pagesE@GOTPCREL]
.L2:
    test r8, r8
    jne .L3
    movzx ecx, byte ptr [rdi + 122]
    test cl, 1
    jne .L4
    test cl, 2
    jne .L5
    test cl, 4
    jne .L6
    mfence
    jmp .L7
.L3:
    add rcx, rsi
    mov rdx, qword ptr [rdi + 120]
    bt edx, 16
    jb .L8
    mov esi, edx
    shr esi, 16
    test sil, 2
    jne .L9
    test sil, 4
    jne .L10
    mfence
    lea rsi, [rcx + 7]
    clflush byte ptr [rcx]
    movzx edx, dx
    or rcx, rdx
    cmp rcx, rsi
    jae .L11
.L12:
    inc rcx
    clflush byte ptr [rcx]
    or rcx, rdx
    cmp rcx, rsi
    jb .L12
.L11:
    mfence
    jmp .L7
.L4:
    sfence
    jmp .L7
.L8:
    lea rsi, [rcx + 7]
    clwb byte ptr [rcx]
    movzx edx, dx
    or rcx, rdx
    cmp rcx, rsi
    jae .L13
.L14:
    inc rcx
    clwb byte ptr [rcx]
    or rcx, rdx
    cmp rcx, rsi
    jb .L14
.L13:
    sfence
    jmp .L7
.L5:
    sfence
    jmp .L7
.L9:
    lea rsi, [rcx + 7]
    clflushopt byte ptr [rcx]
    movzx edx, dx
    or rcx, rdx
    cmp rcx, rsi
    jae .L15
.L16:
    inc rcx
    clflushopt byte ptr [rcx]
    or rcx, rdx
    cmp rcx, rsi
    jb .L16
.L15:
    sfence
    jmp .L7
.L6:
    sfence
    jmp .L7
.L10:
    lea rsi, [rcx + 7]
    clflush byte ptr [rcx]
    movzx edx, dx
    or rcx, rdx
    cmp rcx, rsi
    jae .L17
.L18:
    inc rcx
    clflush byte ptr [rcx]
    or rcx, rdx
    cmp rcx, rsi
    jb .L18
.L17:
    sfence
.L7:
    mov rcx, qword ptr [rdi + 176]
    mov rcx, qword ptr [rcx + 80]
    test rcx, rcx
    jne .L19
    xor eax, eax
    add rsp, 40
    ret
.L0:
    lea rcx, [rip + .L20]
    mov rdi, rsi
    mov esi, 8
    mov rdx, rax
    call qword ptr [rip + _ZN10cachemaint6medium5words12out_of_rangeE@GOTPCREL]
.L1:
    mov rax, rsp
    mov qword ptr [rsp + 8], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 16], rax
    lea rcx, [rip + .L21]
    mov qword ptr [rsp + 24], rcx
    mov qword ptr [rsp + 32], rax
    lea rdi, [rip + .L22]
    lea rdx, [rip + .L20]
    lea rsi, [rsp + 8]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
.L19:
    mov rdi, rax
    add rsp, 40
    jmp qword ptr [rip + _ZN10cachemaint3dax7mapping7Mapping6failedE@GOTPCREL]
