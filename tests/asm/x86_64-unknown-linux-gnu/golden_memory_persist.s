    push r14
    push rbx
    push rax
    mov rbx, rsi
    mov r14, rdi
    mov edx, 7
    mov ecx, 1
    call qword ptr [rip + _ZN81_$LT$cachemaint..medium..memory..Memory$u20$as$u20$cachemaint..medium..Medium$GT$5storeE@GOTPCREL]
    lea rdx, [rbx + 8]
    mov rdi, r14
    mov rsi, rbx
    call qword ptr [rip + _ZN81_$LT$cachemaint..medium..memory..Memory$u20$as$u20$cachemaint..medium..Medium$GT$9writebackE@GOTPCREL]
    mov rdi, r14
    add rsp, 8
    pop rbx
    pop r14
    jmp qword ptr [rip + _ZN81_$LT$cachemaint..medium..memory..Memory$u20$as$u20$cachemaint..medium..Medium$GT$5fenceE@GOTPCREL]
