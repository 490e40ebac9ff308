//! Crashes in the repair of a journal.

use crate::claims::reason;
use crate::crashes::{MODELS, ROUND, uncut, with};
use crate::life::Do::Append;
use crate::life::{BYTES, Note, options, payload, records};
use cachemaint::journal::{Error, ErrorKind, Group, Journal, Reader};
use cachemaint::medium::Medium;
use cachemaint::sim::{Effort, Exploration, Killed, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// A record is damaged in the middle, with others behind it farther than a window.
pub(crate) fn repaired(simulation: &Simulation) -> Exploration {
    let more = [&ROUND[..], &[Append(6), Append(7)]].concat();
    with(simulation, &more)
        .prepared(|medium| {
            // In the payload of the third record, the first of the second segment.
            medium.store(8192 + 128 + 64 + 16, u64::MAX, Relaxed);
        })
        .explore(
            |medium, notes| {
                assert!(matches!(reason(&options().open(medium)), Some(ErrorKind::Damaged(_))));
                let (_, repaired) = options().repair(medium).unwrap();
                assert_eq!(repaired.records, 7);
                notes.add(Note::Acknowledged(8));
            },
            |medium, notes| {
                let opened = options().open(medium);
                let is_damaged = matches!(reason(&opened), Some(ErrorKind::Damaged(_)));
                let journal = if is_damaged && !notes.contains(&Note::Acknowledged(8)) {
                    options().repair(medium)?.0
                } else {
                    opened?.0
                };
                let left: Vec<_> =
                    records(&journal)?.into_iter().map(|record| record.payload).collect();
                let kept: Vec<_> = [0, 1, 3, 4, 5, 6, 7].into_iter().map(payload).collect();
                Violation::unless(left == kept, || format!("{left:?}"))
            },
        )
}

/// A process is killed, at last while it trims, with a record whole behind one that was never finished. The next one
/// repairs the journal, in which the newest superblock may be in the caches alone.
fn killed_and_repaired(simulation: &Simulation, kill: u64) -> Exploration {
    let simulation = simulation.clone().prepared(|medium| {
        drop(options().create_new(medium).unwrap());
    });
    simulation.explore(
        |medium, notes| {
            let mortal = medium.mortal(kill);
            let life = |journal: &Journal<_>| {
                journal.append(&payload(0))?;
                let end = journal.end();
                journal.append(&payload(1))?;
                if mortal.is_alive() {
                    notes.add("the second one is acknowledged");
                }
                let mut group = Group::new();
                group.push(&[0; 8]);
                group.push(&payload(2));
                let unfinished = journal.append_group(&mut group)?.start;
                mortal.write(8192 + unfinished.0, &[0; 16]);
                journal.trim(end)
            };
            let opened = options().open(&mortal).map_err(Error::from);
            let died = opened.and_then(|(journal, _)| life(&journal));
            assert!(matches!(
                reason(&died),
                None | Some(ErrorKind::Medium(Killed) | ErrorKind::Failed)
            ));
            medium.killed();
            drop(options().repair(medium).unwrap());
        },
        |medium, notes| {
            // From marks alone what was trimmed would be there again.
            Reader::open(medium)?;
            let (journal, _) = options().repair(medium)?;
            let is_there = records(&journal)?.iter().any(|record| record.payload == payload(1));
            Violation::unless(is_there || notes.is_empty(), || "the second one is lost".to_owned())
        },
    )
}

/// The operations that such a life takes, at least.
const UP_TO_THE_TRIM: u64 = 48;

pub(crate) fn killed_and_repaired_anywhere(simulation: &Simulation) -> Exploration {
    let mut explorations = (0..UP_TO_THE_TRIM).map(|kill| killed_and_repaired(simulation, kill));
    let failed = explorations.find(|exploration| exploration.failure.is_some());
    failed.unwrap_or_else(|| killed_and_repaired(simulation, UP_TO_THE_TRIM))
}

#[test]
fn a_crash_in_a_repair_loses_nothing_more() {
    for model in MODELS {
        repaired(&Simulation::new(model, BYTES)).assert_safe();
    }
}

#[test]
fn a_crash_in_a_repair_after_a_kill_leaves_a_superblock() {
    for model in MODELS {
        let few = uncut(model).effort(Effort::Deviations(2));
        killed_and_repaired_anywhere(&few).assert_safe();
    }
}
