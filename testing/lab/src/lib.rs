//! Tests of the library on CPUs and whole machines other than this one. `testing/lab/README.md` explains them, and says what no
//! emulator can prove.
//!
//! A test is a lane. What it needs is found, fetched or built under a lock, since lanes share it. Then it runs
//! beside others, with a log of its own. If this machine lacks what a lane needs, the lane is ignored, and the reason is one
//! of [`xtask::absent::Lacks`].

extern crate alloc;

mod board;
mod c_programs;
mod cpus;
mod cross;
mod defects;
mod dma;
mod expectation;
mod file_systems;
mod freestanding;
mod kernel_module;
mod lab;
mod lane;
mod last_events;
mod machines;
mod own_programs;
mod programs;
mod targets;

use std::io::{self, Write as _};
use std::process::ExitCode;

use libtest_mimic::Arguments;

/// Runs the lanes that the arguments of the test program select.
#[must_use]
pub fn main() -> ExitCode {
    match lane::trials() {
        Ok(trials) => libtest_mimic::run(&Arguments::from_args(), trials).exit_code(),
        Err(why) => {
            drop(writeln!(io::stderr(), "{why:#}"));
            ExitCode::FAILURE
        }
    }
}
