//! Every state that a crash can leave, and a check that no write-back and no fence can be omitted.

use crate::life::{
    BYTES, DATA, Do, LEN, Life, Note, Opening, after, blobs, commit, expected, judge, later, open,
    options, work,
};
use crate::region_crashes;
use crate::regions::BYTES as REGION_BYTES;
use Do::{Delete, Fail, Put, Rename, Stream, Wide};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint_sim::mutation::{Mutation, Setting, Weakening};
use cachemaint_sim::sync::Mutex;
use cachemaint_sim::waste::Kind;
use cachemaint_sim::{Effort, Exploration, Killed, Model, SimMedium, Simulation, Violation};
use cachemaint_store::{Error, ErrorKind, FormatError, Name, Reader};
use cachemaint_test_support::part::Part;
use cachemaint_test_support::plain::Plain;

/// States that differ in one word from the latest or the oldest one. A tag depends on all words of its record, so all
/// other states look like these.
pub(crate) const EFFORT: Effort = Effort::Deviations(1);

/// Checks the store after a crash. `before` transactions were committed before the first note.
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
                if matches!(error.kind(), ErrorKind::Format(FormatError::Foreign { .. }))
                    && expected(&told).is_none() =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns a simulation of a store after these transactions.
fn with(simulation: &Simulation, before: Life) -> Simulation {
    simulation.clone().prepared(move |medium| {
        drop(options().create_new(medium).unwrap());
        let (mut store, _) = options().open(medium).unwrap();
        work(&mut store, before, 0, |_| ()).unwrap();
    })
}

/// Opens a store after the first `before` transactions of a life, and does the others.
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
            let (mut store, _) = options().create_new(medium).unwrap();
            notes.add(Note::Created);
            work(&mut store, FIRST, 0, |note| notes.add(note)).unwrap();
        },
        recovery(FIRST, None),
    )
}

/// One blob.
const FIRST: Life = &[&[Put("a", 1)]];
/// Several blobs at once, replaced and deleted.
const SEVERAL: Life = &[
    &[Put("a", 1), Put("b", 2), Put("c", 3)],
    &[Put("b", 4), Delete("a"), Stream("d", 5)],
    &[Rename("c", "a"), Put("b", 6)],
];
/// A table that grows and shrinks, and blobs that reuse the space of others.
const REUSE: Life = &[
    &[Put("a", 3), Put("b", 7)],
    &[Put("a", 4)],
    &[Put("b", 5), Put("a", 3)],
    &[Delete("b"), Put("c", 7)],
    &[Put("a", 5)],
];
/// A blob is put twice in a transaction. Another one is put and deleted.
const UNDONE: Life = &[&[Put("a", 1), Put("a", 2), Put("b", 3), Delete("b")], &[Delete("a")]];

/// Blobs on both sides of each bound: a value, a unit, a page, and a chunk of 64 KiB, which is the largest one. In one
/// transaction they are put twice, deleted and put again, and a put fails in the middle.
const BOUNDS: Life = &[
    &[Put("a", LEN + 64), Put("b", LEN + 256), Put("c", LEN + 257), Put("d", LEN + 4096)],
    &[Put("a", LEN + 60_000), Put("a", LEN + 60_001), Put("b", LEN + 10_000)],
    &[Put("b", LEN + 65_536), Fail("c", LEN + 70_000), Put("d", LEN + 4097)],
    &[Put("c", LEN + 65_537), Delete("c"), Stream("c", LEN + 65_537), Put("a", LEN + 65)],
];
/// A size with space for these blobs.
const BOUNDS_BYTES: u64 = BYTES + (512 << 10);

/// The log grows, and then has free space.
const WIDE: Life = &[&[Put("a", 1)], &[Wide("b", 2), Wide("c", 3)], &[Delete("b"), Put("a", 4)]];
/// A size with space for the larger log.
const WIDE_BYTES: u64 = BYTES + (64 << 10);

/// The log grows to more than four times its first capacity, and its names are deleted, which makes it small again.
/// Blobs take the place of the large areas.
const PEAK: Life = &[
    &[Put("a", 1)],
    &[
        Wide("b", 2),
        Wide("c", 3),
        Wide("d", 2),
        Wide("e", 3),
        Wide("f", 2),
        Wide("g", 3),
        Wide("h", 2),
        Wide("i", 3),
        Wide("j", 2),
        Wide("k", 3),
        Wide("l", 2),
        Wide("m", 3),
        Wide("n", 2),
        Wide("o", 3),
    ],
    &[
        Delete("b"),
        Delete("c"),
        Delete("d"),
        Delete("e"),
        Delete("f"),
        Delete("g"),
        Delete("h"),
        Delete("i"),
        Delete("j"),
        Delete("k"),
        Delete("l"),
        Delete("m"),
        Delete("n"),
        Delete("o"),
    ],
    &[Put("a", 4)],
    &[Put("p", LEN + 60_000), Put("a", 3)],
    &[Put("q", LEN + 60_000)],
];
/// A size with space for the larger log.
const PEAK_BYTES: u64 = DATA + (460 << 10);

/// The log becomes smaller, and nothing of the old areas stays in use.
fn shrunk(simulation: &Simulation) -> Exploration {
    with(simulation, &PEAK[..2]).explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            work(&mut store, PEAK, 2, |note| notes.add(note)).unwrap();
            // All but four mirrors of 8 KiB and the blobs.
            let used = 4 * 8192 + 2 * 60_032;
            assert_eq!(store.capacity().free, PEAK_BYTES - 16_384 - used);
        },
        recovery(PEAK, Some(2)),
    )
}

/// A blob that is put repeatedly, until the log is full and after its compaction.
const AGAIN: Life = &[&[Put("a", 1), Put("b", 2)], &[Put("a", 4)], &[Put("b", 3)], &[Put("a", 5)]];

/// Makes so many commits that one of the last transactions of a life compacts the log.
fn compacted(
    simulation: &Simulation,
    recovery: impl Fn(&SimMedium, &[Note]) -> Result<(), Violation> + Sync,
) -> Exploration {
    let plain = Plain::zeros(BYTES as usize);
    let (mut store, _) = options().create_new(plain.clone()).unwrap();
    let root = || u64::from_le_bytes(*plain.bytes()[40..].first_chunk().unwrap());
    let mut commits = 0;
    work(&mut store, AGAIN, 0, |_| ()).unwrap();
    while root() == 0 {
        commit(&mut store, &[Put("b", 3)]).unwrap();
        commits += 1;
    }
    assert!(commits > 4, "{commits}");
    let simulation = simulation.clone().prepared(move |medium| {
        let (mut store, _) = options().create_new(medium).unwrap();
        work(&mut store, &AGAIN[..1], 0, |_| ()).unwrap();
        for _ in 0..commits {
            commit(&mut store, &[Put("b", 3)]).unwrap();
        }
        commit(&mut store, &[Put("b", 2)]).unwrap();
    });
    simulation.explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            work(&mut store, AGAIN, 1, |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

/// After a crash, a drive loses a block: a mirror of the log and a copy of each root. The other copies suffice.
fn with_one_mirror(
    life: Life,
    before: usize,
) -> impl Fn(&SimMedium, &[Note]) -> Result<(), Violation> {
    move |medium, notes| {
        let told: Vec<Note> = [Note::Committed(before)].into_iter().chain(notes.to_vec()).collect();
        for mirror in 0..2 {
            let mut bytes = vec![0; BYTES as usize];
            medium.read(0, &mut bytes).unwrap();
            for area in [16_384, 24_576] {
                bytes[area + mirror * 4096..][..4096].fill(0xa5);
            }
            for slot in [0, 4096] {
                bytes[slot + mirror * 8192..][..4096].fill(0xa5);
            }
            let (_, found) = open(Plain::new(&bytes)).map_err(Violation::from)?;
            judge(life, &found, &told)?;
        }
        Ok(())
    }
}

/// Both copies of the newest root are damaged. The older root leads to an error, unless nothing was acknowledged since.
fn without_the_newest_root(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    let told: Vec<Note> = [Note::Committed(1)].into_iter().chain(notes.to_vec()).collect();
    let mut bytes = vec![0; BYTES as usize];
    medium.read(0, &mut bytes).unwrap();
    let generation = |slot: &usize| u64::from_le_bytes(*bytes[slot + 40..].first_chunk().unwrap());
    let newest = [0, 4096].into_iter().max_by_key(generation).unwrap();
    for slot in [newest, newest + 8192] {
        bytes[slot + 16] ^= 1;
    }
    match open(Plain::new(&bytes)) {
        Ok((_, found)) => judge(AGAIN, &found, &told),
        Err(Opening::Store(error)) => match error.kind() {
            ErrorKind::Damaged(_) | ErrorKind::Format(FormatError::Roots) => Ok(()),
            _ => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn mirrored(simulation: &Simulation) -> Exploration {
    with(simulation, &REUSE[..2]).explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            work(&mut store, &REUSE[..3], 2, |note| notes.add(note)).unwrap();
        },
        with_one_mirror(REUSE, 2),
    )
}

/// A copy of a record and a copy of the root are damaged. The opening repairs them.
fn mended(simulation: &Simulation) -> Exploration {
    let simulation = simulation.clone().prepared(|medium| {
        let (mut store, _) = options().create_new(medium).unwrap();
        work(&mut store, &REUSE[..2], 0, |_| ()).unwrap();
        // The record after the base of 64 bytes, and the root.
        for at in [20_480 + 64 + 48, 20_480 + 64 + 120, 4096 + 48] {
            medium.write(at, &[0xa5; 8]);
        }
    });
    simulation.explore(
        |medium, notes| {
            let (mut store, opened) = later().open(medium).unwrap();
            assert_eq!(opened.mended.len(), 2);
            notes.add(Note::Committed(2));
            work(&mut store, &REUSE[..3], 2, |note| notes.add(note)).unwrap();
        },
        |medium, notes| {
            if notes.is_empty() { Ok(()) } else { with_one_mirror(REUSE, 2)(medium, notes) }
        },
    )
}

/// Judges what a crash left of a life.
type Recovery<'r> = &'r (dyn Fn(&SimMedium, &[Note]) -> Result<(), Violation> + Sync);

/// A process is killed after this number of operations. Another one opens the store, reads it and commits. Then the
/// power fails.
fn killed_and_gone_on(
    simulation: &Simulation,
    kill: u64,
    life: Life,
    recovery: Recovery<'_>,
) -> Exploration {
    with(simulation, &life[..1]).explore(
        |medium, notes| {
            notes.add(Note::Begun(2));
            let mortal = medium.mortal(kill);
            let died = later()
                .open(&mortal)
                .map_err(|failed| failed.error)
                .and_then(|(mut store, _)| work(&mut store, &life[..2], 1, |_| ()));
            assert!(matches!(
                died.as_ref().map_err(Error::kind),
                Ok(()) | Err(ErrorKind::Format(FormatError::Medium(Killed) | FormatError::Failed))
            ));
            // The process is killed even if it completed all operations.
            medium.killed();

            let (mut store, _) = options().open(medium).unwrap();
            let found = blobs(&store).unwrap();
            let done = (1..=2).find(|number| after(life, *number) == found).unwrap();
            notes.add(Note::Committed(done));
            work(&mut store, &life[..=done], done, |note| notes.add(note)).unwrap();
        },
        recovery,
    )
}

/// The minimum number of operations in these lives.
const OPERATIONS: u64 = 40;

/// Kills the process after each operation. Returns the first failure, or the last exploration.
fn killed_anywhere(simulation: &Simulation, recovery: Recovery<'_>) -> Exploration {
    let explore = |at| killed_and_gone_on(simulation, at, REUSE, recovery);
    let mut explorations = (0..OPERATIONS).map(explore);
    let failed = explorations.find(|exploration| exploration.failure.is_some());
    failed.unwrap_or_else(|| explore(OPERATIONS))
}

/// An abandoned transaction changes nothing, and the next ones succeed.
fn given_up(simulation: &Simulation) -> Exploration {
    with(simulation, &REUSE[..2]).explore(
        |medium, notes| {
            let (mut store, _) = options().open(medium).unwrap();
            let mut given_up = store.begin().unwrap();
            given_up.put("a", &[9; 200]).unwrap();
            let abandoned = given_up.put_with("z", 300, |writer| {
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

/// Crashes only during the workload: other tests crash recovery.
fn uncut(model: Model) -> Simulation {
    uncut_with(model, BYTES)
}

fn uncut_with(model: Model, bytes: u64) -> Simulation {
    Simulation::new(model, bytes).crashes_in_recovery(0).effort(EFFORT)
}

/// The neutral model has every crash of x86 and arm64, as a test of the simulator shows. A tag depends on all words of
/// its record, so no two states look the same. The test tries those near the oldest and the latest one, and some random
/// ones.
#[test]
fn a_crash_leaves_what_was_before_or_what_is_after() {
    for effort in [EFFORT, Effort::Random { states: 10, seed: 5 }] {
        let with_effort =
            |bytes| Simulation::new(Model::NEUTRAL, bytes).crashes_in_recovery(0).effort(effort);
        let simulation = with_effort(BYTES);
        let mut recoveries = 0;
        for exploration in [
            creation(&simulation),
            explore(&simulation, SEVERAL, 0),
            explore(&simulation, REUSE, 1),
            explore(&simulation, UNDONE, 0),
            given_up(&simulation),
            sealed(&simulation),
            grown(&simulation),
            explore(&with_effort(WIDE_BYTES), WIDE, 1),
            shrunk(&with_effort(PEAK_BYTES)),
            compacted(&simulation, recovery(AGAIN, Some(1))),
            compacted(&simulation, with_one_mirror(AGAIN, 1)),
            compacted(&simulation, without_the_newest_root),
            mended(&simulation),
            mirrored(&simulation),
        ] {
            exploration.assert_safe();
            let mut never =
                exploration.waste.iter().filter(|(kind, ..)| *kind == Kind::NeverPersisted);
            assert_eq!(never.next(), None);
            recoveries += exploration.recoveries;
        }
        assert!(recoveries >= 500, "{recoveries} recoveries");
    }
}

/// The states of lines are too many to try all.
#[test]
fn blobs_of_every_size_are_there_before_their_commit() {
    for model in [Model::NEUTRAL, Model::PAGES] {
        let simulation = Simulation::new(model, BOUNDS_BYTES).crashes_in_recovery(0);
        for seed in 1..=BOUNDS.len() {
            let effort = Effort::Random { states: 4, seed: seed as u64 };
            explore(&simulation.clone().effort(effort), &BOUNDS[..seed], seed - 1).assert_safe();
        }
    }
}

fn is_right(model: Model) {
    let simulation = uncut(model);
    explore(&simulation, SEVERAL, 0).assert_safe();
    explore(&simulation, REUSE, 1).assert_safe();
    sealed(&simulation).assert_safe();
    killed_anywhere(&simulation, &recovery(REUSE, Some(1))).assert_safe();
    explore(&uncut_with(model, WIDE_BYTES), WIDE, 1).assert_safe();
    shrunk(&uncut_with(model, PEAK_BYTES)).assert_safe();
    compacted(&simulation, recovery(AGAIN, Some(1))).assert_safe();
    mended(&simulation).assert_safe();
    mirrored(&simulation).assert_safe();
}

#[test]
fn it_is_right_where_caches_are_persistent() {
    is_right(Model::X86_EADR);
}

#[test]
fn it_is_right_on_pages() {
    is_right(Model::PAGES);
}

#[test]
fn it_is_right_where_caches_are_kept() {
    is_right(Model::CACHES_KEPT);
}

/// A thread reads beside the thread that commits and compacts. It finds every commit whole, and never an older one.
fn read_beside(simulation: &Simulation) -> Exploration {
    with(simulation, &AGAIN[..1]).explore(
        |medium, notes| {
            let (store, _) = later().open(medium).unwrap();
            let store = Mutex::new(store);
            let write = || {
                let commit = |store: &mut _| work(store, AGAIN, 1, |note| notes.add(note)).unwrap();
                store.with_mut(commit);
            };
            let read = || {
                let mut reader = Reader::open(medium).unwrap();
                let mut last = 0;
                for _ in 0..3 {
                    last = commits_found(&reader, last);
                    reader.refresh().unwrap();
                }
            };
            medium.run_threads(&[&write, &read]);
        },
        recovery(AGAIN, Some(1)),
    )
}

/// Returns the number of transactions after which a reader reads, which is at least `least`.
fn commits_found(reader: &Reader<&SimMedium>, least: usize) -> usize {
    let names = reader.entries().map(|entry| entry.unwrap().0.name);
    let load = |name: Name| match reader.load(&name).map_err(ErrorKind::from) {
        Err(ErrorKind::Replaced) => None,
        loaded => Some((name.to_string(), loaded.unwrap())),
    };
    let found: Vec<_> = names.map(load).collect();
    let is_after = |number: &usize| {
        let blobs = after(AGAIN, *number);
        let is_in = |blob: &Option<(String, Vec<u8>)>| {
            blob.as_ref().is_none_or(|(name, bytes)| blobs.get(name) == Some(bytes))
        };
        blobs.len() == found.len() && found.iter().all(is_in)
    };
    (least..=AGAIN.len()).find(is_after).unwrap()
}

#[test]
fn a_thread_that_reads_beside_the_writer_finds_whole_commits_in_order() {
    let exploration = read_beside(&uncut(Model::X86).preemptions(1));
    exploration.assert_safe();
    assert!(exploration.schedules > 100, "{exploration}");
}

/// An opening writes too, and can crash like the commit before it.
fn cut_twice(simulation: &Simulation) -> Exploration {
    explore(&simulation.clone().effort(EFFORT), &REUSE[..2], 1)
}

fn is_safe_if_an_opening_is_cut_off(model: Model) {
    let exploration = cut_twice(&Simulation::new(model, BYTES));
    exploration.assert_safe();
    // Crashes of the workload only are fewer.
    let once = explore(&uncut(model), &REUSE[..2], 1);
    assert!(exploration.crashes > once.crashes, "{exploration}; {once}");
}

// One test for each model: they run at the same time, and take longer than all others.
#[test]
fn an_opening_that_is_cut_off_leaves_what_the_next_one_needs() {
    is_safe_if_an_opening_is_cut_off(Model::X86);
}

#[test]
fn an_opening_that_is_cut_off_in_the_neutral_model_leaves_what_the_next_one_needs() {
    is_safe_if_an_opening_is_cut_off(Model::NEUTRAL);
}

/// Each scenario must be safe before anything is omitted, including kills at every operation and crashes during
/// recovery. The fast ones come first, since a mutant is tried until one of them fails.
#[test]
#[ignore = "mutation takes half a minute: cargo test -- --ignored"]
fn no_write_back_and_no_fence_can_be_left_out() {
    let uncut = |setting: &Setting| setting.simulation(BYTES).crashes_in_recovery(0).effort(EFFORT);
    let wide =
        |setting: &Setting| setting.simulation(PEAK_BYTES).crashes_in_recovery(0).effort(EFFORT);
    let mut mutation = Mutation::new().only_in("crates/store/src");
    for weakening in [
        Weakening::NoWriteback,
        Weakening::FirstLineOnly,
        Weakening::NotTheFirstLine,
        Weakening::NoFence,
    ] {
        let source = "done = done.and(self.medium.deep_persist(range));";
        let reason = "the log is durable already: it is made deeper, which `region_seals` shows";
        mutation = mutation.equivalent("src/append.rs", source, weakening, &[], reason);
    }
    let source = "self.medium.fence().map_err(Error::medium)?;";
    let reason = "it is for a log whose end, but not its beginning, is overwritten before the next record, and whose \
                  newer root is lost in both copies";
    mutation = mutation.equivalent("src/append.rs", source, Weakening::NoFence, &[], reason);
    let source = "drop(self.store.medium.fence());";
    let reason = "it is for another thread that writes there next, which `given_back` shows";
    mutation = mutation.equivalent("src/transaction.rs", source, Weakening::NoFence, &[], reason);
    let survivors = mutation.run(&[
        &|setting: &Setting| explore(&uncut(setting), SEVERAL, 0),
        &|setting: &Setting| explore(&uncut(setting), REUSE, 1),
        &|setting: &Setting| compacted(&uncut(setting), with_one_mirror(AGAIN, 1)),
        &|setting: &Setting| compacted(&uncut(setting), without_the_newest_root),
        &|setting: &Setting| shrunk(&wide(setting)),
        &|setting: &Setting| mended(&uncut(setting)),
        &|setting: &Setting| mirrored(&uncut(setting)),
        &|setting: &Setting| sealed(&uncut(setting)),
        &|setting: &Setting| creation(&uncut(setting)),
        &|setting: &Setting| killed_anywhere(&uncut(setting), &recovery(REUSE, Some(1))),
        &|setting: &Setting| killed_anywhere(&uncut(setting), &with_one_mirror(REUSE, 1)),
        &|setting: &Setting| cut_twice(&setting.simulation(BYTES)),
        &|setting: &Setting| region_crashes::dropped_elsewhere(&setting.simulation(REGION_BYTES)),
        &|setting: &Setting| region_crashes::sealed(&setting.simulation(REGION_BYTES)),
        &|setting: &Setting| region_crashes::created(&setting.simulation(REGION_BYTES)),
    ]);
    println!("{survivors}");
    survivors.assert_none();
}

/// The root has a file of its own, which the journal and the recorder share.
#[test]
#[ignore = "mutation takes half a minute: cargo test -- --ignored"]
fn no_write_back_and_no_fence_of_a_root_can_be_left_out() {
    let uncut = |setting: &Setting| setting.simulation(BYTES).crashes_in_recovery(0).effort(EFFORT);
    let survivors = Mutation::new().only_in("crates/format/src/root").run(&[
        &|setting: &Setting| creation(&uncut(setting)),
        &|setting: &Setting| compacted(&uncut(setting), without_the_newest_root),
        &|setting: &Setting| mended(&uncut(setting)),
        &|setting: &Setting| compacted(&uncut(setting), with_one_mirror(AGAIN, 1)),
        &|setting: &Setting| killed_anywhere(&uncut(setting), &recovery(REUSE, Some(1))),
    ]);
    println!("{survivors}");
    survivors.assert_none();
}
