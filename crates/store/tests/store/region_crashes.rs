//! Crashes of programs that use a region.

use crate::crashes::EFFORT;
use crate::life::{bytes, later, options};
use crate::regions::{BYTES, LEAST};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint_sim::{Exploration, Model, SimMedium, Simulation, Violation};
use cachemaint_store::{Attributes, ErrorKind, Region};
use core::sync::atomic::Ordering::Relaxed;
use std::sync::Mutex;

/// The offsets of the stored words: on three lines far apart.
const WORDS: [u64; 3] = [0, 64, LEAST - 8];

fn store_words(region: &Region<&SimMedium>, value: u64) {
    for at in WORDS {
        region.store(at, value, Relaxed);
    }
}

/// Returns the words of a region, if it exists, and true if it is clean.
fn words(medium: &SimMedium) -> Result<(bool, Option<[u64; 3]>), Violation> {
    let opened = options().verify().open(medium);
    let (mut store, opened) = opened.map_err(|failed| Violation::from(failed.error))?;
    if !opened.verification.is_some_and(|found| found.damaged.is_empty()) {
        return Err(Violation::broken("a blob is damaged"));
    }
    match store.region("ram") {
        Ok(region) => {
            let words = WORDS.map(|at| region.load(at, Relaxed));
            let others = (1..LEAST / 64 - 1).filter(|line| *line != 1);
            for at in others.map(|line| line * 64 + 8) {
                if region.load(at, Relaxed) != 0 {
                    return Err(Violation::broken(format!("byte {at} is not zero")));
                }
            }
            let is_clean = !region.info().is_dirty;
            if opened.was_sealed && !is_clean {
                return Err(Violation::broken("the store is sealed, and the region is dirty"));
            }
            Ok((is_clean, Some(words)))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound { .. }) => Ok((false, None)),
        Err(error) => Err(error.into()),
    }
}

fn prepared(simulation: &Simulation, value: u64, is_sealed: bool) -> Simulation {
    let simulation = simulation.clone().effort(EFFORT);
    simulation.crashes_in_recovery(0).prepared(move |medium| {
        let (mut store, _) = options().create_new(medium).unwrap();
        let mut transaction = store.begin().unwrap();
        if is_sealed {
            // Leaves free space before the region: it is then written back separately, and otherwise together with the
            // log.
            transaction.put(Attributes::new("gap").alignment(4096), &[1; 300]).unwrap();
        }
        transaction.create_region("ram", LEAST).unwrap();
        transaction.commit().unwrap();
        if is_sealed {
            let mut transaction = store.begin().unwrap();
            transaction.delete("gap").unwrap();
            transaction.commit().unwrap();
        }
        let region = store.region("ram").unwrap();
        store_words(&region, value);
        region.persist(0..LEAST).unwrap();
        drop(region);
        if is_sealed {
            store.seal().unwrap();
        }
    })
}

/// A region is opened or created in a new store, and one word of it is persisted. The next start does the same.
fn opened_or_created(simulation: &Simulation) -> Exploration {
    let start = |medium: &SimMedium| -> Result<u64, Violation> {
        let (mut store, _) =
            options().open_or_create(medium).map_err(|failed| Violation::from(failed.error))?;
        let ram = store.region_or_create("ram", LEAST)?;
        Violation::unless(ram.len() == LEAST, || String::from("the region has another length"))?;
        let found = ram.load(64, Relaxed);
        ram.persist_copy(&[(64, &7_u64.to_le_bytes())])?;
        Ok(found)
    };
    simulation.clone().crashes_in_recovery(0).zeros().explore(
        move |medium, notes| {
            start(medium).unwrap();
            notes.add(7);
        },
        move |medium, notes| {
            let found = start(medium)?;
            Violation::unless(found == 7 || found == 0 && notes.is_empty(), || {
                format!("{found} after {notes:?}")
            })
        },
    )
}

/// Words are stored and persisted in place while blobs are committed.
fn used_in_place(simulation: &Simulation) -> Exploration {
    prepared(simulation, 1, false).explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            let region = store.region("ram").unwrap();
            for value in 2..5 {
                store_words(&region, value);
                for at in WORDS {
                    region.persist(at..at + 8).unwrap();
                }
                notes.add(value);
                let mut transaction = store.begin().unwrap();
                transaction.put("registers", &bytes(value)).unwrap();
                transaction.commit().unwrap();
            }
        },
        |medium, notes| {
            let least = notes.last().copied().unwrap_or(1);
            let (_, words) = words(medium)?;
            let words = words.ok_or_else(|| Violation::lost("the region"))?;
            if words.iter().any(|word| *word < least || *word > least + 1) {
                return Err(Violation::lost(format!("{words:?} after {least}")));
            }
            Ok(())
        },
    )
}

/// Another thread stores words between seals, without a write-back. A clean region has the words of a single moment.
pub(crate) fn sealed(simulation: &Simulation) -> Exploration {
    prepared(simulation, 1, true).explore(
        |medium, notes| {
            let (mut store, opened) = later().open(medium).unwrap();
            assert!(opened.was_sealed);
            for value in 2..4 {
                let region = Mutex::new(store.region("ram").ok());
                medium.run_threads(&[&|| {
                    let region = region.lock().unwrap().take().unwrap();
                    store_words(&region, value);
                }]);
                store.seal().unwrap();
                notes.add(value);
            }
        },
        |medium, notes| {
            let least = notes.last().copied().unwrap_or(1);
            let (is_clean, words) = words(medium)?;
            let words = words.ok_or_else(|| Violation::lost("the region"))?;
            let is_of_one_moment = words.iter().all(|word| *word == words[0]);
            let is_known = words.iter().all(|word| (least..=least + 1).contains(word));
            if !is_known || is_clean && !is_of_one_moment {
                return Err(Violation::broken(format!("{words:?}, clean: {is_clean}")));
            }
            Ok(())
        },
    )
}

/// A thread stores words and drops the region. Another one seals the store as soon as it can.
pub(crate) fn dropped_elsewhere(simulation: &Simulation) -> Exploration {
    prepared(simulation, 1, false).explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            let region = Mutex::new(store.region("ram").ok());
            let store = Mutex::new(store);
            let uses = || {
                let region = region.lock().unwrap().take().unwrap();
                store_words(&region, 2);
            };
            let seals = || {
                let mut store = store.lock().unwrap();
                while store.seal().is_err() {
                    medium.pause();
                }
                notes.add(2);
            };
            medium.run_threads(&[&uses, &seals]);
        },
        |medium, notes| {
            let (is_clean, words) = words(medium)?;
            let words = words.ok_or_else(|| Violation::lost("the region"))?;
            let is_as_sealed = words == [2; 3];
            Violation::unless(is_as_sealed || !is_clean && notes.is_empty(), || {
                format!("{words:?}, clean: {is_clean}")
            })
        },
    )
}

/// The neutral model has every crash of x86 and arm64, as a test of the simulator shows.
#[test]
fn a_seal_has_the_stores_of_a_thread_that_has_dropped_its_region() {
    let simulation = Simulation::new(Model::NEUTRAL, BYTES).effort(EFFORT);
    dropped_elsewhere(&simulation).assert_safe();
}

/// The region takes the place of a blob whose bytes are not zeros.
pub(crate) fn created(simulation: &Simulation) -> Exploration {
    let simulation = simulation.clone().crashes_in_recovery(0);
    let simulation = simulation.effort(EFFORT).prepared(|medium| {
        let (mut store, _) = options().create_new(medium).unwrap();
        let mut transaction = store.begin().unwrap();
        let attributes = Attributes::new("before").alignment(4096);
        transaction.put(attributes, &[0xa5; LEAST as usize]).unwrap();
        transaction.commit().unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.delete("before").unwrap();
        transaction.commit().unwrap();
    });
    simulation.explore(
        |medium, notes| {
            let (mut store, _) = later().open(medium).unwrap();
            let mut transaction = store.begin().unwrap();
            transaction.create_region("ram", LEAST).unwrap();
            transaction.commit().unwrap();
            notes.add(());
        },
        |medium, notes| match words(medium)?.1 {
            Some(words) if words == [0; 3] => Ok(()),
            None if notes.is_empty() => Ok(()),
            words => Err(Violation::lost(format!("{words:?}"))),
        },
    )
}

const MODELS: [Model; 5] =
    [Model::X86, Model::ARM64, Model::NEUTRAL, Model::X86_EADR, Model::PAGES];

#[test]
fn a_region_is_opened_or_created_whatever_crash_came_before() {
    for model in MODELS {
        let simulation = Simulation::new(model, BYTES).effort(EFFORT);
        opened_or_created(&simulation).assert_safe();
    }
}

#[test]
fn a_crash_leaves_what_was_persisted_in_place() {
    for model in MODELS {
        let simulation = Simulation::new(model, BYTES).effort(EFFORT);
        let explorations = [used_in_place(&simulation), sealed(&simulation), created(&simulation)];
        for exploration in explorations {
            exploration.assert_safe();
        }
    }
}
