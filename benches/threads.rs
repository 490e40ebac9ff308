//! Several threads in parallel, each pinned to its own core.

use crate::measure::clock::Clock;
use crate::measure::pinning::{self, PinError};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::io::{self, Write};
use std::thread;

/// The cores that threads are pinned to.
#[derive(Clone, Debug)]
pub struct Cores(Vec<usize>);

impl Cores {
    /// Returns one CPU of each core that the calling thread may use, since CPUs of one core share its caches. A pinned
    /// thread sees only its own CPU, so call this at the beginning of a benchmark.
    ///
    /// # Errors
    /// If the system does not list them.
    pub fn available() -> Result<Self, PinError> {
        pinning::available().map(|cpus| Self(pinning::one_of_each_core(&cpus)))
    }

    /// Returns true if there is a core for each of this many threads. Otherwise prints a line on standard error that
    /// they were skipped.
    ///
    /// # Errors
    /// If standard error is closed.
    pub fn are_enough_for(&self, threads: usize) -> io::Result<bool> {
        let cores = self.0.len();
        if cores < threads {
            let skipped =
                format!("skipped: {threads} threads (this process may use {cores} CPU cores)");
            writeln!(io::stderr(), "{skipped}")?;
        }
        Ok(cores >= threads)
    }

    /// Calls `work` for each of `states` on its own thread, all in parallel, and returns the nanoseconds that each
    /// took. Each thread first calls `prepare` and waits until all others have done so.
    ///
    /// The calling thread works on one state.
    ///
    /// # Panics
    /// If a thread cannot be pinned or panics, or there are fewer cores than states.
    pub fn time_at_once<S: Send>(
        &self,
        clock: Clock,
        states: &mut [Apart<S>],
        prepare: impl Fn(&mut S) + Sync,
        work: impl Fn(&mut S) + Sync,
    ) -> Vec<f64> {
        if let [state] = states {
            prepare(&mut state.0);
            return vec![clock.time(|| work(&mut state.0))];
        }
        let threads = states.len();
        assert!(self.0.len() >= threads, "fewer CPU cores than {threads} threads");
        let ready = AtomicUsize::new(0);
        let on_its_core = |core, state: &mut Apart<S>| {
            let is_ready = Counted(&ready);
            let pinned = pinning::pin(core);
            assert!(pinned.is_ok(), "{pinned:?}");
            prepare(&mut state.0);
            drop(is_ready);
            while ready.load(Ordering::Acquire) < threads {
                core::hint::spin_loop();
            }
            clock.time(|| work(&mut state.0))
        };
        thread::scope(|scope| {
            let each = self.0.iter().rev().zip(states);
            let threads: Vec<_> =
                each.map(|(core, state)| scope.spawn(|| on_its_core(*core, state))).collect();
            let times = threads.into_iter().map(|thread| match thread.join() {
                Ok(ns) => ns,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            times.collect()
        })
    }
}

/// A value that one thread changes, on lines of its own: 128 bytes, since Intel's prefetcher fetches lines in pairs
/// (248966, "Data Prefetching to L2 and LLC").
#[repr(align(128))]
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "benches make them")]
pub struct Apart<S>(pub S);

/// Counts when it is dropped, even by a panic, so that the others do not wait for it.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
