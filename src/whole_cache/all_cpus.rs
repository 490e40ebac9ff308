//! Running a function on every CPU by the caller's means, and checking that it ran on all.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The number of times that an operation was executed is not the number of CPUs, so nothing is promised of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotOnAllCpus {
    /// The number of CPUs, as the caller states it.
    pub cpus: usize,
    /// The number of times that the operation was executed.
    pub ran: usize,
}

impl core::fmt::Display for NotOnAllCpus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { cpus, ran } = self;
        write!(
            f,
            "an operation on whole caches was executed {ran} times for {cpus} CPUs: lines may be left; keep \
             CPUs from coming and going, and run it once on each of them",
        )
    }
}

impl core::error::Error for NotOnAllCpus {}

/// Has `on_all_cpus` call `operation` on every CPU, and counts.
pub(super) fn run(
    cpus: NonZeroUsize,
    on_all_cpus: impl FnOnce(&(dyn Fn() + Sync)),
    operation: impl Fn() + Sync,
) -> Result<(), NotOnAllCpus> {
    // A caller that waits for the calls has synchronised with them, so the count needs no order of its own. A caller
    // that does not wait reads a smaller one and gets an error.
    let ran = AtomicUsize::new(0);
    on_all_cpus(&|| {
        operation();
        ran.fetch_add(1, Ordering::Relaxed);
    });
    let (cpus, ran) = (cpus.get(), ran.load(Ordering::Relaxed));
    if ran == cpus { Ok(()) } else { Err(NotOnAllCpus { cpus, ran }) }
}

#[cfg(test)]
mod tests {
    use super::{NotOnAllCpus, run};
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::num::NonZeroUsize;
    use core::panic::AssertUnwindSafe;
    use std::panic::catch_unwind;
    use std::sync::Mutex;

    /// CPUs of a simulated machine: a thread each, whose operation empties its cache.
    struct Machine {
        full: Vec<Mutex<bool>>,
    }

    std::thread_local! {
        static CPU: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
    }

    impl Machine {
        fn with(cpus: usize) -> Self {
            Self { full: (0..cpus).map(|_| Mutex::new(true)).collect() }
        }

        fn count(&self) -> NonZeroUsize {
            NonZeroUsize::new(self.full.len()).unwrap()
        }

        /// Empties the cache of this CPU, as every CPU does: each knows only itself.
        fn empty_own_cache(&self) {
            *self.full[CPU.get()].lock().unwrap() = false;
        }

        fn full(&self) -> Vec<usize> {
            let is_full = |cpu: &usize| *self.full[*cpu].lock().unwrap();
            (0..self.full.len()).filter(is_full).collect()
        }

        fn empty(&self, cpus: &[usize]) -> Result<(), NotOnAllCpus> {
            run(self.count(), |function| call(cpus, function), || self.empty_own_cache())
        }
    }

    /// Calls a function on these CPUs, as the kernel's interprocessor call does: returns when all have returned.
    fn call(cpus: &[usize], function: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| {
            for cpu in cpus.iter().copied() {
                scope.spawn(move || {
                    CPU.set(cpu);
                    function();
                });
            }
        });
    }

    #[test]
    fn all_caches_are_empty_if_it_ran_on_all_cpus() {
        for cpus in [1, 2, 5] {
            let machine = Machine::with(cpus);
            let all: Vec<usize> = (0..cpus).collect();
            assert_eq!(machine.empty(&all), Ok(()));
            assert!(machine.full().is_empty());
        }
    }

    #[test]
    fn a_cpu_that_was_left_out_is_an_error_that_says_how_many() {
        let machine = Machine::with(4);
        let error = machine.empty(&[0, 1, 3]).unwrap_err();
        assert_eq!(error, NotOnAllCpus { cpus: 4, ran: 3 });
        assert_eq!(machine.full(), [2]);
        assert!(error.to_string().contains("3 times for 4 CPUs"), "{error}");
        // A kernel whose call does nothing (no other CPU is up, or it failed).
        let machine = Machine::with(1);
        assert_eq!(machine.empty(&[]), Err(NotOnAllCpus { cpus: 1, ran: 0 }));
        // Again, with all, is right.
        assert_eq!(machine.empty(&[0]), Ok(()));
    }

    /// One CPU too many means that the caller does not know its CPUs, or that one ran it twice in the
    /// place of another.
    #[test]
    fn a_call_too_many_is_an_error() {
        let machine = Machine::with(2);
        assert_eq!(machine.empty(&[0, 0, 1]), Err(NotOnAllCpus { cpus: 2, ran: 3 }));
    }

    /// Nothing may take the unwinding for a success, and no call may outlive the frame.
    #[test]
    fn a_panic_of_the_caller_goes_through() {
        let machine = Machine::with(2);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            run(
                machine.count(),
                |function| {
                    call(&[0], function);
                    panic!("no interrupt was acknowledged");
                },
                || machine.empty_own_cache(),
            )
        }));
        assert!(unwound.is_err());
        assert_eq!(machine.full(), [1]);
    }
}
