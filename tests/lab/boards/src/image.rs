//! The image: its start, its driver, its output.

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
#[cfg(profile = "a")]
global_asm!(".text", ".global start", "start:", "ldr sp, =STACK", "b {run}", run = sym run);

/// Hands a buffer over by each controller of the board.
#[cfg(profile = "m")]
fn hand_over_by_each() {
    // SAFETY: (1) the board has a Cortex-M7, which starts in privileged mode; (2) and no other cache.
    hand_over(&unsafe { cachemaint_platforms::CortexM::new() });
    print(c"cortex-m7\n");
}

/// As above. The outer cache is at the address of Zynq-7000 (Linux `zynq-7000.dtsi`).
#[cfg(profile = "a")]
fn hand_over_by_each() {
    use cachemaint_platforms::{Armv7, Pl310};
    // SAFETY: (1) the CPU starts in supervisor mode; (2) there is one; (3) there is one thread; (4) the emulator has no caches.
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

/// A HAL's transfer by DMA: takes the buffer and gives it back.
fn transfer<B: WriteBuffer<Word = u8>>(mut buffer: B) -> B {
    // SAFETY: nothing but the "device" uses the buffer before it is given back.
    let (start, words) = unsafe { buffer.write_buffer() };
    for (word, value) in (0..words).zip(1..) {
        // SAFETY: the word is one of the buffer.
        unsafe { start.wrapping_add(word).write_volatile(value) };
    }
    buffer
}

/// Gives a static buffer to the device and takes it back; reads a byte of a ring that runs; hands a variable over.
fn hand_over(cache: &dyn Maintain) {
    static mut RECEIVED: Padded<[u8; 40], 32> = Padded::for_granule([0; 40], 32);
    let buffer = &raw mut RECEIVED;
    // SAFETY: there is one thread, and no other reference.
    let buffer: &'static mut Padded<[u8], 32> = unsafe { &mut *buffer };
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
    semihost(0x18, 0x2_0026)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    print(c"panicked\n");
    semihost(0x18, 0)
}

/// `SYS_WRITE0`.
fn print(text: &CStr) {
    call(0x04, text.as_ptr().addr());
}

/// Calls an operation that does not return.
fn semihost(operation: usize, parameter: usize) -> ! {
    loop {
        call(operation, parameter);
    }
}

/// Calls the emulator (Arm, "Semihosting for `AArch32` and `AArch64`", 3).
fn call(operation: usize, parameter: usize) {
    macro_rules! call {
        ($instruction:literal) => {
            // SAFETY: the emulator reads the text of the parameter, and changes no memory.
            unsafe {
                asm!($instruction, inout("r0") operation => _, in("r1") parameter, lateout("lr") _);
            }
        };
    }
    #[cfg(profile = "m")]
    call!("bkpt 0xab");
    // In supervisor mode the call overwrites the link register.
    #[cfg(profile = "a")]
    call!("svc 0x123456");
}
