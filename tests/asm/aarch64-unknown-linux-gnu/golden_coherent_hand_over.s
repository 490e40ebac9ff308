    stp x29, x30, [sp, #-16]!
    mov x29, sp
    sub x9, sp, #112
    and sp, x9, #0xffffffffffffffc0
    mov w8, #7
    dup v0.2d, x8
    mov x8, sp
    stp q0, q0, [sp]
    stp q0, q0, [sp, #32]
    dmb osh
    str x8, [x0]
    dmb osh
    ldr x0, [sp]
    mov sp, x29
    ldp x29, x30, [sp], #16
    ret
