//! Recoveries and destructors that do not end.

use cachemaint::medium::Medium;
use cachemaint_sim::{
    Histories, Life, Model, Notes, SimMedium, Simulation, Structure, Violation, ViolationKind, sync,
};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::panic::catch_unwind;

/// A word of the medium as a lock, which its holder frees in a destructor.
struct Lock<'m>(&'m SimMedium, u64);

impl<'m> Lock<'m> {
    fn take(medium: &'m SimMedium, at: u64) -> Self {
        while medium.load(at, Acquire) != 0 {
            medium.pause();
        }
        medium.store(at, 1, Relaxed);
        Self(medium, at)
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.0.store(self.1, 0, Release);
    }
}

/// A crash leaves a lock that is held, and recovery waits for it while holding another one: after the panic at the
/// limit, a destructor stores.
#[test]
fn an_endless_recovery_with_a_destructor_is_a_failure() {
    let outcome = Simulation::new(Model::X86, 128).zeros().operations(100).explore(
        |medium, _notes: &Notes<'_, ()>| drop(Lock::take(medium, 64)),
        |medium, _notes| {
            let _locks = [0, 64].map(|at| Lock::take(medium, at));
            Ok(())
        },
    );
    let violation = outcome.failure.expect("an endless loop").violation;
    assert_eq!(violation.kind, ViolationKind::Panicked);
    assert!(violation.text.contains("more operations than the simulation allows"), "{violation}");
}

/// Spins for a word of ordinary memory that never changes.
fn spin() {
    let is_taken = sync::AtomicBool::new(true);
    while is_taken.swap(true, Acquire) {
        sync::spin_loop();
    }
}

struct Spinning;

impl Structure for Spinning {
    type Operation = ();
    type Model = ();

    fn operations(&self, _model: &()) -> Vec<()> {
        Vec::new()
    }

    fn live(&self, _life: &Life<'_, Self>) -> Result<(), Violation> {
        spin();
        Ok(())
    }
}

#[test]
fn a_workload_a_recovery_and_a_life_that_spin_forever_are_failures() {
    let simulation = Simulation::new(Model::X86, 64).operations(100);
    let workload = simulation
        .explore(|_medium, _notes: &Notes<'_, ()>| spin(), |_medium, _notes| Ok(()))
        .failure;
    let recovery = simulation
        .explore(
            |_medium, _notes: &Notes<'_, ()>| {},
            |_medium, _notes| {
                spin();
                Ok(())
            },
        )
        .failure;
    let life = Histories::new(simulation).search(&Spinning).failure;
    for failure in [workload, recovery, life] {
        let text = failure.expect("an endless loop").violation.text;
        assert!(text.contains("does this end?"), "{text}");
    }
}

/// The limit holds for the preparation alone.
#[test]
fn a_preparation_that_spins_forever_panics() {
    let prepare = || Simulation::new(Model::X86, 64).operations(100).prepared(|_medium| spin());
    let text = catch_unwind(prepare).unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("does this end?"), "{text}");
    (0..1_000).for_each(|_| sync::spin_loop());
}

/// Takes a lock in ordinary memory.
fn take(lock: &sync::AtomicBool) -> Freed<'_> {
    while lock.swap(true, Acquire) {
        sync::spin_loop();
    }
    Freed(lock)
}

struct Freed<'a>(&'a sync::AtomicBool);

impl Drop for Freed<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

/// Takes a lock when it is dropped.
struct Takes<'a>(&'a sync::AtomicBool);

impl Drop for Takes<'_> {
    fn drop(&mut self) {
        drop(take(self.0));
    }
}

/// Asserts that a workload of threads fails with this text.
#[track_caller]
fn assert_fails(with: &str, operations: u64, workload: impl Fn(&SimMedium)) {
    let outcome = Simulation::new(Model::X86, 256)
        .zeros()
        .operations(operations)
        .explore(|medium, _notes: &Notes<'_, ()>| workload(medium), |_medium, _notes| Ok(()));
    let text = outcome.failure.map(|failure| failure.violation.text);
    assert!(text.as_ref().is_some_and(|text| text.contains(with)), "{text:?}");
}

/// Each attempt of the holder to take the lock of the thread that fails is a change.
#[test]
fn a_destructor_waits_for_a_lock_of_a_thread_that_waits_for_a_lock_of_its_own() {
    assert_fails("the defect", 1_000, |medium| {
        let [first, second, is_held] = [(); 3].map(|()| sync::AtomicBool::new(false));
        let holds = || {
            let _freed = take(&first);
            is_held.store(true, Relaxed);
            let _freed = take(&second);
            is_held.store(false, Relaxed);
        };
        let fails = || {
            let freed = take(&second);
            let _takes = Takes(&first);
            assert!(!is_held.load(Relaxed), "the defect");
            drop(freed);
        };
        medium.run_threads(&[&holds, &fails]);
    });
}

/// The thread that notices the standstill waits in a destructor for a lock of the other one.
#[test]
fn a_destructor_waits_at_a_standstill_for_a_lock_of_a_thread_that_waits() {
    assert_fails("every thread that has not ended is waiting", 1_000, |medium| {
        let [lock, is_second] = [(); 2].map(|()| sync::AtomicBool::new(false));
        let wait = || loop {
            medium.pause();
        };
        let holds = || {
            let _freed = take(&lock);
            wait();
        };
        let notices = || {
            let _takes = Takes(&lock);
            is_second.store(true, Relaxed);
            wait();
        };
        medium.run_threads(&[&holds, &notices]);
    });
}

/// Each recovery stores, so that each can be cut again.
#[test]
fn any_number_of_crashes_in_recovery_ends_at_the_limit_of_recoveries() {
    let simulation = Simulation::new(Model::X86, 64).zeros();
    let outcome = simulation.crashes_in_recovery(u32::MAX).at_most(5_000).explore(
        |medium, _notes: &Notes<'_, ()>| medium.store(0, 1, Relaxed),
        |medium, _notes| {
            medium.store(0, medium.load(0, Relaxed) + 1, Relaxed);
            medium.persist(0..8)?;
            Ok(())
        },
    );
    assert_eq!(outcome.recoveries, 5_000);
    assert!(!outcome.is_exhaustive(), "{outcome}");
}
