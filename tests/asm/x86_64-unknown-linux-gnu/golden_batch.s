    bt edi, 16
    jb .L0
    mov eax, edi
    shr eax, 16
    test al, 2
    jne .L1
    test al, 4
    jne .L2
    mfence
    lea rcx, [rsi + 63]
    clflush byte ptr [rsi]
    movzx eax, di
    or rsi, rax
    cmp rsi, rcx
    jae .L3
.L4:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L4
.L3:
    mfence
    lea rcx, [rdx + 63]
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L5
.L6:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L6
.L5:
    mfence
    ret
.L0:
    lea rcx, [rsi + 63]
    clwb byte ptr [rsi]
    movzx eax, di
    or rsi, rax
    cmp rsi, rcx
    jae .L7
.L8:
    inc rsi
    clwb byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L8
.L7:
    lea rcx, [rdx + 63]
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L9
.L10:
    inc rdx
    clwb byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L10
.L9:
    sfence
    ret
.L1:
    lea rcx, [rsi + 63]
    clflushopt byte ptr [rsi]
    movzx eax, di
    or rsi, rax
    cmp rsi, rcx
    jae .L11
.L12:
    inc rsi
    clflushopt byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L12
.L11:
    lea rcx, [rdx + 63]
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L13
.L14:
    inc rdx
    clflushopt byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L14
.L13:
    sfence
    ret
.L2:
    lea rcx, [rsi + 63]
    clflush byte ptr [rsi]
    movzx eax, di
    or rsi, rax
    cmp rsi, rcx
    jae .L15
.L16:
    inc rsi
    clflush byte ptr [rsi]
    or rsi, rax
    cmp rsi, rcx
    jb .L16
.L15:
    lea rcx, [rdx + 63]
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jae .L17
.L18:
    inc rdx
    clflush byte ptr [rdx]
    or rdx, rax
    cmp rdx, rcx
    jb .L18
.L17:
    sfence
    ret
