    stp x29, x30, [sp, #-32]!
    stp x20, x19, [sp, #16]
    mov x29, sp
    mov w2, #7
    mov w3, #1
    mov x19, x1
    mov x20, x0
    bl _ZN81_$LT$cachemaint..medium..memory..Memory$u20$as$u20$cachemaint..medium..Medium$GT$5storeE
    add x2, x19, #8
    mov x0, x20
    mov x1, x19
    bl _ZN81_$LT$cachemaint..medium..memory..Memory$u20$as$u20$cachemaint..medium..Medium$GT$9writebackE
    mov x0, x20
    ldp x20, x19, [sp, #16]
    ldp x29, x30, [sp], #32
    b _ZN81_$LT$cachemaint..medium..memory..Memory$u20$as$u20$cachemaint..medium..Medium$GT$5fenceE
