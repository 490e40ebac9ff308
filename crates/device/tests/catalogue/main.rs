//! Public driver bugs, rebuilt from their reports: each is detected, and its fix passes.
//!
//! `README.md` in this folder has the table. Each driver below is one piece of code, as reported and as fixed. The fix passes
//! [`explore`], so each of its operations is needed.

#![cfg(not(miri))]
#![expect(clippy::expect_used, reason = "a test fails by a panic")]
#![expect(unsafe_code, reason = "drivers maintain ranges")]

mod model;
mod receive;
mod send;
mod share;

use cachemaint_device::{Bus, Failure, Machine, Seed, explore, try_explore};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

const SEEDS: std::ops::Range<u64> = 0..100;

const RELEASE: &str = "=> `release` before";
const RELEASE_TO_WRITER: &str = "=> `release_to_writer` before";
const ACQUIRE: &str = "=> `acquire`";
const WRITTEN_BACK_FIRST: &str = "=> the dirty bytes had to be written back first";
const LAYOUT: &str = "=> stored bytes and those of the other side share a line";

/// Runs a driver as reported, which must fail with the remedy, and as fixed.
#[track_caller]
fn compare(remedy: &str, driver: impl Fn(Seed, bool)) {
    let failure = try_explore(SEEDS, |seed| driver(seed, false)).expect_err("not noticed");
    assert!(matches!(failure, Failure::Wrong { .. }), "{failure}");
    assert!(failure.to_string().contains(remedy), "{failure}");
    explore(SEEDS, |seed| driver(seed, true));
}

/// A device's registers: the address of a job, and a flag that it is done.
#[derive(Default)]
struct Registers {
    job: AtomicU64,
    is_done: AtomicBool,
}

impl Registers {
    /// Attaches a device that does each job in one step. Jobs are numbered from 1.
    fn attach<'d>(
        &'d self,
        machine: &Machine<'d>,
        mut work: impl FnMut(&Bus<'_>, u64, u8) + Send + 'd,
    ) {
        let mut number = 0;
        machine.attach(move |bus| {
            let job = self.job.swap(0, SeqCst);
            if job != 0 {
                number += 1;
                work(bus, job, number);
                self.is_done.store(true, SeqCst);
            }
        });
    }

    fn start<T>(&self, job: *mut T) {
        self.job.store(job.expose_provenance() as u64, SeqCst);
    }

    /// Starts a job, and waits for its end.
    fn run<T>(&self, machine: &Machine<'_>, job: *mut T) {
        self.start(job);
        machine.wait_until(|| self.is_done.swap(false, SeqCst));
    }
}
