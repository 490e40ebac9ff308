    push r15
    push r14
    push r13
    push r12
    push rbx
    sub rsp, 80
    mov rdx, qword ptr [rdi + 304]
    lea rax, [rsi + 8]
    cmp rax, rdx
    seta cl
    cmp rsi, -9
    ja .L0
    test cl, cl
    jne .L1
.L34:
    mov rdx, qword ptr [rdi + 296]
    mov qword ptr [rsp], rsi
    test sil, 7
    jne .L2
    mov qword ptr [rdx + rsi], 7
    mov qword ptr [rsp], rsi
    mov qword ptr [rsp + 8], rax
    mov rax, qword ptr [rdi]
    mov rcx, qword ptr [rdi + 8]
    test rax, rax
    je .L3
    cmp eax, 1
    jne .L4
    add rdx, rsi
    lea rsi, [rdx + 7]
    movzx edi, cx
    mov eax, ecx
    shr eax, 16
    bt ecx, 16
    jb .L5
    test al, 2
    jne .L6
    test al, 4
    jne .L7
    mfence
    clflush byte ptr [rdx]
    or rdx, rdi
    cmp rdx, rsi
    jae .L8
.L9:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rdi
    cmp rdx, rsi
    jb .L9
    jmp .L8
.L3:
    shr ecx, 16
    mov eax, ecx
.L8:
    test al, 1
    jne .L10
    test al, 2
    jne .L11
    test al, 4
    jne .L12
    mfence
    mov al, 1
    jmp .L13
.L10:
    sfence
    mov al, 1
    jmp .L13
.L4:
    lea rax, [rsp + 16]
    mov rdx, rsp
    mov rsi, rdi
    mov rdi, rax
    call qword ptr [rip + _ZN10cachemaint3dax7DaxFile15writeback_pagesE@GOTPCREL]
    mov rsi, qword ptr [rsp + 16]
    mov rax, rsi
    neg rax
    seto al
    jo .L13
    jae .L14
    mov rdi, qword ptr [rsp + 24]
    mov edx, 1
    mov ebx, eax
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
    mov eax, ebx
.L14:
    cmp dword ptr [rsp + 40], 22
    jne .L13
    mov rbx, qword ptr [rsp + 48]
    mov rsi, qword ptr [rbx + 112]
    test rsi, rsi
    je .L15
    mov rdi, qword ptr [rbx + 120]
    mov edx, 1
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
.L15:
    mov rsi, qword ptr [rbx + 136]
    test rsi, rsi
    je .L16
    mov rdi, qword ptr [rbx + 144]
    mov edx, 1
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
.L16:
    mov rsi, qword ptr [rbx + 160]
    test rsi, rsi
    je .L17
    mov rdi, qword ptr [rbx + 168]
    mov edx, 1
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
.L17:
    mov rsi, qword ptr [rbx + 184]
    test rsi, rsi
    je .L18
    mov rdi, qword ptr [rbx + 192]
    mov edx, 1
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
.L18:
    cmp dword ptr [rbx + 16], 2
    je .L19
    mov rsi, qword ptr [rbx + 32]
    test rsi, rsi
    je .L20
    mov rdi, qword ptr [rbx + 40]
    mov edx, 1
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
.L20:
    mov rsi, qword ptr [rbx + 56]
    test rsi, rsi
    je .L21
    mov rdi, qword ptr [rbx + 64]
    mov edx, 1
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
.L21:
    mov r14, qword ptr [rbx + 88]
    mov r15, qword ptr [rbx + 96]
    test r15, r15
    je .L22
    lea r12, [r14 + 32]
    mov r13, qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
    jmp .L23
.L25:
    add r12, 48
    dec r15
    je .L22
.L23:
    mov rsi, qword ptr [r12 - 32]
    test rsi, rsi
    je .L24
    mov rdi, qword ptr [r12 - 24]
    mov edx, 1
    call r13
.L24:
    mov rsi, qword ptr [r12 - 8]
    test rsi, rsi
    je .L25
    mov rdi, qword ptr [r12]
    mov edx, 1
    call r13
    jmp .L25
.L5:
    clwb byte ptr [rdx]
    or rdx, rdi
    cmp rdx, rsi
    jae .L8
.L26:
    inc rdx
    clwb byte ptr [rdx]
    or rdx, rdi
    cmp rdx, rsi
    jb .L26
    jmp .L8
.L11:
    sfence
    mov al, 1
    jmp .L13
.L6:
    clflushopt byte ptr [rdx]
    or rdx, rdi
    cmp rdx, rsi
    jae .L8
.L27:
    inc rdx
    clflushopt byte ptr [rdx]
    or rdx, rdi
    cmp rdx, rsi
    jb .L27
    jmp .L8
.L12:
    sfence
    mov al, 1
    jmp .L13
.L7:
    clflush byte ptr [rdx]
    or rdx, rdi
    cmp rdx, rsi
    jae .L8
.L28:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rdi
    cmp rdx, rsi
    jb .L28
    jmp .L8
.L22:
    mov rax, qword ptr [rbx + 80]
    test rax, rax
    je .L19
    shl rax, 4
    lea rsi, [rax + 2*rax]
    mov edx, 8
    mov rdi, r14
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
.L19:
    mov r14, qword ptr [rbx + 216]
    mov r15, qword ptr [rbx + 224]
    test r15, r15
    je .L29
    lea r12, [r14 + 32]
    mov r13, qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
    jmp .L30
.L32:
    add r12, 48
    dec r15
    je .L29
.L30:
    mov rsi, qword ptr [r12 - 32]
    test rsi, rsi
    je .L31
    mov rdi, qword ptr [r12 - 24]
    mov edx, 1
    call r13
.L31:
    mov rsi, qword ptr [r12 - 8]
    test rsi, rsi
    je .L32
    mov rdi, qword ptr [r12]
    mov edx, 1
    call r13
    jmp .L32
.L29:
    mov rax, qword ptr [rbx + 208]
    test rax, rax
    je .L33
    shl rax, 4
    lea rsi, [rax + 2*rax]
    mov edx, 8
    mov rdi, r14
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
.L33:
    mov esi, 256
    mov edx, 8
    mov rdi, rbx
    call qword ptr [rip + _RNvC7___rustc14___rust_dealloc@GOTPCREL]
    xor eax, eax
.L13:
    add rsp, 80
    pop rbx
    pop r12
    pop r13
    pop r14
    pop r15
    ret
.L0:
    mov cl, 1
    test cl, cl
    je .L34
.L1:
    lea rcx, [rip + .L35]
    mov rdi, rsi
    mov esi, 8
    call qword ptr [rip + _ZN10cachemaint3dax7mapping12out_of_rangeE@GOTPCREL]
.L2:
    mov rax, rsp
    mov qword ptr [rsp + 16], rax
    mov rax, qword ptr [rip + _RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt@GOTPCREL]
    mov qword ptr [rsp + 24], rax
    lea rcx, [rip + .L36]
    mov qword ptr [rsp + 32], rcx
    mov qword ptr [rsp + 40], rax
    lea rdi, [rip + .L37]
    lea rdx, [rip + .L35]
    lea rsi, [rsp + 16]
    call qword ptr [rip + _RNvNtC4core9panicking9panic_fmt@GOTPCREL]
