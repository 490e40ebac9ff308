    bt edi, 16
    jb .L0
    mov eax, edi
    shr eax, 16
    test al, 2
    jne .L1
    test al, 4
    jne .L2
    mfence
    lea rax, [rsi + 63]
    clflush byte ptr [rsi]
    movzx r8d, di
    or rsi, r8
    cmp rsi, rax
    jae .L3
.L4:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, r8
    cmp rsi, rax
    jb .L4
.L3:
    mfence
    bt edi, 24
    jb .L5
    mov eax, edi
    shr eax, 24
    test al, 2
    jne .L6
    test al, 4
    jne .L7
    mfence
    lea rsi, [rdx + 63]
    clflush byte ptr [rdx]
    movzx eax, di
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
    mfence
    lea rdx, [rcx + 63]
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
    lea rax, [rsi + 63]
    clwb byte ptr [rsi]
    movzx r8d, di
    or rsi, r8
    cmp rsi, rax
    jae .L3
.L12:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, r8
    cmp rsi, rax
    jb .L12
    jmp .L3
.L5:
    lea rsi, [rdx + 63]
    clwb byte ptr [rdx]
    movzx eax, di
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
    lea rax, [rsi + 63]
    clflushopt byte ptr [rsi]
    movzx r8d, di
    or rsi, r8
    cmp rsi, rax
    jae .L3
.L16:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, r8
    cmp rsi, rax
    jb .L16
    jmp .L3
.L6:
    lea rsi, [rdx + 63]
    clflushopt byte ptr [rdx]
    movzx eax, di
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
    lea rax, [rsi + 63]
    clflush byte ptr [rsi]
    movzx r8d, di
    or rsi, r8
    cmp rsi, rax
    jae .L3
.L20:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, r8
    cmp rsi, rax
    jb .L20
    jmp .L3
.L7:
    lea rsi, [rdx + 63]
    clflush byte ptr [rdx]
    movzx eax, di
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
