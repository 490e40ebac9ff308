    sub rsp, 40
    mov rax, qword ptr [rdi]
    mov rdx, qword ptr [rdi + 8]
    mov qword ptr [rsp], rsi
    test sil, 7
    jne .L0
    mov rcx, rsi
    shr rcx, 3
    cmp rcx, rdx
    jae .L1
    mov qword ptr [rax + rsi], 7
    shl rdx, 3
    cmp rsi, -9
    ja .L2
    lea rcx, [rsi + 8]
    cmp rcx, rdx
    ja .L2
    add rax, rsi
    mov rdx, qword ptr [rdi + 16]
    bt edx, 16
    jb .L3
    mov ecx, edx
    shr ecx, 16
    test cl, 2
    jne .L4
    test cl, 4
    jne .L5
    mfence
    lea rsi, [rax + 7]
    clflush byte ptr [rax]
    movzx edx, dx
    or rax, rdx
    cmp rax, rsi
    jae .L6
.L7:
    inc rax
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rsi
    jb .L7
.L6:
    test cl, 4
    jne .L8
    mfence
    add rsp, 40
    ret
.L3:
    lea rcx, [rax + 7]
    clwb byte ptr [rax]
    movzx edx, dx
    or rax, rdx
    cmp rax, rcx
    jae .L9
.L10:
    inc rax
    clwb byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L10
.L9:
    sfence
    add rsp, 40
    ret
.L4:
    lea rcx, [rax + 7]
    clflushopt byte ptr [rax]
    movzx edx, dx
    or rax, rdx
    cmp rax, rcx
    jae .L11
.L12:
    inc rax
    clflushopt byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L12
.L11:
    sfence
    add rsp, 40
    ret
.L5:
    lea rsi, [rax + 7]
    clflush byte ptr [rax]
    movzx edx, dx
    or rax, rdx
    cmp rax, rsi
    jae .L6
.L13:
    inc rax
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rsi
    jb .L13
    jmp .L6
.L8:
    sfence
    add rsp, 40
    ret
.L2:
    lea rcx, [rip + .L14]
    mov rdi, rsi
    mov esi, 8
    call qword ptr [rip + _ZN10cachemaint6medium5words12out_of_rangeE@GOTPCREL]
.L0:
    mov rax, rsp
    mov qword ptr [rsp + 8], rax
    mov rax, qword ptr [rip + _RNvXsd_NtNtNtC4core3fmt3num3impyNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 16], rax
    lea rax, [rip + .L15]
    mov qword ptr [rsp + 24], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 32], rax
    lea rdi, [rip + .L16]
    lea rdx, [rip + .L17]
    lea rsi, [rsp + 8]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
.L1:
    shl rdx, 3
    lea rcx, [rip + .L17]
    mov rdi, rsi
    mov esi, 8
    call qword ptr [rip + _ZN10cachemaint6medium5words12out_of_rangeE@GOTPCREL]
