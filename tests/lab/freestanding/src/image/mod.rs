//! From the entry to the power-off, with what is the same on every board.
//!
//! The board's assembly comes first: it makes a stack, maps memory one to one and cacheable, and
//! calls [`start`]. There is one CPU, and no interrupt is ever enabled.

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "registers, devices and instructions of the machine")]
mod aarch64;
mod last_words;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "registers, devices and instructions of the machine")]
mod x86_64;

use core::cell::Cell;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use cachemaint::Cache;
use cachemaint_lab_freestanding::{Board, STEPS, run, tell};

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

/// What only this one CPU, which nothing interrupts, can reach.
struct OneCpu<T>(T);

#[expect(unsafe_code, reason = "statics must be shareable between threads")]
// SAFETY: no second CPU is started, and interrupts stay disabled, so there is one thread.
unsafe impl<T> Sync for OneCpu<T> {}

/// The step that is running: whatever goes wrong is its failure.
static RUNNING: OneCpu<Cell<&str>> = OneCpu(Cell::new("start"));

struct Machine;

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
    match privileged() {
        Err(why) => fail(format_args!("{why}")),
        Ok(cache) => {
            tell(&Machine, cache);
            Machine.print(format_args!("passed privileged"));
            run(&Machine, cache, &STEPS);
            run(&Machine, cache, &machine::STEPS);
            last_words::panic_with(cache)
        }
    }
}

#[expect(unsafe_code, reason = "the library cannot know the privilege level")]
fn privileged() -> Result<Cache, cachemaint::Unsupported> {
    // SAFETY: the boards start images at EL1 and in ring 0 (1), with one CPU (2).
    unsafe { Cache::privileged() }
}

/// Ends the run with the failure of the running step.
fn fail(why: fmt::Arguments<'_>) -> ! {
    Machine.print(format_args!("failed {}: {why}", RUNNING.0.get()));
    machine::power_off()
}

/// Ends the run.
fn done() -> ! {
    Machine.print(format_args!("done"));
    machine::power_off()
}

/// Reached by the assertion of a step, or on purpose.
#[panic_handler]
fn panicked(panic: &PanicInfo<'_>) -> ! {
    last_words::keep(panic);
    match panic.location() {
        Some(place) => fail(format_args!("{} ({place})", panic.message())),
        None => fail(format_args!("{}", panic.message())),
    }
}
