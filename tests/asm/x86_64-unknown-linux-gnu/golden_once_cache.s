    mov rdx, qword ptr [rdi]
    xor eax, eax
    test rdx, rdx
    setne al
    ret
