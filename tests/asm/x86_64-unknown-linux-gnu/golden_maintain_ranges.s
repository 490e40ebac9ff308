    mfence
    test rdx, rdx
    je .L0
    lea rax, [rsi + 8*rdx]
    bt edi, 24
    movzx ecx, di
    jb .L1
    shr edi, 24
    test dil, 2
    jne .L2
    test dil, 4
    jne .L3
    jmp .L4
.L5:
    add rsi, 8
    cmp rsi, rax
    je .L0
.L1:
    mov rdx, qword ptr [rsi]
    lea rdi, [rdx + 63]
    clwb byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rdi
    jae .L5
.L6:
    inc rdx
    clwb byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rdi
    jb .L6
    jmp .L5
.L7:
    add rsi, 8
    cmp rsi, rax
    je .L0
.L2:
    mov rdx, qword ptr [rsi]
    lea rdi, [rdx + 63]
    clflushopt byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rdi
    jae .L7
.L8:
    inc rdx
    clflushopt byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rdi
    jb .L8
    jmp .L7
.L9:
    add rsi, 8
    cmp rsi, rax
    je .L0
.L4:
    mov rdx, qword ptr [rsi]
    mfence
    lea rdi, [rdx + 63]
    clflush byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rdi
    jae .L9
.L10:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rdi
    jb .L10
    jmp .L9
.L11:
    add rsi, 8
    cmp rsi, rax
    je .L0
.L3:
    mov rdx, qword ptr [rsi]
    lea rdi, [rdx + 63]
    clflush byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rdi
    jae .L11
.L12:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rcx
    cmp rdx, rdi
    jb .L12
    jmp .L11
.L0:
    mfence
    ret
