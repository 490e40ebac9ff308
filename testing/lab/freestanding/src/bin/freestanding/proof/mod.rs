//! The steps of the image, in order.

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "instructions of EL1")]
mod aarch64;
mod last_words;
#[cfg(target_arch = "riscv64")]
#[expect(unsafe_code, reason = "the library cannot know the mode")]
mod riscv64;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions of ring 0")]
mod x86_64;

use core::panic::PanicInfo;

use cachemaint::Cache;
use cachemaint_lab_freestanding::image::{self, Machine};
use cachemaint_lab_freestanding::{Board as _, STEPS, run, tell};

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "riscv64")]
use riscv64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

/// The function that the boot code calls. Its handle is the first thing proved.
#[expect(unsafe_code, reason = "it is found by a name, which nothing else has")]
#[unsafe(no_mangle)]
extern "Rust" fn program(cache: Cache) {
    tell(&Machine, cache);
    Machine.print(format_args!("passed privileged"));
    run(&Machine, cache, &STEPS);
    run(&Machine, cache, &machine::STEPS);
    last_words::panic_with(cache)
}

/// Handles a failed assertion of a step, or the intended panic.
#[panic_handler]
fn panicked(panic: &PanicInfo<'_>) -> ! {
    last_words::keep(panic);
    image::panicked(panic)
}
