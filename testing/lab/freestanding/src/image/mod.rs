//! The run from the entry point to the power-off, with the parts that all boards and images share.
//!
//! The board's assembly comes first: it sets up a stack, enables vector registers, maps memory one to one and cacheable
//! where needed, and calls `start`. Interrupts are never enabled. There is one CPU, except on the PC and arm64, whose
//! other CPUs only run the functions that they are given.
//!
//! An image is a binary with a function `program` and a panic handler that ends in [`panicked`]. A run has succeeded if
//! its last line is `done` and [`done`] powered the machine off. Exceptions and panics are printed as `failed STEP:
//! why`.

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "registers, devices and instructions of the machine")]
mod aarch64;
#[cfg(target_arch = "arm")]
#[expect(unsafe_code, reason = "devices and instructions of the machine")]
mod armv7;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "one CPU hands a function to another")]
pub mod cpus;
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
#[expect(unsafe_code, reason = "registers of the machine")]
mod pl011;
#[cfg(target_arch = "riscv64")]
#[expect(unsafe_code, reason = "devices and instructions of the machine")]
mod riscv64;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "registers, devices and instructions of the machine")]
mod x86_64;

use core::cell::Cell;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use crate::Board;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "arm")]
use armv7 as machine;
#[cfg(target_arch = "riscv64")]
use riscv64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

/// The caches of the machine.
#[cfg(not(target_arch = "arm"))]
pub type Caches = cachemaint::Cache;
/// The caches of the machine.
#[cfg(target_arch = "arm")]
pub type Caches = cachemaint_platforms::Armv7;

#[expect(unsafe_code, reason = "the linker alone checks that the binary has it")]
unsafe extern "Rust" {
    /// The work of the image, which the binary defines. It gets the machine and the handle for its caches. When it
    /// returns, the run ends.
    safe fn program(cache: Caches);
}

/// A value that only the first CPU accesses, which nothing interrupts.
#[derive(Debug)]
pub struct OneCpu<T>(pub T);

#[expect(unsafe_code, reason = "statics must be shareable between threads")]
// SAFETY: interrupts stay disabled, and other CPUs run only functions that do not access such a value, so there is one
// thread. If another CPU fails in such a function, it does access the values for failures and ends the run, while the
// first CPU waits for it.
unsafe impl<T> Sync for OneCpu<T> {}

/// The running step, to which every failure belongs.
static RUNNING: OneCpu<Cell<&str>> = OneCpu(Cell::new("start"));

/// The board that the image runs on.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Board for Machine {
    fn begin(&self, step: &'static str) {
        RUNNING.0.set(step);
    }

    fn print(&self, line: fmt::Arguments<'_>) {
        // The serial port takes every byte.
        let printed = Serial.write_fmt(line);
        debug_assert!(printed.is_ok());
        machine::put(b'\n');
    }
}

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // A verdict is one line, even if an assertion's message has several.
        s.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }).for_each(machine::put);
        Ok(())
    }
}

/// Runs the image; the board calls it once the machine can run Rust.
extern "C" fn start() -> ! {
    machine::catch_exceptions();
    Machine.begin("privileged");
    match machine::cache() {
        Ok(cache) => program(cache),
        Err(why) => fail(format_args!("{why}")),
    }
    done()
}

/// Ends the run with a failure of the running step.
fn fail(why: fmt::Arguments<'_>) -> ! {
    Machine.print(format_args!("failed {}: {why}", RUNNING.0.get()));
    machine::power_off()
}

/// Resets the machine, which starts the image again.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub fn reset() -> ! {
    machine::reset()
}

/// Stops this CPU for good.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub fn halt() -> ! {
    machine::halt()
}

/// Ends a successful run.
pub fn done() -> ! {
    Machine.print(format_args!("done"));
    machine::power_off()
}

/// Ends the run with a panic as the failure of the running step.
pub fn panicked(panic: &PanicInfo<'_>) -> ! {
    match panic.location() {
        Some(place) => fail(format_args!("{} ({place})", panic.message())),
        None => fail(format_args!("{}", panic.message())),
    }
}
