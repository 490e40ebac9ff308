    push rbx
    sub rsp, 48
    mov rax, qword ptr [rip + _ZN10cachemaint5cache5Cache4host6CHOSENE@GOTPCREL]
    mov rdx, qword ptr [rax]
    test rdx, rdx
    je .L0
.L13:
    mov rax, rdi
    or rax, 7
    movzx ecx, dx
    bt edx, 16
    jb .L1
    shr edx, 16
    test dl, 2
    jne .L2
    test dl, 4
    jne .L3
    mfence
    clflush byte ptr [rdi]
    or rdi, rcx
    cmp rdi, rax
    jae .L4
.L5:
    inc rdi
    clflush byte ptr [rdi]
    or rdi, rcx
    cmp rdi, rax
    jb .L5
.L4:
    mfence
    mov al, 1
    add rsp, 48
    pop rbx
    ret
.L1:
    clwb byte ptr [rdi]
    jmp .L6
.L7:
    inc rdi
    clwb byte ptr [rdi]
.L6:
    or rdi, rcx
    cmp rdi, rax
    jb .L7
    sfence
    mov al, 1
    add rsp, 48
    pop rbx
    ret
.L2:
    clflushopt byte ptr [rdi]
    or rdi, rcx
    cmp rdi, rax
    jae .L8
.L9:
    inc rdi
    clflushopt byte ptr [rdi]
    or rdi, rcx
    cmp rdi, rax
    jb .L9
.L8:
    sfence
    mov al, 1
    add rsp, 48
    pop rbx
    ret
.L3:
    clflush byte ptr [rdi]
    or rdi, rcx
    cmp rdi, rax
    jae .L10
.L11:
    inc rdi
    clflush byte ptr [rdi]
    or rdi, rcx
    cmp rdi, rax
    jb .L11
.L10:
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
    jne .L12
    mov rdx, qword ptr [rsp + 16]
    mov rdi, rbx
    jmp .L13
.L12:
    xor eax, eax
    add rsp, 48
    pop rbx
    ret
