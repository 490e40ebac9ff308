//! The image: its start, its driver and its output.

use cachemaint::coherence::{self, Maintain, Padded};
use core::arch::{asm, global_asm};
use core::ffi::CStr;
use core::panic::PanicInfo;
use embedded_dma::WriteBuffer;

// The vector table of a Cortex-M: the stack and the first instruction.
#[cfg(profile = "m")]
global_asm!(
    ".section .vectors, \"a\"",
    ".word STACK, {run}",
    ".text",
    ".global start",
    ".set start, {run}",
    run = sym run,
);
// Starts without firmware, in M-mode. `mtvec` holds 4-byte addresses.
#[cfg(profile = "riscv")]
global_asm!(
    ".section .vectors, \"ax\"",
    ".global start",
    "start:",
    "la t0, 0f",
    "csrw mtvec, t0",
    "la sp, STACK",
    "j {run}",
    ".balign 4",
    "0: j {trapped}",
    run = sym run,
    trapped = sym trapped,
);
#[cfg(profile = "a")]
global_asm!(".text", ".global start", "start:", "ldr sp, =STACK", "b {run}", run = sym run);

/// Hands a buffer over with each controller of the board. The emulated Cortex-M7 has no cache to switch on.
#[cfg(profile = "m")]
fn hand_over_by_each() {
    use crate::cortex_m7::{CACHE, EMPTY, receive};
    hand_over(&CACHE);
    let mut buffer = EMPTY;
    // SAFETY: the buffer can be written, and nothing else uses it until `receive` returns.
    receive(&mut buffer, |start| unsafe { start.write_volatile(7) });
    assert_eq!(buffer[0], 7);
    print(c"cortex-m7\n");
}

/// The same. The outer cache is at the address of Zynq-7000 (Linux `zynq-7000.dtsi`).
#[cfg(profile = "a")]
fn hand_over_by_each() {
    use cachemaint_platforms::{Armv7, Pl310};
    // SAFETY: (1) the CPU starts in supervisor mode; (2) there is one; (3) there is one thread; (4) to (6) the emulator has no
    // caches.
    let stated = unsafe { Armv7::new() };
    assert!(stated.granule() >= 32);
    // SAFETY: (1) as above; (2) lines have 32 bytes (Arm DDI 0388).
    let inner = unsafe { Armv7::with_lines(32, 32) };
    hand_over(&inner);
    print(c"cortex-a9\n");
    // SAFETY: (1) and (2) it is there, and addresses are physical; (3) Armv7 ends by a DSB; (4) nothing else runs.
    hand_over(&unsafe { Pl310::new(inner, 0xf8f0_2000, 0) });
    print(c"l2c-310\n");
}

/// The same, with the instructions of a T-Head C906.
#[cfg(profile = "riscv")]
fn hand_over_by_each() {
    // SAFETY: (1) the CPU has them, and starts in M-mode; (2) its lines have 64 bytes; (3) there is one thread; (4), (5) the
    // emulator has no caches.
    hand_over(&unsafe { cachemaint_platforms::XTheadCmo::new() });
    print(c"xtheadcmo\n");
}

/// A HAL's DMA transfer: takes the buffer and returns it.
fn transfer<B: WriteBuffer<Word = u8>>(mut buffer: B) -> B {
    // SAFETY: nothing but the "device" uses the buffer before it is returned.
    let (start, words) = unsafe { buffer.write_buffer() };
    for (word, value) in (0..words).zip(1..) {
        // SAFETY: the word belongs to the buffer.
        unsafe { start.wrapping_add(word).write_volatile(value) };
    }
    buffer
}

/// The largest granule of the profile's boards.
const GRANULE: usize = if cfg!(profile = "riscv") { 64 } else { 32 };

/// Gives a static buffer to the device and takes it back, reads a byte of an active ring, and hands a variable over.
fn hand_over(cache: &dyn Maintain) {
    static mut RECEIVED: Padded<[u8; 40], GRANULE> = Padded::for_granule([0; 40], GRANULE);
    let buffer = &raw mut RECEIVED;
    // SAFETY: there is one thread, and no other reference.
    let buffer: &'static mut Padded<[u8], GRANULE> = unsafe { &mut *buffer };
    buffer.fill(0);
    coherence::release_to_writer(cache, buffer);
    let buffer = transfer(buffer);
    coherence::acquire(cache, buffer);
    assert!(buffer.iter().copied().eq(1..=40));

    let last = buffer.as_mut_ptr().wrapping_add(39);
    // SAFETY: (1) the byte can be read; (2) the reference is not used any more.
    unsafe { coherence::acquire_range(cache, last, 1) };
    // SAFETY: it is the last byte.
    assert_eq!(unsafe { last.read_volatile() }, 40);
    let command = 7_u32;
    coherence::release(cache, &command);
    assert_eq!(command, 7);
}

extern "C" fn run() -> ! {
    hand_over_by_each();
    print(c"done\n");
    // `ADP_Stopped_ApplicationExit`: the emulator's exit code is 0.
    exit(0x2_0026)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    print(c"panicked\n");
    exit(0)
}

#[cfg(profile = "riscv")]
extern "C" fn trapped() -> ! {
    print(c"trapped\n");
    exit(0)
}

/// `SYS_WRITE0`.
fn print(text: &CStr) {
    call(0x04, text.as_ptr().addr());
}

/// `SYS_EXIT`: a 64-bit CPU passes the reason and a status in memory.
fn exit(reason: usize) -> ! {
    let block = [reason, 0];
    let parameter =
        if cfg!(profile = "riscv") { block.as_ptr().expose_provenance() } else { reason };
    loop {
        call(0x18, parameter);
    }
}

/// Calls the emulator (Arm, "Semihosting for `AArch32` and `AArch64`", 3; RISC-V, "Semihosting", 2.1).
fn call(operation: usize, parameter: usize) {
    #[cfg(not(profile = "riscv"))]
    macro_rules! call {
        ($instruction:literal) => {
            // SAFETY: the emulator reads the parameter's text, and changes no memory.
            unsafe {
                asm!($instruction, inout("r0") operation => _, in("r1") parameter, lateout("lr") _);
            }
        };
    }
    #[cfg(profile = "m")]
    call!("bkpt 0xab");
    // The three instructions are recognized only if none of them is compressed and all are on one page.
    #[cfg(profile = "riscv")]
    // SAFETY: as above.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => _,
            in("a1") parameter,
        );
    }
    // In supervisor mode the call overwrites the link register.
    #[cfg(profile = "a")]
    call!("svc 0x123456");
}
