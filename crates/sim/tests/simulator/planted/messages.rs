//! Whole messages, as a person reads them: written by hand from the program and the model's rules.
//!
//! Lines and columns of the source are replaced by letters. Each has two digits as long as the operations
//! stay within the first hundred lines of this file.

use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::{Failure, Model, Notes, SimMedium, Simulation, Violation, ViolationKind};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// Two words in lines of their own.
const A: u64 = 0;
const B: u64 = 64;

/// Writes a record at A and then refers to it at B, without a fence in between.
fn append(medium: &SimMedium, _notes: &Notes<'_, ()>) {
    medium.write(A, &[1; 24]);
    medium.issue_writeback(A..A + 24).unwrap();
    medium.store(B, 1, Relaxed);
    medium.persist(B..B + 8).unwrap();
}

/// Checks that the record is whole if something refers to it.
fn is_whole(medium: &SimMedium, _notes: &[()]) -> Result<(), Violation> {
    if medium.load(B, Relaxed) == 0 {
        return Ok(());
    }
    let mut record = [0; 24];
    medium.read(A, &mut record)?;
    Violation::unless(record == [1; 24], || "the record is not whole".into())
}

/// Says at A that B is being changed, and changes it.
fn begin(medium: &SimMedium, _notes: &Notes<'_, ()>) {
    medium.store(A, 1, Relaxed);
    medium.persist(A..A + 8).unwrap();
    medium.store(B, 7, Relaxed);
}

/// Takes the change back, but does not persist that before it forgets it.
fn undo(medium: &SimMedium, _notes: &[()]) -> Result<(), Violation> {
    if medium.load(A, Relaxed) == 1 {
        medium.store(B, 0, Relaxed);
        medium.store(A, 0, Relaxed);
        medium.persist(A..A + 8)?;
    }
    let left = medium.load(B, Relaxed);
    Violation::unless(left == 0, || format!("{left} is at B"))
}

/// Makes many operations, and then one that may not be.
fn fail(medium: &SimMedium, _notes: &Notes<'_, ()>) {
    (0..50).for_each(|value| medium.store(A, value, Relaxed));
    medium.load(1, Relaxed);
}

/// Stores at A, and then so many times at B that not all stores are shown.
fn store_much(medium: &SimMedium, _notes: &Notes<'_, ()>) {
    medium.store(A, 1, Relaxed);
    (1..=50).for_each(|value| medium.store(B, value, Relaxed));
}

/// Returns the message of the failure that is found on x86.
fn message(
    workload: fn(&SimMedium, &Notes<'_, ()>),
    recovery: fn(&SimMedium, &[()]) -> Result<(), Violation>,
) -> String {
    let found = Simulation::new(Model::X86, 128).zeros().explore(workload, recovery);
    let message = found.failure.map(|failure| failure.to_string()).unwrap_or_default();
    without_lines(message.trim_end())
}

/// Returns the text with letters for the line and column of each place in this file.
fn without_lines(text: &str) -> String {
    let mut parts = text.split_inclusive(concat!(file!(), ":"));
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let is_digit = |letter: &char| letter.is_ascii_digit() || *letter == ':';
        let rest = part.trim_start_matches(|letter| is_digit(&letter));
        assert_eq!(part.len() - rest.len(), "LL:CC".len(), "two digits each: {part}");
        text + "LL:CC" + rest
    })
}

#[test]
fn a_missing_fence() {
    // A crash before the fence of B: of A, the word that recovery reads last is lost alone.
    let expected = "\
recovery broke an invariant: the record is not whole
after a crash, under the model x86

the workload:
    1  write 0x0..0x18             TORN: 2 of 3 words kept  crates/sim/tests/simulator/planted/messages.rs:LL:CC
    2  write-back 0x0..0x18                                 crates/sim/tests/simulator/planted/messages.rs:LL:CC
    3  store 0x40                  kept by chance           crates/sim/tests/simulator/planted/messages.rs:LL:CC

cause: two stores without an order
  kept     store at crates/sim/tests/simulator/planted/messages.rs:LL:CC (event 3)
  missing  write at crates/sim/tests/simulator/planted/messages.rs:LL:CC (event 1)";
    assert_eq!(message(append, is_whole), expected);
}

#[test]
fn a_crash_of_recovery() {
    // The second crash comes before the fence of recovery: A is there. B is not, and has the workload's value.
    let expected = "\
recovery broke an invariant: 7 is at B
after a crash and one during recovery, under the model x86

the workload:
    1  store 0x0                   persistent               crates/sim/tests/simulator/planted/messages.rs:LL:CC
    2  write-back 0x0..0x8                                  crates/sim/tests/simulator/planted/messages.rs:LL:CC
    3  fence                                                crates/sim/tests/simulator/planted/messages.rs:LL:CC
    4  store 0x40                  kept by chance           crates/sim/tests/simulator/planted/messages.rs:LL:CC

recovery:
    5  store 0x40                  LOST                     crates/sim/tests/simulator/planted/messages.rs:LL:CC
    6  store 0x0                   kept by chance           crates/sim/tests/simulator/planted/messages.rs:LL:CC

cause: two stores without an order
  kept     store at crates/sim/tests/simulator/planted/messages.rs:LL:CC (event 6)
  missing  store at crates/sim/tests/simulator/planted/messages.rs:LL:CC (event 5)";
    assert_eq!(message(begin, undo), expected);
}

#[test]
fn a_workload_that_panics() {
    // Without a crash the message says nothing about the memory. Of 50 events the last 40 are shown.
    let message = message(fail, |_medium, _notes| Ok(()));
    let place = "crates/sim/tests/simulator/planted/messages.rs:LL:CC";
    let store = |event| format!("   {event}  {:26}  {:23}  {place}", "store 0x0", "");
    let stores = (11..=50).map(store).collect::<Vec<_>>().join("\n");
    let expected = format!(
        "\
the workload failed: offset 1 is not a multiple of 8 (crates/sim/tests/simulator/planted/messages.rs:LL:CC)
without a crash, under the model x86

the workload:
  ... 10 more
{stores}"
    );
    assert_eq!(message, expected);
}

#[test]
fn a_long_history() {
    // Of 51 events the last 40 are shown, and before them the lost one.
    let not_last = |medium: &SimMedium, _notes: &[()]| {
        let is_last = medium.load(B, Relaxed) == 50 && medium.load(A, Relaxed) == 0;
        Violation::unless(!is_last, || "A is lost".into())
    };
    let expected = "\
    1  store 0x0                   LOST                     crates/sim/tests/simulator/planted/messages.rs:LL:CC
  ... 10 more
   12  store 0x40                  kept by chance           crates/sim/tests/simulator/planted/messages.rs:LL:CC
";
    let message = message(store_much, not_last);
    assert!(message.contains(expected), "{message}");
}

/// Returns the failure that is found on x86.
#[expect(clippy::expect_used, reason = "an assertion")]
fn failure(recovery: impl Fn(&SimMedium) -> Result<(), Violation>) -> Failure {
    let found = Simulation::new(Model::X86, 192)
        .zeros()
        .explore(append, |medium, _notes: &[()]| recovery(medium));
    *found.failure.expect("a failure")
}

#[test]
fn no_cause_is_named_if_recovery_alone_is_wrong() {
    let always = failure(|_medium| Err(Violation::broken("nothing is right")));
    assert_eq!(always.cause, None, "{always}");
    // The next recovery adds to the words that one recovery leaves.
    let twice = failure(|medium| {
        let times = medium.load(128, Relaxed) + 1;
        medium.store(128, times, Relaxed);
        medium.persist(128..136)?;
        Violation::unless(times == 1, || "there was a recovery before".into())
    });
    assert_eq!((twice.crashes(), &twice.cause), (2, &None), "{twice}");
}

#[test]
fn a_failure_with_one_crash_goes_before_one_with_two() {
    // Recovery stores before it looks, so that a crash of it is met before the state after the first one is seen.
    let failure = failure(|medium| {
        medium.store(128, 1, Relaxed);
        medium.persist(128..136)?;
        is_whole(medium, &[])
    });
    assert_eq!(failure.crashes(), 1, "{failure}");
}

#[test]
fn recovery_that_is_not_deterministic() {
    // Every other run loads B first: where the first found one value of A or none, it finds one of 51.
    let runs = AtomicU64::new(0);
    let found =
        Simulation::new(Model::X86, 128).zeros().explore(store_much, |medium, _notes: &[()]| {
            let first = if runs.fetch_add(1, Relaxed).is_multiple_of(2) { A } else { B };
            medium.load(first, Relaxed);
            Ok(())
        });
    let failure = found.failure.as_deref().expect("another number of values");
    assert_eq!(failure.violation.kind, ViolationKind::Differs);
}
