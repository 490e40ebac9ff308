    push rbx
    sub rsp, 48
    mov rax, qword ptr [rip + _ZN10cachemaint5cache5Cache4host6CHOSENE@GOTPCREL]
    mov rax, qword ptr [rax]
    test rax, rax
    je .L0
    bt eax, 16
    jb .L1
.L11:
    mov ecx, eax
    shr ecx, 16
    test cl, 2
    jne .L2
    test cl, 4
    jne .L3
    mfence
    mov rcx, rdi
    or rcx, 7
    clflush byte ptr [rdi]
    movzx eax, ax
    or rdi, rax
    cmp rdi, rcx
    jae .L4
.L5:
    inc rdi
    clflush byte ptr [rdi]
    or rdi, rax
    cmp rdi, rcx
    jb .L5
.L4:
    mfence
    mov al, 1
    add rsp, 48
    pop rbx
    ret
.L2:
    mov rcx, rdi
    or rcx, 7
    clflushopt byte ptr [rdi]
    movzx eax, ax
    or rdi, rax
    cmp rdi, rcx
    jae .L6
.L7:
    inc rdi
    clflushopt byte ptr [rdi]
    or rdi, rax
    cmp rdi, rcx
    jb .L7
.L6:
    sfence
    mov al, 1
    add rsp, 48
    pop rbx
    ret
.L3:
    mov rcx, rdi
    or rcx, 7
    clflush byte ptr [rdi]
    movzx eax, ax
    or rdi, rax
    cmp rdi, rcx
    jae .L8
.L9:
    inc rdi
    clflush byte ptr [rdi]
    or rdi, rax
    cmp rdi, rcx
    jb .L9
.L8:
    sfence
    mov al, 1
    add rsp, 48
    pop rbx
    ret
.L0:
    mov rbx, rdi
    lea rdi, [rsp + 8]
    call _ZN10cachemaint5cache4once9OnceCache6chooseE
    cmp dword ptr [rsp + 8], 7
    jne .L10
    mov rax, qword ptr [rsp + 16]
    mov rdi, rbx
    bt eax, 16
    jae .L11
.L1:
    mov rcx, rdi
    or rcx, 7
    clwb byte ptr [rdi]
    movzx eax, ax
    jmp .L12
.L13:
    inc rdi
    clwb byte ptr [rdi]
.L12:
    or rdi, rax
    cmp rdi, rcx
    jb .L13
    sfence
    mov al, 1
    add rsp, 48
    pop rbx
    ret
.L10:
    xor eax, eax
    add rsp, 48
    pop rbx
    ret
