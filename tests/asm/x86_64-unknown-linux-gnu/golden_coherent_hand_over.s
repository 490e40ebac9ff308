    push rbp
    mov rbp, rsp
    and rsp, -64
    sub rsp, 128
    movaps xmm0, xmmword ptr [rip + .L0]
    movaps xmmword ptr [rsp + 16], xmm0
    movaps xmmword ptr [rsp], xmm0
    movaps xmmword ptr [rsp + 48], xmm0
    movaps xmmword ptr [rsp + 32], xmm0
    mov rax, rsp
    mfence
    mov qword ptr [rdi], rax
    mfence
    mov rax, qword ptr [rsp]
    mov rsp, rbp
    pop rbp
    ret
