//! Every state that a crash may leave.

use crate::life::{BYTES, Do, Note, apply, expected, judge, options, records};
use Do::{Append, Group};
use cachemaint::journal::{Error, Journal};
use cachemaint::medium::Medium;
use cachemaint::sim::{Exploration, Model, SimMedium, Simulation, Violation};

const MODELS: [fn() -> Model; 3] = [Model::x86, Model::arm64, Model::neutral];

fn work<M: Medium>(
    journal: &Journal<M>,
    life: &[Do],
    tell: impl Fn(Note),
) -> Result<(), Error<M::Error>> {
    life.iter().try_for_each(|what| apply(journal, *what, &tell))
}

/// Opens what is there for appending, and judges it.
fn recovery(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    match options().open(medium) {
        Ok((journal, recovered)) => {
            let records =
                records(&journal).map_err(|error| Violation::broken(error.to_string()))?;
            Violation::unless(recovered.records == records.len() as u64, || {
                format!("{recovered:?} of {}", records.len())
            })?;
            judge(&records, notes)
        }
        Err(Error::NotAJournal { .. }) if !expected(notes).is_created => Ok(()),
        Err(error) => Err(Violation::broken(error.to_string())),
    }
}

/// A journal with these records, whose superblocks have both been written.
fn with(simulation: &Simulation, life: &[Do]) -> Simulation {
    simulation.clone().prepared(|medium| {
        drop(options().create(medium).unwrap());
        let (journal, _) = options().open(medium).unwrap();
        work(&journal, life, |_| ()).unwrap();
    })
}

/// What is done to it when it is opened again; `notes` tell what was there.
fn explore(simulation: &Simulation, notes_before: &[Note], life: &[Do]) -> Exploration {
    simulation.explore(
        |medium, notes| {
            notes_before.iter().for_each(|note| notes.add(note.clone()));
            let (journal, _) = options().open(medium).unwrap();
            work(&journal, life, |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

fn creation(simulation: &Simulation) -> Exploration {
    simulation.explore(
        |medium, notes| {
            let journal = options().create(medium).unwrap();
            notes.add(Note::Created);
            apply(&journal, Append(0), |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

#[test]
fn a_crash_leaves_a_prefix_with_all_that_was_acknowledged() {
    for model in MODELS {
        let empty = with(&Simulation::new(model(), BYTES), &[]);
        for life in [&[Append(0), Append(1), Append(2)][..], &[Group(0, 2), Append(2)]] {
            let exploration = explore(&empty, &[Note::Created], life);
            exploration.assert_safe();
            assert!(exploration.is_exhaustive());
        }
        creation(&Simulation::new(model(), BYTES)).assert_safe();
    }
}
