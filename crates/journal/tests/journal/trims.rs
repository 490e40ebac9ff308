//! Trims and closes on media that fail or panic at each of their calls, and power cuts after that.

use crate::group_commit::{Fault, Faulty, PLANTED};
use crate::life::{BYTES, Do, Note, judge, options, records, work};
use Do::{Append, Trim};
use cachemaint_sim::{Effort, Model, SimMedium, Simulation};
use core::panic::AssertUnwindSafe;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use std::panic::{catch_unwind, resume_unwind};

/// Two records fill a segment, and five segments are there: the last records are where the first ones were.
const LIFE: &[&[Do]] = &[
    &[Append(0), Append(1), Append(2), Append(3)],
    &[Trim(3)],
    &[Append(4), Append(5), Append(6), Append(7)],
    &[Trim(6)],
    &[Append(8), Append(9), Append(10)],
    &[Trim(11)],
    &[Append(11)],
];

/// Lives until an append fails or panics, and closes the journal. After a trim that failed, nothing else is done. Returns
/// true once the fault has occurred.
fn live(medium: &SimMedium, fault: Fault, calls: u64, tell: &dyn Fn(Note)) -> bool {
    let faulty = Faulty::new(medium, fault);
    let (journal, _) = options().open(&faulty).unwrap();
    faulty.fault_after(calls);
    for part in LIFE {
        match unless_planted(|| work(&journal, part, tell)) {
            Some(Ok(())) => {}
            Some(Err(_)) => {
                assert!(faulty.is_over(), "{part:?}");
                // It stays failed.
                journal.append(b"later").unwrap_err();
                journal.trim(journal.end()).unwrap_err();
                journal.close().unwrap_err();
                return true;
            }
            // A trim that panicked is done or not.
            None if matches!(part, [Trim(_)]) => {}
            None => break,
        }
    }
    let _closed = unless_planted(|| journal.close());
    faulty.is_over()
}

/// Returns the outcome, or `None` after a panic of the faulty medium.
fn unless_planted<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(panic) if panic.downcast_ref() == Some(&PLANTED) => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Returns the notes if the trim that panicked was done.
fn with_panicked_trim(notes: &[Note]) -> Vec<Note> {
    let mut done = notes.to_vec();
    let is_panicked = |pair: &[Note]| match *pair {
        [Note::Trimming(_), Note::Trimmed(_)] => None,
        [Note::Trimming(number), _] => Some(number),
        _ => None,
    };
    let found = notes.windows(2).enumerate().find_map(|(at, pair)| Some((at, is_panicked(pair)?)));
    if let Some((at, number)) = found {
        done.insert(at + 1, Note::Trimmed(number));
    }
    done
}

fn assert_records_stay(fault: Fault) {
    for calls in 0.. {
        let is_over = AtomicBool::new(false);
        let simulation = Simulation::new(Model::X86, BYTES)
            .crashes_in_recovery(0)
            .effort(Effort::Deviations(1))
            .prepared(|medium| drop(options().create_new(medium).unwrap()));
        let exploration = simulation.explore(
            |medium, notes| {
                notes.add(Note::Created);
                let tell = |note| notes.add(note);
                if live(medium, fault, calls, &tell) {
                    is_over.store(true, Relaxed);
                }
            },
            |medium, notes: &[Note]| {
                let (journal, _) = options().open(medium)?;
                let found = records(&journal)?;
                judge(&found, notes).or_else(|_| judge(&found, &with_panicked_trim(notes)))
            },
        );
        exploration.assert_safe();
        if !is_over.into_inner() {
            break;
        }
    }
}

#[test]
fn a_medium_that_fails_at_any_call_of_a_trim_or_close_loses_no_record() {
    assert_records_stay(Fault::Fails);
}

#[test]
fn a_medium_that_panics_at_any_call_of_a_trim_or_close_loses_no_record() {
    assert_records_stay(Fault::Panics);
}
