//! Every state that a crash can leave, and a check that no write-back and no fence can be omitted.

use crate::claims::reason;
use crate::creation::created_again;
use crate::faulty::{Faulty, panic};
use crate::life::{
    BYTES, Do, LOG, Note, SEGMENT, WIDE, apply, expected, judge, options, payload, records, work,
};
use Do::{Append, Group, Trim};
use cachemaint::medium::Medium as _;
use cachemaint_journal::{Error, ErrorKind, FormatError, Opened, Reader};
use cachemaint_sim::mutation::{Mutation, Setting, Weakening};
use cachemaint_sim::waste::Kind;
use cachemaint_sim::{Effort, Exploration, Killed, Model, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

pub(crate) const MODELS: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

/// Opens the journal for appending, and judges it.
fn recovery(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    let opened = options().open(medium);
    let is_missing =
        matches!(reason(&opened), Some(ErrorKind::Format(FormatError::Foreign { .. })));
    if is_missing && !expected(notes).is_created {
        return Ok(());
    }
    let (journal, Opened { recovered, .. }) = opened?;
    let records = records(&journal)?;
    let is_counted = recovered.records == records.len() as u64;
    Violation::unless(is_counted, || format!("{recovered:?} of {}", records.len()))?;
    // Before the first note, the journal may be one of an earlier life.
    if expected(notes).is_created { judge(&records, notes) } else { Ok(()) }
}

/// Returns a simulation whose medium has a journal with these records. All roots have been written.
pub(crate) fn with(simulation: &Simulation, life: &[Do]) -> Simulation {
    simulation.clone().prepared(|medium| {
        drop(options().create_new(medium).unwrap());
        let (journal, _) = options().open(medium).unwrap();
        work(&journal, life, |_| ()).unwrap();
    })
}

/// Opens a journal that has these records, and does the operations of a life.
pub(crate) fn explore(simulation: &Simulation, before: &[Do], life: &[Do]) -> Exploration {
    with(simulation, before).explore(
        |medium, notes| {
            notes.add(Note::Read(0..before.len() as u64));
            let (journal, _) = options().open(medium).unwrap();
            work(&journal, life, |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

fn creation(simulation: &Simulation) -> Exploration {
    simulation.explore(
        |medium, notes| {
            let (journal, _) = options().create_new(medium).unwrap();
            notes.add(Note::Created);
            apply(&journal, Append(0), |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

/// Two records fill a segment, the third goes into the next one.
const SHORT: [Do; 3] = [Append(0), Append(1), Append(2)];
/// A group that begins a segment, and records that are written piece by piece, the second one in the next segment.
const PIECES: [Do; 3] = [Append(0), Group(1, 2), Append(3)];
/// A group within a segment.
const GROUPS: [Do; 2] = [Group(0, 2), Append(2)];
/// Almost one lap around the ring.
pub(crate) const ROUND: [Do; 6] =
    [Append(0), Append(1), Append(2), Append(3), Append(4), Append(5)];
/// The rest of the lap, which overwrites what the first one left.
const WRAP: [Do; 4] = [Trim(3), Append(6), Append(7), Append(8)];

/// A process is killed after this number of operations. Another one opens the journal, reads it and appends. Then the
/// power fails.
fn killed_and_gone_on(
    simulation: &Simulation,
    kill: u64,
    segment: u64,
    life: &[Do],
) -> Exploration {
    let simulation = simulation.clone().prepared(|medium| {
        drop(options().segment(segment).create_new(medium).unwrap());
        drop(options().open(medium).unwrap());
    });
    simulation.explore(
        |medium, notes| {
            notes.add(Note::Created);
            let mortal = medium.mortal(kill);
            let tell = |note| {
                if mortal.is_alive() {
                    notes.add(note);
                }
            };
            let opened = options().open(&mortal).map_err(Error::from);
            let died = opened.and_then(|(journal, _)| work(&journal, life, tell));
            assert!(matches!(
                reason(&died),
                None | Some(ErrorKind::Format(FormatError::Medium(Killed) | FormatError::Failed))
            ));
            // The process is killed even if it completed all operations.
            medium.killed();

            let (journal, _) = options().open(medium).unwrap();
            let read: Vec<_> =
                records(&journal).unwrap().into_iter().map(|record| record.payload).collect();
            // Trims may have discarded all records.
            let first = (0..3).find(|number| read.first() == Some(&payload(*number)));
            let first = first.unwrap_or(u64::from(journal.head().0 > 0));
            let end = first + read.len() as u64;
            assert!(read.into_iter().eq((first..end).map(payload)));
            notes.add(Note::Read(first..end));
            apply(&journal, Append(end), |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

/// A group that begins at the head, on two lines of a segment of 256 bytes.
const AT_HEAD: [Do; 3] = [Append(0), Trim(1), Group(1, 2)];

/// The minimum number of operations in these lives.
const OPERATIONS: u64 = 48;

/// Kills the process after each operation. Returns the first failure, or the last exploration.
fn killed_anywhere(simulation: &Simulation, segment: u64, life: &[Do]) -> Exploration {
    let kill = |kill| killed_and_gone_on(simulation, kill, segment, life);
    let mut explorations = (0..OPERATIONS).map(kill);
    let failed = explorations.find(|exploration| exploration.failure.is_some());
    failed.unwrap_or_else(|| kill(OPERATIONS))
}

/// A producer panics when its record is whole. Two openings append a record each.
fn panicked(simulation: &Simulation) -> Exploration {
    with(simulation, &[]).explore(
        |medium, notes| {
            let faulty = Faulty::new(medium);
            let (journal, _) = options().open(&faulty).unwrap();
            journal.append(&payload(0)).unwrap();
            panic(&journal, &payload(1));
            let refused = journal.append(&payload(2));
            assert!(matches!(reason(&refused), Some(ErrorKind::Format(FormatError::Failed))));
            drop(journal);
            for number in 2..4 {
                options().open(medium).unwrap().0.append(&payload(number)).unwrap();
                notes.add(number);
            }
        },
        |medium, notes| {
            let (journal, _) = options().open(medium)?;
            let found: Vec<_> =
                records(&journal)?.into_iter().map(|record| record.payload).collect();
            let is_there = |number: &u64| found.contains(&payload(*number));
            Violation::unless(notes.iter().all(is_there), || format!("{found:?}"))
        },
    )
}

/// The medium of a journal for records of more than 256 bytes, which are stored by streaming, in parts.
const LONG: u64 = LOG + 4 * 1024;

/// A record that fills six lines and begins inside one, and one that begins a segment. Each word that no fence covers
/// can be lost separately, and recovery reads all of them, so few are lost at once.
fn long_records(simulation: &Simulation) -> Exploration {
    let options = || options().segment(1024);
    let payload = |number: u64| vec![7 + number as u8; 389 + number as usize];
    let simulation = simulation.clone().effort(Effort::Deviations(2)).prepared(|medium| {
        drop(options().create_new(medium).unwrap());
        let (journal, _) = options().open(medium).unwrap();
        journal.append(b"ahead").unwrap();
    });
    simulation.explore(
        |medium, notes| {
            let (journal, _) = options().open(medium).unwrap();
            for number in 0..3 {
                journal.append(&payload(number)).unwrap();
                notes.add(number);
            }
        },
        |medium, notes| {
            let (journal, Opened { recovered, .. }) = options().open(medium)?;
            let acknowledged = notes.last().map_or(1, |number| number + 2);
            let found = recovered.records;
            Violation::unless(found >= acknowledged, || format!("{found} of {acknowledged}"))?;
            let mut expected = vec![b"ahead".to_vec()];
            expected.extend((0..found - 1).map(payload));
            let records = records(&journal)?.into_iter().map(|record| record.payload);
            Violation::unless(records.eq(expected), || "another record".to_owned())
        },
    )
}

/// Two threads append. Neither of them opened the journal. Each waits for earlier records.
fn threads(simulation: &Simulation, before: &[Do]) -> Exploration {
    // With segments in which a mark can be on two lines.
    let options = || options().segment(256);
    let simulation = simulation.clone().prepared(|medium| {
        drop(options().create_new(medium).unwrap());
        let (journal, _) = options().open(medium).unwrap();
        work(&journal, before, |_| ()).unwrap();
    });
    simulation.explore(
        |medium, notes| {
            let (journal, _) = options().open(medium).unwrap();
            let append = |number| {
                journal.append(&payload(number)).unwrap();
                notes.add(number);
            };
            medium.run_threads(&[&|| append(4), &|| append(5)]);
        },
        |medium, acknowledged: &[u64]| {
            let (journal, _) = options().open(medium)?;
            let found: Vec<_> =
                records(&journal)?.into_iter().map(|record| record.payload).collect();
            let is_there = |number: &u64| found.contains(&payload(*number));
            Violation::unless(acknowledged.iter().all(is_there), || format!("{found:?}"))?;
            let (old, new) = found.split_at(before.len());
            let is_known = |record: &Vec<u8>| *record == payload(4) || *record == payload(5);
            let is_right = old.iter().cloned().eq((0..before.len() as u64).map(payload))
                && new.iter().all(is_known)
                && (new.len() < 2 || new[0] != new[1]);
            Violation::unless(is_right, || format!("{found:?}"))
        },
    )
}

/// Two threads append, and the last record is damaged after both have returned. The thread that confirms last confirms
/// both records.
fn confirmed_by_threads(simulation: &Simulation) -> Exploration {
    let options = || options().segment(256);
    let simulation =
        simulation.clone().prepared(|medium| drop(options().create_new(medium).unwrap()));
    simulation.explore(
        |medium, notes| {
            let (journal, _) = options().open(medium).unwrap();
            let append = |number| assert!(journal.append(&payload(number)).is_ok());
            medium.run_threads(&[&|| append(4), &|| append(5)]);
            let last = records(&journal).unwrap()[1].position;
            medium.store(LOG + last.0 + 16, 0, Relaxed);
            let found = Reader::open(medium).unwrap().verify().unwrap();
            assert!(found.damage.is_some(), "{found:?}");
            notes.add(());
        },
        |_, _| Ok(()),
    )
}

/// One thread appends, and another one trims a record and appends.
fn appends_and_a_trim(simulation: &Simulation) -> Exploration {
    let simulation = with(simulation, &[Append(0), Append(1)]);
    simulation.explore(
        |medium, notes| {
            let (journal, _) = options().open(medium).unwrap();
            let second = records(&journal).unwrap()[1].position;
            let append = |number| {
                journal.append(&payload(number)).unwrap();
                notes.add(number);
            };
            let trim_and_append = || {
                notes.add(0);
                journal.trim(second).unwrap();
                append(5);
            };
            medium.run_threads(&[&|| append(4), &trim_and_append]);
        },
        |medium, notes: &[u64]| {
            let (journal, _) = options().open(medium)?;
            let found: Vec<_> =
                records(&journal)?.into_iter().map(|record| record.payload).collect();
            let is_there = |number: u64| found.contains(&payload(number));
            let is_right = notes.iter().all(|number| *number == 0 || is_there(*number))
                && is_there(1)
                && (notes.contains(&0) || is_there(0))
                && found.iter().all(|record| [0, 1, 4, 5].map(payload).contains(record));
            Violation::unless(is_right, || format!("{found:?} of {notes:?}"))
        },
    )
}

/// Explores few states: nothing orders the words of a root, so each word doubles the number of states.
const FEW: Effort = Effort::Deviations(1);

/// Crashes only during the workload: recovery writes little, and other tests crash it.
fn uncut(model: Model) -> Simulation {
    Simulation::new(model, BYTES).crashes_in_recovery(0).effort(FEW)
}

fn uncut_wide(model: Model) -> Simulation {
    Simulation::new(model, WIDE).crashes_in_recovery(0).effort(FEW)
}

fn leaves_a_prefix(model: Model, effort: Effort) {
    let simulation = uncut(model).effort(effort);
    for exploration in [
        explore(&simulation, &[], &SHORT),
        explore(&simulation, &[], &PIECES),
        explore(&simulation, &[], &GROUPS),
        explore(&simulation, &ROUND, &WRAP),
    ] {
        exploration.assert_safe();
        assert_eq!(exploration.is_exhaustive(), effort == Effort::Exhaustive);
        // The confirmation word is not written back.
        let is_persisted = |(kind, (file, ..), _): (_, (&str, _, _), _)| {
            kind != Kind::NeverPersisted || file.ends_with("confirmation.rs")
        };
        assert!(exploration.waste.iter().all(is_persisted), "{}", exploration.waste);
    }
    panicked(&simulation.clone().effort(Effort::Deviations(2))).assert_safe();
    creation(&simulation.effort(Effort::Deviations(2))).assert_safe();
}

/// All states that x86 can leave. Each model has a test: they run at the same time, and take longer than most others.
#[test]
fn a_crash_leaves_a_prefix_with_all_that_was_acknowledged() {
    leaves_a_prefix(Model::X86, Effort::Exhaustive);
}

/// Some of the states of the neutral model, which has every crash of x86 and arm64, as a test of the simulator shows.
#[test]
fn a_crash_in_the_neutral_model_leaves_a_prefix_with_all_that_was_acknowledged() {
    leaves_a_prefix(Model::NEUTRAL, Effort::Deviations(2));
}

#[test]
fn acknowledged_records_of_each_thread_survive() {
    for model in MODELS {
        threads(&uncut_wide(model), &[]).assert_safe();
    }
}

#[test]
fn the_last_record_of_threads_is_confirmed() {
    confirmed_by_threads(&uncut_wide(Model::X86)).assert_safe();
}

#[test]
fn records_that_threads_append_beside_a_trim_survive() {
    for model in [Model::X86, Model::NEUTRAL] {
        appends_and_a_trim(&uncut(model)).assert_safe();
    }
}

#[test]
fn a_successor_of_a_killed_process_loses_nothing_that_it_has_read() {
    for model in MODELS {
        killed_anywhere(&uncut(model), SEGMENT, &SHORT).assert_safe();
        killed_anywhere(&uncut_wide(model), 2 * SEGMENT, &AT_HEAD).assert_safe();
    }
}

#[test]
fn it_is_right_on_media_that_need_less_and_on_pages() {
    for model in [Model::X86_EADR, Model::PAGES, Model::CACHES_KEPT] {
        let simulation = uncut(model);
        explore(&simulation, &[], &SHORT).assert_safe();
        explore(&simulation, &ROUND, &WRAP).assert_safe();
    }
}

#[test]
fn a_long_record_is_there_whole_or_not_at_all() {
    for model in MODELS {
        long_records(&Simulation::new(model, LONG).crashes_in_recovery(0)).assert_safe();
    }
}

#[test]
fn recovery_may_be_cut() {
    for model in MODELS {
        let simulation = Simulation::new(model, BYTES).zeros().effort(FEW);
        creation(&simulation).assert_safe();
        explore(&simulation, &[], &SHORT[..2]).assert_safe();
    }
}

#[test]
#[ignore = "mutation takes half a minute: cargo test -- --ignored"]
fn no_write_back_and_no_fence_can_be_left_out() {
    // One lost word shows the defect.
    let of =
        |setting: &Setting, bytes| setting.simulation(bytes).crashes_in_recovery(0).effort(FEW);
    let uncut = |setting: &Setting| of(setting, BYTES);
    let wide = |setting: &Setting| of(setting, WIDE);
    let mutation = Mutation::new().only_in("crates/journal/src");
    let for_readers = "for readers beside the writer, whom the simulator does not have";
    let mutation = [
        ("src/append.rs", "medium.store(at, tag::of(seed, payload)"),
        ("src/confirmation.rs", "medium.store(CONFIRMATION, "),
    ]
    .into_iter()
    .fold(mutation, |mutation, (file, store)| {
        let arm64 = &[Model::ARM64];
        mutation.equivalent(file, store, Weakening::RelaxedStore, arm64, for_readers)
    });
    let survivors = mutation.run(&[
        &|setting: &Setting| creation(&uncut(setting)),
        &|setting: &Setting| created_again(&uncut(setting)),
        &|setting: &Setting| explore(&uncut(setting), &[], &SHORT[..2]),
        &|setting: &Setting| explore(&uncut(setting), &[], &PIECES),
        &|setting: &Setting| explore(&uncut(setting), &[], &GROUPS),
        &|setting: &Setting| explore(&uncut(setting), &ROUND, &WRAP),
        &|setting: &Setting| panicked(&uncut(setting)),
        &|setting: &Setting| killed_anywhere(&uncut(setting), SEGMENT, &SHORT),
        &|setting: &Setting| killed_anywhere(&wide(setting), 2 * SEGMENT, &AT_HEAD),
        &|setting: &Setting| threads(&wide(setting), &[Append(0)]),
        &|setting: &Setting| appends_and_a_trim(&uncut(setting)),
        &|setting: &Setting| long_records(&setting.simulation(LONG).crashes_in_recovery(0)),
    ]);
    println!("{survivors}");
    survivors.assert_none();
}
