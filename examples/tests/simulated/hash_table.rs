//! The hash table of the examples: a structure of a user, tested by the simulator.

#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]

use cachemaint::medium::Medium;
use cachemaint_examples::hash_table::{Error, Table};
use cachemaint_sim::mutation::{Mutation, Setting};
use cachemaint_sim::waste::Kind;
use cachemaint_sim::{
    Cause, Exploration, Killed, Model, Notes, SimMedium, Simulation, Violation, ViolationKind,
};
use core::sync::atomic::Ordering;
use proptest::prelude::*;
use std::collections::BTreeMap;

const MODELS: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

/// Four slots, as many as there are keys.
const BYTES: u64 = 128 + 4 * 24;
const KEYS: u64 = 4;

#[derive(Clone, Copy, Debug)]
enum Do {
    Insert(u64, u64),
    Remove(u64),
}

use Do::{Insert, Remove};

/// Everything that a table does: new and known keys, and a reused slot.
const LIFE: [Do; 6] =
    [Insert(0, 10), Insert(1, 20), Insert(0, 11), Remove(1), Insert(2, 30), Remove(3)];

type Map = BTreeMap<u64, u64>;

/// A fact that the outside world learns.
#[derive(Clone, Debug)]
enum Note {
    /// A table exists.
    Opened,
    Begun(Do),
    Done,
    /// A reader has read all of it.
    Read(Map),
}

fn apply<M: Medium>(table: &mut Table<M>, operation: Do) -> Result<(), Error<M::Error>> {
    match operation {
        Insert(key, value) => table.insert(key, value).map(drop),
        Remove(key) => table.remove(key).map(drop),
    }
}

fn applied(map: &Map, operation: Option<Do>) -> Map {
    let mut map = map.clone();
    match operation {
        Some(Insert(key, value)) => drop(map.insert(key, value)),
        Some(Remove(key)) => drop(map.remove(&key)),
        None => {}
    }
    map
}

/// Makes the operations until the medium fails, and adds a note before and after each.
fn work<M: Medium>(
    table: &mut Table<M>,
    operations: &[Do],
    tell: impl Fn(Note),
) -> Result<(), Error<M::Error>> {
    for operation in operations {
        tell(Note::Begun(*operation));
        apply(table, *operation)?;
        tell(Note::Done);
    }
    Ok(())
}

fn content<M: Medium>(table: &Table<M>) -> Result<Map, Violation> {
    let map: Map = table.entries().collect();
    let found = |key| table.get(key) == map.get(&key).copied();
    Violation::unless(table.entries().count() == map.len(), || "a key is there twice".into())?;
    Violation::unless((0..KEYS).all(found), || format!("not all of {map:?} is found"))?;
    Ok(map)
}

/// Returns the content that the notes make certain, and the operation that may have happened too.
fn expected(notes: &[Note]) -> (Map, Option<Do>) {
    let (mut map, mut in_flight) = (Map::new(), None);
    for note in notes {
        match note {
            Note::Opened => {}
            Note::Begun(operation) => in_flight = Some(*operation),
            Note::Done => map = applied(&map, in_flight.take()),
            Note::Read(read) => (map, in_flight) = (read.clone(), None),
        }
    }
    (map, in_flight)
}

/// Checks that the content is the one before or after the operation in flight, never older than the acknowledged one.
fn is_before_or_after(map: &Map, notes: &[Note]) -> Result<(), Violation> {
    let (before, in_flight) = expected(notes);
    if *map == before || *map == applied(&before, in_flight) {
        return Ok(());
    }
    let text = format!("{map:?}, not {before:?}, with {in_flight:?} under way");
    match in_flight {
        None => Err(Violation::lost(text)),
        Some(_) => Err(Violation::broken(text)),
    }
}

fn recovery(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    let is_made_anew = medium.load(0, Ordering::Relaxed) == 0;
    if is_made_anew && notes.iter().any(|note| matches!(note, Note::Opened)) {
        return Err(Violation::lost("the table that was opened"));
    }
    is_before_or_after(&content(&Table::open(medium)?)?, notes)
}

/// Returns a medium with a zero as its first word, so that a table is created in it, and anything after that.
fn without_header(simulation: Simulation) -> Simulation {
    simulation.prepared(|medium| medium.store(0, 0, Ordering::Relaxed))
}

fn new(model: Model) -> Simulation {
    without_header(Simulation::new(model, BYTES))
}

/// Explores the operations on a new table.
fn explore(simulation: &Simulation, operations: &[Do]) -> Exploration {
    simulation.explore(
        |medium, notes| {
            let mut table = Table::open(medium).unwrap();
            notes.add(Note::Opened);
            work(&mut table, operations, |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

/// Explores the same on a medium that held a table with every slot used.
fn creation(simulation: &Simulation) -> Exploration {
    let used = simulation.clone().prepared(|medium| {
        (8..BYTES).step_by(8).for_each(|at| medium.store(at, 1, Ordering::Relaxed));
    });
    explore(&used, &[Insert(1, 20)])
}

/// Explores a process that is killed after a number of operations; another one opens the table, reads it and continues;
/// then the power fails.
fn killed_and_gone_on(
    simulation: &Simulation,
    kill: u64,
    before: &[Do],
    after: &[Do],
) -> Exploration {
    simulation.explore(
        |medium, notes| {
            let mortal = medium.mortal(kill);
            let tell = |note| {
                if mortal.is_alive() {
                    notes.add(note);
                }
            };
            let died = Table::open(&mortal).and_then(|mut table| work(&mut table, before, tell));
            assert!(matches!(died, Ok(()) | Err(Error::Medium(Killed))), "no error of the table");
            // The process is killed even if it has finished.
            medium.killed();

            let mut table = Table::open(medium).unwrap();
            notes.add(Note::Read(content(&table).unwrap()));
            work(&mut table, after, |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

/// A number of operations that suffices to create a table and complete the life.
const OPERATIONS: u64 = 32;

/// Explores kills after each operation. Returns the first failure, or the last exploration.
fn killed_anywhere(simulation: &Simulation) -> Exploration {
    let kill = |kill| killed_and_gone_on(simulation, kill, &LIFE, &[Insert(3, 40), Remove(0)]);
    let mut explorations = (0..OPERATIONS).map(kill);
    let failed = explorations.find(|exploration| exploration.failure.is_some());
    failed.unwrap_or_else(|| kill(OPERATIONS))
}

#[test]
fn a_crash_leaves_the_content_before_or_after_the_operation() {
    for model in MODELS {
        for exploration in
            [explore(&new(model), &LIFE), creation(&new(model)), killed_anywhere(&new(model))]
        {
            exploration.assert_safe();
            assert!(exploration.is_exhaustive());
            exploration.waste.assert_none_of(&[Kind::NeverPersisted]);
        }
    }
}

#[test]
fn it_is_right_on_media_that_need_less_and_on_pages() {
    for model in [Model::X86_EADR, Model::PAGES, Model::CACHES_KEPT] {
        explore(&new(model), &LIFE).assert_safe();
    }
}

#[test]
fn recovery_may_be_cut_twice() {
    let simulation = new(Model::NEUTRAL).crashes_in_recovery(2);
    creation(&simulation).assert_safe();
}

#[test]
fn no_write_back_and_no_fence_can_be_left_out() {
    let survivors = Mutation::new().only_in("hash_table/table.rs").run(&[
        &|setting: &Setting| explore(&without_header(setting.simulation(BYTES)), &LIFE),
        &|setting: &Setting| creation(&without_header(setting.simulation(BYTES))),
        &|setting: &Setting| killed_anywhere(&without_header(setting.simulation(BYTES))),
    ]);
    survivors.assert_none();
    assert_eq!(survivors.killed, survivors.tried);
}

/// Inserts with the variant that has one fence too few.
fn planted(medium: &SimMedium, notes: &Notes<'_, Note>) {
    let mut table = Table::open(medium).unwrap().saving_a_fence();
    work(&mut table, &[Insert(1, 20), Insert(2, 30)], |note| notes.add(note)).unwrap();
}

#[test]
fn the_planted_mistake_is_found_under_each_model_and_explained() {
    for model in MODELS {
        let outcome = new(model).explore(planted, recovery);
        let failure = outcome.failure.as_deref().expect("one fence is missing");
        assert_eq!(failure.violation.kind, ViolationKind::Broken);
        assert!(!outcome.is_exhaustive());
        assert!(matches!(failure.cause, Some(Cause::Unordered { .. })), "{failure}");
    }
}

#[test]
fn a_full_table_and_a_strange_medium_are_refused() {
    let medium = new(Model::X86).medium();
    let mut table = Table::open(&medium).unwrap();
    (0..KEYS).for_each(|key| assert_eq!(table.insert(key, key).unwrap(), None));
    assert!(matches!(table.insert(KEYS, 0), Err(Error::Full)));
    assert_eq!(table.remove(0).unwrap(), Some(0));
    assert_eq!(table.insert(KEYS, 7).unwrap(), None);

    assert_eq!(Table::open(&medium).unwrap().get(KEYS), Some(7));
    medium.store(0, u64::MAX, Ordering::Relaxed);
    assert!(matches!(Table::open(&medium), Err(Error::NoTable)));
}

fn operation() -> impl Strategy<Value = Do> {
    prop_oneof![
        2 => (0..KEYS, 1..100_u64).prop_map(|(key, value)| Insert(key, value)),
        1 => (0..KEYS).prop_map(Remove),
    ]
}

fn operations() -> impl Strategy<Value = Vec<Do>> {
    proptest::collection::vec(operation(), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_operations_are_safe_around_a_kill(
        before in operations(),
        after in operations(),
        kill in 0..OPERATIONS,
    ) {
        for model in MODELS {
            let simulation = new(model);
            killed_and_gone_on(&simulation, kill, &before, &after).assert_safe();
        }
    }
}
