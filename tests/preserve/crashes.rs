//! Every state that a crash may leave, and that nothing is left out which a crash would show.

use crate::life::{
    BYTES, Do, Life, Note, Opening, after, blobs, expected, judge, later, open, options, work,
};
use crate::part::Part;
use crate::region_crashes;
use crate::regions::BYTES as REGION_BYTES;
use Do::{Delete, Put, Rename, Stream, Wide};
use cachemaint::preserve::{Error, ErrorKind};
use cachemaint::sim::mutation::{Mutation, Setting};
use cachemaint::sim::waste::Kind;
use cachemaint::sim::{Effort, Exploration, Killed, Model, SimMedium, Simulation, Violation};

/// Before the first note, the first `before` transactions have happened.
fn recovery(
    life: Life,
    before: Option<usize>,
) -> impl Fn(&SimMedium, &[Note]) -> Result<(), Violation> {
    move |medium, notes| {
        let told: Vec<Note> =
            before.map(Note::Committed).into_iter().chain(notes.to_vec()).collect();
        match open(medium) {
            Ok((_, found)) => judge(life, &found, &told),
            Err(Opening::Store(error))
                if matches!(error.kind(), ErrorKind::NotAStore { .. })
                    && expected(&told).is_none() =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A medium with a store to which this has happened. Both headers have been written.
fn with(simulation: &Simulation, before: Life) -> Simulation {
    simulation.clone().prepared(move |medium| {
        drop(options().create_new(medium).unwrap());
        let (mut store, _) = options().open(medium).unwrap();
        work(&mut store, before, 0, |_| ()).unwrap();
    })
}

/// A store is opened to which the first transactions of a life have happened, and lives the others.
fn explore(simulation: &Simulation, life: Life, before: usize) -> Exploration {
    with(simulation, &life[..before]).explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            work(&mut store, life, before, |note| notes.add(note)).unwrap();
        },
        recovery(life, Some(before)),
    )
}

fn creation(simulation: &Simulation) -> Exploration {
    simulation.explore(
        |medium, notes| {
            let mut store = options().create_new(medium).unwrap();
            notes.add(Note::Created);
            work(&mut store, FIRST, 0, |note| notes.add(note)).unwrap();
        },
        recovery(FIRST, None),
    )
}

/// One blob.
const FIRST: Life = &[&[Put("a", 1)]];
/// Several at once, replaced and deleted.
const SEVERAL: Life = &[
    &[Put("a", 1), Put("b", 2), Put("c", 3)],
    &[Put("b", 4), Delete("a"), Stream("d", 5)],
    &[Rename("c", "a"), Put("b", 6)],
];
/// A table that gets longer and shorter, and blobs that take the places of others.
const REUSE: Life = &[
    &[Put("a", 3), Put("b", 7)],
    &[Put("a", 4)],
    &[Put("b", 5), Put("a", 3)],
    &[Delete("b"), Put("c", 7)],
    &[Put("a", 5)],
];
/// A blob is put twice in a transaction, another one put and deleted.
const UNDONE: Life = &[&[Put("a", 1), Put("a", 2), Put("b", 3), Delete("b")], &[Delete("a")]];

/// A page that is split in two with a root above them, which are merged again.
const PAGES: Life =
    &[&[Wide("a", 1), Wide("b", 2), Wide("c", 3)], &[Wide("d", 4)], &[Delete("a"), Delete("c")]];
/// Room for them.
const PAGES_BYTES: u64 = BYTES + (64 << 10);

/// A process that is killed after so many operations; another one opens the store, reads it and goes on; then the
/// power fails.
fn killed_and_gone_on(simulation: &Simulation, kill: u64, life: Life) -> Exploration {
    with(simulation, &life[..1]).explore(
        |medium, notes| {
            let mortal = medium.mortal(kill);
            let died = later()
                .open(&mortal)
                .map_err(|failed| failed.error)
                .and_then(|(mut store, _)| work(&mut store, &life[..2], 1, |_| ()));
            assert!(matches!(
                died.as_ref().map_err(Error::kind),
                Ok(()) | Err(ErrorKind::Medium(Killed) | ErrorKind::Failed)
            ));
            // The process is killed even if it had done all.
            medium.killed();

            let (mut store, _) = options().open(medium).unwrap();
            let found = blobs(&store).unwrap();
            let done = (1..=2).find(|number| after(life, *number) == found).unwrap();
            notes.add(Note::Committed(done));
            work(&mut store, &life[..=done], done, |note| notes.add(note)).unwrap();
        },
        recovery(life, Some(1)),
    )
}

/// The operations that these lives take, at least.
const OPERATIONS: u64 = 24;

/// Killed after each operation; the first failure, or the last exploration.
fn killed_anywhere(simulation: &Simulation) -> Exploration {
    let mut explorations = (0..OPERATIONS).map(|at| killed_and_gone_on(simulation, at, REUSE));
    let failed = explorations.find(|exploration| exploration.failure.is_some());
    failed.unwrap_or_else(|| killed_and_gone_on(simulation, OPERATIONS, REUSE))
}

/// An abandoned transaction leaves nothing, and the next ones are right.
fn given_up(simulation: &Simulation) -> Exploration {
    with(simulation, &REUSE[..2]).explore(
        |medium, notes| {
            let (mut store, _) = options().open(medium).unwrap();
            let mut given_up = store.begin().unwrap();
            given_up.put("a", &[9; 200]).unwrap();
            let abandoned = given_up.put_with("z", 200, |writer| {
                writer.append(&[8; 90])?;
                Err::<(), _>(None)
            });
            assert_eq!(abandoned, Err(None));
            drop(given_up);
            work(&mut store, &REUSE[..3], 2, |note| notes.add(note)).unwrap();
        },
        recovery(REUSE, Some(2)),
    )
}

/// Everything is written back before a reboot.
fn sealed(simulation: &Simulation) -> Exploration {
    with(simulation, &REUSE[..2]).explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            store.seal().unwrap();
            work(&mut store, &REUSE[..3], 2, |note| notes.add(note)).unwrap();
        },
        recovery(REUSE, Some(2)),
    )
}

/// The medium has grown since the last commit, and the new space is used.
fn grown(simulation: &Simulation) -> Exploration {
    let simulation = simulation.clone().prepared(|medium| {
        let part = Part { medium, len: BYTES - 1024 };
        drop(options().create_new(part).unwrap());
        let (mut store, _) = options().open(part).unwrap();
        work(&mut store, &REUSE[..1], 0, |_| ()).unwrap();
    });
    simulation.explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            work(&mut store, &REUSE[..3], 1, |note| notes.add(note)).unwrap();
        },
        recovery(REUSE, Some(1)),
    )
}

/// Crashes of the workload alone: recovery is cut in tests of its own.
fn uncut(model: Model) -> Simulation {
    uncut_with(model, BYTES)
}

fn uncut_with(model: Model, bytes: u64) -> Simulation {
    Simulation::new(model, bytes).crashes_in_recovery(0)
}

/// The neutral model has every crash of x86 and arm64, as a test of the simulator shows.
#[test]
fn a_crash_leaves_what_was_before_or_what_is_after() {
    let simulation = uncut(Model::NEUTRAL);
    let mut states = 0_u128;
    for exploration in [
        creation(&simulation),
        explore(&simulation, SEVERAL, 0),
        explore(&simulation, REUSE, 1),
        explore(&simulation, UNDONE, 0),
        given_up(&simulation),
        sealed(&simulation),
        grown(&simulation),
        explore(&uncut_with(Model::NEUTRAL, PAGES_BYTES), PAGES, 1),
    ] {
        exploration.assert_safe();
        assert!(exploration.is_exhaustive());
        exploration.waste.assert_none_of(&[Kind::NeverPersisted]);
        states = states.saturating_add(exploration.states);
    }
    assert!(states >= 100_000, "{states} states");
}

#[test]
fn it_is_right_on_media_that_need_less_and_on_pages() {
    for model in [Model::X86_EADR, Model::PAGES, Model::CACHES_KEPT] {
        let simulation = uncut(model);
        explore(&simulation, SEVERAL, 0).assert_safe();
        explore(&simulation, REUSE, 1).assert_safe();
        sealed(&simulation).assert_safe();
        killed_anywhere(&simulation).assert_safe();
        explore(&uncut_with(model, PAGES_BYTES), PAGES, 1).assert_safe();
    }
}

/// Opening a store writes too, and is cut off as the commit before it was.
fn cut_twice(simulation: &Simulation) -> Exploration {
    explore(&simulation.clone().effort(Effort::Deviations(2)), &REUSE[..2], 1)
}

/// Each scenario must be safe before anything is left out: that includes a kill at every operation, and recovery
/// that is itself cut by a crash. The quick ones come first, since a mutant is tried until one fails.
#[test]
fn no_write_back_and_no_fence_can_be_left_out() {
    let uncut = |setting: &Setting| {
        setting.simulation(BYTES).crashes_in_recovery(0).effort(Effort::Deviations(2))
    };
    let mutation = Mutation::new().only_in("src/preserve");
    let survivors = mutation.run(&[
        &|setting: &Setting| explore(&uncut(setting), SEVERAL, 0),
        &|setting: &Setting| explore(&uncut(setting), REUSE, 1),
        &|setting: &Setting| sealed(&uncut(setting)),
        &|setting: &Setting| creation(&uncut(setting)),
        &|setting: &Setting| killed_anywhere(&uncut(setting)),
        &|setting: &Setting| cut_twice(&setting.simulation(BYTES)),
        &|setting: &Setting| region_crashes::dropped_elsewhere(&setting.simulation(REGION_BYTES)),
        &|setting: &Setting| region_crashes::sealed(&setting.simulation(REGION_BYTES)),
        &|setting: &Setting| region_crashes::created(&setting.simulation(REGION_BYTES)),
    ]);
    println!("{survivors}");
    survivors.assert_none();
}
