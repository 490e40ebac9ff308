    sub sp, sp, #128
    stp x29, x30, [sp, #80]
    stp x22, x21, [sp, #96]
    stp x20, x19, [sp, #112]
    add x29, sp, #80
    ldr x2, [x0, #304]
    cmn x1, #9
    b.hi .L0
    add x8, x1, #8
    cmp x8, x2
    b.hi .L0
    ldr x9, [x0, #296]
    tst x1, #0x7
    stur x1, [x29, #-16]
    b.ne .L1
    add x10, x9, x1
    mov w9, #7
    stlr x9, [x10]
    ldr x9, [x0]
    stp x1, x8, [x29, #-16]
    cbz x9, .L2
    cmp x9, #1
    b.ne .L3
    ldr x11, [x0, #8]
    add x8, x10, #7
    lsr w12, w11, #16
    and x9, x11, #0xffff
    tbnz w12, #0, .L4
    ubfx w12, w11, #16, #8
    tbnz w12, #1, .L5
    orr x11, x9, x10
    tbnz w12, #2, .L6
    dc civac, x10
    cmp x11, x8
    b.hs .L2
.L7:
    add x10, x11, #1
    dc civac, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L7
.L2:
    dsb sy
    mov w0, #1
.L8:
    ldp x20, x19, [sp, #112]
    ldp x22, x21, [sp, #96]
    ldp x29, x30, [sp, #80]
    add sp, sp, #128
    ret
.L3:
    ldr x2, [x0, #8]
    mov x8, sp
    sub x1, x29, #16
    bl _ZN10cachemaint3dax7DaxFile15writeback_pagesE
    ldr x1, [sp]
    mov x8, #-9223372036854775808
    cmp x1, x8
    cset w0, eq
    b.eq .L8
    cbz x1, .L9
    ldr x8, [sp, #8]
    mov w19, w0
    mov w2, #1
    mov x0, x8
    bl _RNvC7___rustc14___rust_dealloc
    mov w0, w19
.L9:
    ldr w8, [sp, #24]
    cmp w8, #22
    b.ne .L8
    ldr x19, [sp, #32]
    ldr x1, [x19, #112]
    cbz x1, .L10
    ldr x0, [x19, #120]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
.L10:
    ldr x1, [x19, #136]
    cbz x1, .L11
    ldr x0, [x19, #144]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
.L11:
    ldr x1, [x19, #160]
    cbz x1, .L12
    ldr x0, [x19, #168]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
.L12:
    ldr x1, [x19, #184]
    cbz x1, .L13
    ldr x0, [x19, #192]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
.L13:
    ldr x8, [x19, #16]
    cmp x8, #2
    b.eq .L14
    ldr x1, [x19, #32]
    cbz x1, .L15
    ldr x0, [x19, #40]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
.L15:
    ldr x1, [x19, #56]
    cbz x1, .L16
    ldr x0, [x19, #64]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
.L16:
    ldp x20, x21, [x19, #88]
    cbz x21, .L17
    add x22, x20, #32
    b .L18
.L20:
    subs x21, x21, #1
    add x22, x22, #48
    b.eq .L17
.L18:
    ldur x1, [x22, #-32]
    cbz x1, .L19
    ldur x0, [x22, #-24]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
.L19:
    ldur x1, [x22, #-8]
    cbz x1, .L20
    ldr x0, [x22]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
    b .L20
.L4:
    dc cvac, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L2
.L21:
    add x10, x10, #1
    dc cvac, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L21
    b .L2
.L5:
    sys #3, c7, c12, #1, x10
    orr x10, x9, x10
    cmp x10, x8
    b.hs .L2
.L22:
    add x10, x10, #1
    sys #3, c7, c12, #1, x10
    orr x10, x10, x9
    cmp x10, x8
    b.lo .L22
    b .L2
.L6:
    sys #3, c7, c13, #1, x10
    cmp x11, x8
    b.hs .L2
.L23:
    add x10, x11, #1
    sys #3, c7, c13, #1, x10
    orr x11, x10, x9
    cmp x11, x8
    b.lo .L23
    b .L2
.L17:
    ldr x8, [x19, #80]
    cbz x8, .L14
    add x8, x8, x8, lsl #1
    mov x0, x20
    mov w2, #8
    lsl x1, x8, #4
    bl _RNvC7___rustc14___rust_dealloc
.L14:
    ldp x20, x21, [x19, #216]
    cbz x21, .L24
    add x22, x20, #32
    b .L25
.L27:
    subs x21, x21, #1
    add x22, x22, #48
    b.eq .L24
.L25:
    ldur x1, [x22, #-32]
    cbz x1, .L26
    ldur x0, [x22, #-24]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
.L26:
    ldur x1, [x22, #-8]
    cbz x1, .L27
    ldr x0, [x22]
    mov w2, #1
    bl _RNvC7___rustc14___rust_dealloc
    b .L27
.L24:
    ldr x8, [x19, #208]
    cbz x8, .L28
    add x8, x8, x8, lsl #1
    mov x0, x20
    mov w2, #8
    lsl x1, x8, #4
    bl _RNvC7___rustc14___rust_dealloc
.L28:
    mov x0, x19
    mov w1, #256
    mov w2, #8
    bl _RNvC7___rustc14___rust_dealloc
    mov w0, wzr
    ldp x20, x19, [sp, #112]
    ldp x22, x21, [sp, #96]
    ldp x29, x30, [sp, #80]
    add sp, sp, #128
    ret
.L0:
    adrp x3, .L29
    add x3, x3, :lo12:.L29
    mov x0, x1
    mov w1, #8
    bl _ZN10cachemaint3dax7mapping12out_of_rangeE
.L1:
    adrp x9, :got:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt
    sub x8, x29, #16
    adrp x0, .L30
    add x0, x0, :lo12:.L30
    ldr x9, [x9, :got_lo12:_RNvXsi_NtNtNtC4core3fmt3num3impjNtB9_7Display3fmt]
    adrp x2, .L29
    add x2, x2, :lo12:.L29
    mov x1, sp
    stp x8, x9, [sp]
    adrp x8, .L31
    add x8, x8, :lo12:.L31
    stp x8, x9, [sp, #16]
    bl _RNvNtC4core9panicking9panic_fmt
