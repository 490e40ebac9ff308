//! The run from the entry to the power-off, with the parts that every board and every image share.
//!
//! The board's assembly comes first: it makes a stack, lets vector registers be used, maps memory one
//! to one and cacheable where that is needed, and calls `start`. No interrupt is ever enabled. There is one CPU, but for
//! the PC and arm64, whose other CPUs run the functions that they are given and nothing else.
//!
//! An image is a binary with a function `program` and a panic handler that ends in [`panicked`]. Its run is in order if
//! the last line is `done` and the machine was powered off by [`done`]. An exception and a panic are printed as `failed
//! STEP: why`.

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "registers, devices and instructions of the machine")]
mod aarch64;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "one CPU hands a function to another")]
pub mod cpus;
#[cfg(target_arch = "riscv64")]
#[expect(unsafe_code, reason = "devices and instructions of the machine")]
mod riscv64;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "registers, devices and instructions of the machine")]
mod x86_64;

use core::cell::Cell;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use cachemaint::Cache;

use crate::Board;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "riscv64")]
use riscv64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

#[expect(unsafe_code, reason = "the linker alone checks that the binary has it")]
unsafe extern "Rust" {
    /// The purpose of the image, in the binary: it gets the machine for itself and the handle for its caches. Its
    /// return ends the run.
    safe fn program(cache: Cache);
}

/// A value that only the first CPU, which nothing interrupts, reaches.
#[derive(Debug)]
pub struct OneCpu<T>(pub T);

#[expect(unsafe_code, reason = "statics must be shareable between threads")]
// SAFETY: interrupts stay disabled, and another CPU runs only functions that access no such value, so there is one thread.
// If another CPU fails in one, it does access the values of a failure, and ends the run: the first CPU waits for it.
unsafe impl<T> Sync for OneCpu<T> {}

/// The step that is running: every failure is its failure.
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

/// Ends the run with the failure of the running step.
fn fail(why: fmt::Arguments<'_>) -> ! {
    Machine.print(format_args!("failed {}: {why}", RUNNING.0.get()));
    machine::power_off()
}

/// Resets the machine, and the image begins anew.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub fn reset() -> ! {
    machine::reset()
}

/// Stops this CPU for good.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub fn halt() -> ! {
    machine::halt()
}

/// Ends a run that is in order.
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
