    sub rsp, 56
    mov rax, qword ptr [rdi]
    mov rdx, qword ptr [rdi + 8]
    mov qword ptr [rsp + 8], rsi
    test sil, 7
    jne .L0
    mov rcx, rsi
    shr rcx, 3
    cmp rcx, rdx
    jae .L1
    mov qword ptr [rax + rsi], 7
    mov rcx, rsi
    sub rcx, -8
    mov qword ptr [rsp + 8], rsi
    mov qword ptr [rsp + 16], rcx
    jae .L2
    shl rdx, 3
    cmp rcx, rdx
    ja .L3
    add rax, rsi
    mov rsi, qword ptr [rdi + 16]
    lea rcx, [rax + 7]
    movzx edx, si
    bt esi, 16
    jb .L4
    shr esi, 16
    test sil, 2
    jne .L5
    test sil, 4
    jne .L6
    mfence
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L7
.L8:
    inc rax
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L8
.L7:
    test sil, 4
    jne .L9
    mfence
    add rsp, 56
    ret
.L4:
    clwb byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L10
.L11:
    inc rax
    clwb byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L11
.L10:
    sfence
    add rsp, 56
    ret
.L5:
    clflushopt byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L12
.L13:
    inc rax
    clflushopt byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L13
.L12:
    sfence
    add rsp, 56
    ret
.L6:
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jae .L7
.L14:
    inc rax
    clflush byte ptr [rax]
    or rax, rdx
    cmp rax, rcx
    jb .L14
    jmp .L7
.L9:
    sfence
    add rsp, 56
    ret
.L3:
    lea rcx, [rip + .L15]
    mov rdi, rsi
    mov esi, 8
    call qword ptr [rip + _ZN10cachemaint6medium5words12out_of_rangeE@GOTPCREL]
.L0:
    lea rax, [rsp + 8]
    mov qword ptr [rsp + 24], rax
    mov rax, qword ptr [rip + _RNvXsd_NtNtNtC4core3fmt3num3impyNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 32], rax
    lea rax, [rip + .L16]
    mov qword ptr [rsp + 40], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 48], rax
    lea rdi, [rip + .L17]
    lea rdx, [rip + .L18]
    lea rsi, [rsp + 24]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
.L1:
    shl rdx, 3
    lea rcx, [rip + .L18]
    mov rdi, rsi
    mov esi, 8
    call qword ptr [rip + _ZN10cachemaint6medium5words12out_of_rangeE@GOTPCREL]
.L2:
    lea rax, [rsp + 8]
    mov qword ptr [rsp + 24], rax
    lea rax, [rip + _ZN71_$LT$core..ops..range..Range$LT$Idx$GT$$u20$as$u20$core..fmt..Debug$GT$3fmtE]
    mov qword ptr [rsp + 32], rax
    lea rdi, [rip + .L19]
    lea rdx, [rip + .L15]
    lea rsi, [rsp + 24]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
