//! From the entry to the power-off, with what is the same on every board and in every image.
//!
//! The board's assembly comes first: it makes a stack, lets vector registers be used, maps memory one
//! to one and cacheable where that is needed, and calls `start`. There is one CPU, and no interrupt is ever enabled.
//!
//! An image is a binary with a function `program` and a panic handler that ends in [`panicked`]. Its
//! run is in order if the last line is `done` and the machine was powered off by [`done`]; an
//! exception and a panic are told as `failed STEP: why`.

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "registers, devices and instructions of the machine")]
mod aarch64;
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

#[expect(unsafe_code, reason = "nobody checks that the binary has it")]
unsafe extern "Rust" {
    /// What the image is for, in the binary: with the machine for itself and the handle for its caches.
    /// When it returns, the run has come to its end.
    safe fn program(cache: Cache);
}

/// What only this one CPU, which nothing interrupts, can reach.
#[derive(Debug)]
pub struct OneCpu<T>(pub T);

#[expect(unsafe_code, reason = "statics must be shareable between threads")]
// SAFETY: no second CPU is started, and interrupts stay disabled, so there is one thread.
unsafe impl<T> Sync for OneCpu<T> {}

/// The step that is running: whatever goes wrong is its failure.
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
        // A verdict is one line, whatever an assertion has to say.
        s.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }).for_each(machine::put);
        Ok(())
    }
}

/// What the board calls when it has made a machine to run Rust on.
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

/// Ends the run, which went as it should.
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
