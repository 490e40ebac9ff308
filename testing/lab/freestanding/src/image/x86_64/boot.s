# From the state that the loader leaves to 64-bit mode: 32-bit code and data segments over all of memory, paging
# off, CR0.CD clear (Xen docs/misc/pvh.pandoc).

# The address of the entry, for the loader (Xen xen/include/public/elfnote.h). QEMU reads the address as 64 bits.
.section .note.pvh, "a", @note
.balign 4
    .long 4
    .long 8
    .long 18                    # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad entry

.section .text.entry, "ax"
.code32
.globl entry
entry:
    cli
    cld
    lgdt [gdt_register]
    mov eax, 16
    mov ss, eax
    mov esp, offset stack_top
    # Intel SDM vol. 3A, "Initializing IA-32e Mode", and "Initialization of the SSE Extensions", for programs
    # that use vector registers; CR0.EM is clear.
    mov eax, cr4
    or eax, 1 << 5 | 1 << 9 | 1 << 10 # PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, offset pml4
    mov cr3, eax
    mov ecx, 0xc0000080         # IA32_EFER
    rdmsr
    or eax, 1 << 8              # LME
    wrmsr
    mov eax, cr0
    or eax, 1 << 31 | 1 << 1    # PG, MP
    mov cr0, eax
    push 8
    mov eax, offset in_64_bits
    push eax
    retf

.code64
in_64_bits:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, offset stack_top
    xor ebp, ebp
    call {start}

# The start of every other CPU, in real mode, with CS and IP for the page that its startup interrupt names (Intel SDM
# vol. 3A, "Typical AP Initialization Sequence"). The page is below 1 MiB, and this is copied there.
.code16
.balign 16
.globl STARTUP, STARTUP_END
STARTUP:
    cli
    cld
    .byte 0x2e, 0x66, 0x0f, 0x01, 0x16 # lgdt cs:[gdt_of_startup], with 32 bits of base
    .word gdt_of_startup - STARTUP
    mov eax, cr4
    or eax, 1 << 5 | 1 << 9 | 1 << 10 # PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, offset pml4
    mov cr3, eax
    mov ecx, 0xc0000080         # IA32_EFER
    rdmsr
    or eax, 1 << 8              # LME
    wrmsr
    mov eax, cr0
    and eax, 0x9fffffff         # CD and NW are set by a reset, and INIT keeps them
    or eax, 1 << 31 | 1 << 1 | 1 # PG, MP, PE
    mov cr0, eax
    .byte 0x66, 0xea            # jmp 8:other_in_64_bits
    .long other_in_64_bits
    .word 8
gdt_of_startup:
    .word gdt_end - gdt - 1
    .long gdt
STARTUP_END:

.code64
other_in_64_bits:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    # A stack of 16 KiB for each, of which pc.ld has three.
    mov eax, 1
    lock xadd [rip + others_started], eax
    cmp eax, 3
    jae no_stack
    inc eax
    shl eax, 14
    lea rsp, [rip + other_stacks]
    add rsp, rax
    xor ebp, ebp
    call {joined}
no_stack:
    hlt
    jmp no_stack

# One entry of 16 bytes for each vector; if the CPU does not push an error code, 0 is pushed (Intel SDM vol. 3A,
# "Error Code": vectors 8, 10 to 14, 17, 21, 29, 30).
.balign 16
.globl TRAPS
TRAPS:
.set vector, 0
.rept 32
    .balign 16
    .if ((0x60227d00 >> vector) & 1) == 0
    push 0
    .endif
    .byte 0x6a, vector          # push vector
    jmp trap
    .set vector, vector + 1
.endr
.balign 16
trap:
    mov rdi, rsp
    and rsp, -16
    call {trapped}

.section .rodata.boot, "a"
# The null descriptor, code of 64 bits, data (Intel SDM vol. 3A, "Segment Descriptors").
.balign 8
gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_end:
gdt_register:
    .word gdt_end - gdt - 1
    .long gdt

# The first GiB, one to one, in pages of 2 MiB: present, writable, write-back (Intel SDM vol. 3A, "4-Level Paging"). And
# the page of the local APIC, at 0xfee00000, uncached.
# It is in the data, as the CPU sets its bits for accessed pages.
.section .data.boot, "aw"
.balign 4096
pml4:
    .quad pdpt + 3
    .fill 511, 8, 0
pdpt:
    .quad pd + 3, 0, 0, apic + 3
    .fill 508, 8, 0
apic:
    .fill 503, 8, 0
    .quad 0xfee00000 + 0x93     # present, writable, PCD, 2 MiB
    .fill 8, 8, 0
pd:
.set page, 0
.rept 512
    .quad page + 0x83
    .set page, page + 0x200000
.endr

.balign 4
others_started:
    .long 0
