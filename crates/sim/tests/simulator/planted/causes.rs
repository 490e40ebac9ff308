//! Causes that look alike: a note that an operation begins is not mistaken for an acknowledgement.

use cachemaint::medium::Medium;
use cachemaint_sim::{
    Cause, Failure, Histories, Life, Notes, SimMedium, Simulation, Structure, Violation,
};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{EACH, Source};

const SOURCE: Source = Source { file: file!(), text: include_str!("causes.rs") };

/// Words in lines of their own.
const A: u64 = 0;
const B: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Begun(u64),
    Done(u64),
}
use Note::{Begun, Done};

#[track_caller]
fn set(medium: &SimMedium, at: u64, word: u64) {
    medium.store(at, word, Relaxed);
    medium.persist(at..at + 8).unwrap();
}

/// Returns the failure under each model.
#[expect(clippy::expect_used, reason = "an assertion")]
fn failures(
    workload: impl Fn(&SimMedium, &Notes<'_, Note>),
    recovery: impl Fn(&SimMedium, &[Note]) -> Result<(), Violation>,
) -> Vec<Failure> {
    let explore = |model| Simulation::new(model, 192).zeros().explore(&workload, &recovery);
    EACH.map(|model| *explore(model).failure.expect("a failure")).into()
}

/// Returns the number of the last acknowledged operation, and of the last that has begun.
fn known(notes: &[Note]) -> (u64, u64) {
    notes.iter().fold((0, 0), |(done, begun), note| match note {
        Begun(number) => (done, *number),
        Done(number) => (*number, begun),
    })
}

/// Checks that one word has the last number that is acknowledged or begun.
fn is_known(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    let (found, (done, begun)) = (medium.load(A, Relaxed), known(notes));
    if (done..=begun).contains(&found) { Ok(()) } else { Err(Violation::lost(format!("{found}"))) }
}

/// The number is replaced in two steps, and is missing between them.
#[test]
fn a_cut_within_an_operation_is_not_an_early_acknowledgement() {
    let workload = |medium: &SimMedium, notes: &Notes<'_, Note>| {
        for number in 1..=2 {
            notes.add(Begun(number));
            set(medium, A, 0);
            set(medium, A, number);
            notes.add(Done(number));
        }
    };
    for failure in failures(workload, is_known) {
        assert!(matches!(failure.cause, Some(Cause::Unacknowledged { .. })), "{failure}");
    }
}

/// The index at B is published before the number at A is there.
#[test]
fn two_structures_that_publish_in_the_wrong_order_are_named_by_both_stores() {
    let workload = |medium: &SimMedium, notes: &Notes<'_, Note>| {
        for number in 1..=2 {
            notes.add(Begun(number));
            set(medium, B, number);
            set(medium, A, number);
            notes.add(Done(number));
        }
    };
    let recovery = |medium: &SimMedium, notes: &[Note]| {
        is_known(medium, notes)?;
        let (index, number) = (medium.load(B, Relaxed), medium.load(A, Relaxed));
        if index == number { Ok(()) } else { Err(Violation::lost(format!("{index}"))) }
    };
    // The index alone is wrong, and so is the number alone: neither order helps.
    for failure in failures(workload, recovery) {
        assert!(matches!(failure.cause, Some(Cause::Unacknowledged { .. })), "{failure}");
    }
    let recovery = |medium: &SimMedium, notes: &[Note]| {
        is_known(medium, notes)?;
        let (index, number) = (medium.load(B, Relaxed), medium.load(A, Relaxed));
        if index <= number { Ok(()) } else { Err(Violation::lost(format!("{index}"))) }
    };
    for failure in failures(workload, recovery) {
        let Some(Cause::Unordered { kept, missing }) = &failure.cause else { panic!("{failure}") };
        assert!(kept.starts_with("store at ") && missing.starts_with("store at "), "{failure}");
        assert_ne!(kept.split(" (").next(), missing.split(" (").next());
    }
}

/// The number is acknowledged before it is made.
#[test]
fn a_note_before_the_store_is_an_early_acknowledgement() {
    let workload = |medium: &SimMedium, notes: &Notes<'_, Note>| {
        for number in 1..=2 {
            notes.add(Begun(number));
            notes.add(Done(number));
            set(medium, A, number);
        }
    };
    for failure in failures(workload, is_known) {
        assert!(matches!(failure.cause, Some(Cause::Acknowledged { .. })), "{failure}");
    }
}

/// A second thread shows the number to the outside world, before the first one has persisted it.
#[test]
fn a_reader_of_what_is_not_persistent_is_named() {
    let workload = |medium: &SimMedium, notes: &Notes<'_, Note>| {
        let writes = || {
            notes.add(Begun(1));
            medium.store(A, 1, Release);
            medium.persist(A..A + 8).unwrap();
        };
        let reads = || {
            if medium.load(A, Acquire) == 1 {
                notes.add(Done(1));
            }
        };
        medium.run_threads(&[&writes, &reads]);
    };
    let place = format!("load at {}", SOURCE.at("if medium.load(A, Acquire) == 1 {"));
    for failure in failures(workload, is_known) {
        let Some(Cause::Read { reader, .. }) = &failure.cause else { panic!("{failure}") };
        assert!(reader.starts_with(&place), "{failure}");
    }
}

/// A counter that trusts a number which a killed process may have left in the caches.
struct Counter;

impl Structure for Counter {
    type Operation = ();
    type Model = (u64, u64);

    fn operations(&self, _model: &(u64, u64)) -> Vec<()> {
        vec![()]
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let mut number = life.medium.load(A, Relaxed);
        let (done, begun) = life.model();
        if !(done..=begun).contains(&number) {
            return Err(Violation::lost(format!("{number}")));
        }
        life.note(|model| *model = (number, number));
        while life.next().is_some() {
            number += 1;
            life.note(|model| model.1 = number);
            set(life.medium, A, number);
            life.note(|model| model.0 = number);
        }
        Ok(())
    }
}

#[test]
fn a_life_that_reads_what_a_killed_process_left_is_named() {
    for model in EACH {
        let found = Histories::new(Simulation::new(model, 64).zeros()).search(&Counter);
        let failure = found.failure.expect("a failure");
        assert!(matches!(failure.cause, Some(Cause::Read { .. })), "{failure}");
    }
}
