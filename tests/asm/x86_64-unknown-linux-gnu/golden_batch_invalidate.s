    lea r8, [rsi + 63]
    movzx eax, di
    bt edi, 16
    jb .L0
    mov r9d, edi
    shr r9d, 16
    test r9b, 2
    jne .L1
    test r9b, 4
    jne .L2
    mfence
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, r8
    jae .L3
.L4:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, r8
    jb .L4
.L3:
    mfence
    lea rsi, [rdx + 63]
    bt edi, 24
    jb .L5
    shr edi, 24
    test dil, 2
    jne .L6
    test dil, 4
    jne .L7
    mfence
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rsi
    jae .L8
.L9:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rsi
    jb .L9
.L8:
    lea rdx, [rcx + 63]
    mfence
    clflush byte ptr [rcx]
    or rcx, rax
    cmp rcx, rdx
    jae .L10
.L11:
    inc rcx
    clflush byte ptr [rcx]
    or rcx, rax
    cmp rcx, rdx
    jb .L11
.L10:
    mfence
    ret
.L0:
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, r8
    jae .L3
.L12:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, r8
    jb .L12
    jmp .L3
.L5:
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rsi
    jae .L13
.L14:
    inc rdx
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rsi
    jb .L14
.L13:
    lea rdx, [rcx + 63]
    clwb byte ptr [rcx]
    or rcx, rax
    cmp rcx, rdx
    jae .L10
.L15:
    inc rcx
    clwb byte ptr [rcx]
    or rcx, rax
    cmp rcx, rdx
    jb .L15
    jmp .L10
.L1:
    clflushopt byte ptr [rsi]
    or rsi, rax
    cmp rsi, r8
    jae .L3
.L16:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, rax
    cmp rsi, r8
    jb .L16
    jmp .L3
.L6:
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rsi
    jae .L17
.L18:
    inc rdx
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rsi
    jb .L18
.L17:
    lea rdx, [rcx + 63]
    clflushopt byte ptr [rcx]
    or rcx, rax
    cmp rcx, rdx
    jae .L10
.L19:
    inc rcx
    clflushopt byte ptr [rcx]
    or rcx, rax
    cmp rcx, rdx
    jb .L19
    jmp .L10
.L2:
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, r8
    jae .L3
.L20:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, r8
    jb .L20
    jmp .L3
.L7:
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rsi
    jae .L21
.L22:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rsi
    jb .L22
.L21:
    lea rdx, [rcx + 63]
    clflush byte ptr [rcx]
    or rcx, rax
    cmp rcx, rdx
    jae .L10
.L23:
    inc rcx
    clflush byte ptr [rcx]
    or rcx, rax
    cmp rcx, rdx
    jb .L23
    jmp .L10
