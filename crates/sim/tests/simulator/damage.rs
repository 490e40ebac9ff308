//! Damage that a crash leaves: each kind, its places and its message, worked out by hand.

use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::{
    BadBlock, Cause, Damage, DamageKind, Exploration, Histories, Life, Model, Notes, SimMedium,
    Simulation, Structure, Violation,
};
use core::cell::Cell;
use core::sync::atomic::Ordering::Relaxed;
use std::collections::BTreeSet;
use std::sync::Mutex;

const BLOCK: u64 = 512;
const BAD: DamageKind = DamageKind::BadBlock { bytes: BLOCK };
const LOST: DamageKind = DamageKind::LostSector { bytes: BLOCK };

/// Words in three blocks; the third is empty.
const A: u64 = 0;
const B: u64 = BLOCK;
const BYTES: u64 = 3 * BLOCK;

fn set(medium: &SimMedium, at: u64, word: u64) {
    medium.store(at, word, Relaxed);
    medium.persist(at..at + 8).unwrap();
}

/// A first and a second value of A, the second of which is acknowledged, and then one of B beside it.
fn replace(medium: &SimMedium, notes: &Notes<'_, u64>) {
    for word in 1..=2 {
        set(medium, A, word);
        notes.add(word);
    }
    medium.store(A + 64, 3, Relaxed);
    medium.issue_writeback(A + 64..A + 72).unwrap();
    medium.fence().unwrap();
}

/// The words at A, after it and at B: `None` cannot be read.
type Found = [Option<u64>; 3];

/// Returns what recovery finds with each damage, once both values of A are acknowledged.
fn found(kinds: &[DamageKind], model: Model) -> BTreeSet<(String, Found)> {
    let simulation = Simulation::new(model, BYTES).zeros().prepared(|medium| set(medium, B, 7));
    let simulation = kinds.iter().fold(simulation, |simulation, kind| simulation.damage(*kind));
    let found = Mutex::new(BTreeSet::new());
    let explored = simulation.explore(replace, |medium, notes| {
        let words = [A, A + 64, B].map(|at| medium.try_load(at, Relaxed).ok());
        let damage = medium.damage().map_or(String::new(), |damage| damage.to_string());
        if notes.len() == 2 {
            found.lock().unwrap().insert((damage, words));
        }
        Ok(())
    });
    explored.assert_safe();
    assert!(explored.is_exhaustive());
    found.into_inner().unwrap()
}

const LINES: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

/// Returns the damage, the word at A, and the word at B, each with every word that a crash may leave beside A.
fn with(damage: &str, a: Option<u64>, b: Option<u64>) -> [(String, Found); 2] {
    [0, 3].map(|beside| (damage.into(), [a, a.map(|_| beside), b]))
}

#[test]
fn a_bad_block_takes_its_bytes_and_no_others() {
    for model in LINES {
        let mut expected: BTreeSet<_> = with("", Some(2), Some(7)).into();
        expected.insert(("bad block 0x0..0x200".into(), [None, None, Some(7)]));
        expected.extend(with("bad block 0x200..0x400", Some(2), None));
        assert_eq!(found(&[BAD], model), expected, "{model}");
    }
}

/// A sector that is written again at the crash: its last value that was persistent is gone. That of B was not written, and
/// after the last fence no sector is.
#[test]
fn a_lost_sector_has_the_content_before_its_last_one() {
    for model in LINES {
        let mut expected: BTreeSet<_> = with("", Some(2), Some(7)).into();
        expected.insert(("lost sector 0x0..0x200".into(), [Some(1), Some(0), Some(7)]));
        assert_eq!(found(&[LOST], model), expected, "{model}");
    }
}

#[test]
fn a_flipped_word_differs_in_one_bit() {
    for model in LINES {
        let found = found(&[DamageKind::FlippedWord], model);
        let intact: BTreeSet<_> = with("", Some(2), Some(7)).into();
        assert!(found.is_superset(&intact), "{model}: {found:?}");
        let mut places = BTreeSet::new();
        for (damage, words) in found.difference(&intact) {
            let differs = |intact: &Found| {
                let pairs = words.iter().zip(intact);
                let bits = |(word, intact): (&Option<u64>, &Option<u64>)| {
                    (word.unwrap() ^ intact.unwrap()).count_ones()
                };
                pairs.map(bits).sum::<u32>() == 1
            };
            assert!(intact.iter().any(|(_, words)| differs(words)), "{model}: {damage}: {words:?}");
            places.insert(damage.clone());
        }
        let words = ["0x0..0x8", "0x40..0x48", "0x200..0x208"];
        assert_eq!(places, words.map(|word| format!("flipped word {word}")).into());
    }
}

#[test]
fn several_kinds_come_one_at_a_time() {
    let of_each = |kind| found(&[kind], Model::X86);
    let each = &(&of_each(BAD) | &of_each(LOST)) | &of_each(DamageKind::FlippedWord);
    assert_eq!(found(&[BAD, LOST, DamageKind::FlippedWord], Model::X86), each);
}

/// A structure of two copies, which recovery repairs. A second damage would destroy the other copy.
#[test]
fn there_is_one_damage_in_all_crashes() {
    let read = |medium: &SimMedium| {
        let copies = [A, B].map(|at| medium.try_load(at, Relaxed));
        let whole = copies.iter().flatten().find(|word| **word == 7);
        let mend = |at| set(medium, at, 7);
        if whole.is_some() {
            [A, B].into_iter().for_each(mend);
        }
        whole.is_some()
    };
    for kind in [BAD, DamageKind::FlippedWord] {
        let simulation = Simulation::new(Model::X86, BYTES).zeros().damage(kind);
        let explored = simulation
            .prepared(|medium| [A, B].into_iter().for_each(|at| set(medium, at, 7)))
            .explore(
                |medium, _notes| set(medium, 2 * BLOCK, 1),
                |medium, _notes: &[()]| {
                    Violation::unless(read(medium), || "both copies are gone".into())
                },
            );
        explored.assert_safe();
    }
}

/// Returns the exploration of a word without a checksum, read in this way.
fn unchecked(kind: DamageKind, read: impl Fn(&SimMedium) -> Result<u64, BadBlock>) -> Exploration {
    Simulation::new(Model::X86, BYTES).zeros().damage(kind).explore(
        |medium, notes| {
            set(medium, A, 7);
            notes.add(7);
        },
        |medium, notes: &[u64]| {
            let found = read(medium)?;
            let is_right = notes.is_empty() && found == 0 || found == 7;
            Violation::unless(is_right, || format!("{found} is not 7"))
        },
    )
}

#[test]
fn the_message_names_the_damage() {
    let failure = |exploration: Exploration| *exploration.failure.unwrap();
    let flipped = failure(unchecked(DamageKind::FlippedWord, |medium| medium.try_load(A, Relaxed)));
    let damage = "flipped word 0x0..0x8".to_owned();
    assert_eq!(flipped.cause, Some(Cause::Damaged { damage }), "{flipped}");
    let text = flipped.to_string();
    assert!(text.contains("\n  the crash left a flipped word 0x0..0x8\n"), "{text}");
    assert!(text.contains("damage   flipped word 0x0..0x8"), "{text}");

    let bad = failure(unchecked(BAD, |medium| medium.try_load(A, Relaxed)));
    let text = "bytes 0x0..0x200 cannot be read: bad block";
    assert_eq!(bad.violation.text, text, "{bad}");
    // A load from memory ends the process.
    let ended = failure(unchecked(BAD, |medium| Ok(medium.load(A, Relaxed))));
    assert!(ended.violation.text.contains(text), "{ended}");
}

/// A store that is also lost without damage: the damage is not its cause.
#[test]
fn a_failure_that_needs_no_damage_is_shown_without_one() {
    let explored =
        Simulation::new(Model::X86, BYTES).zeros().damage(DamageKind::FlippedWord).explore(
            |medium, notes| {
                medium.store(A, 7, Relaxed);
                notes.add(());
                medium.persist(A..A + 8).unwrap();
            },
            |medium, notes: &[()]| {
                let found = medium.try_load(A, Relaxed)?;
                Violation::unless(notes.is_empty() || found == 7, || format!("{found}"))
            },
        );
    let failure = explored.failure.unwrap();
    assert!(matches!(failure.cause, Some(Cause::Acknowledged { .. })), "{failure}");
    assert!(!failure.to_string().contains("flipped"), "{failure}");
}

/// Two words in blocks of their own, whose damage each life notes.
struct Watched;

impl Structure for Watched {
    type Operation = ();
    type Model = (u64, Option<Damage>);

    fn operations(&self, _model: &Self::Model) -> Vec<()> {
        vec![()]
    }

    fn live(&self, life: &Life<'_, Self>) -> Result<(), Violation> {
        let (damage, (_, before)) = (life.medium.damage(), life.model());
        let is_right = before == damage || before.is_none() && !life.is_after_kill;
        Violation::unless(is_right, || format!("{damage:?} behind {before:?}"))?;
        life.note(|model| *model = (model.0 + u64::from(damage.is_some()), damage));
        while life.next().is_some() {
            for at in [A, B] {
                set(life.medium, at, 1);
            }
        }
        DAMAGED.set(DAMAGED.get().max(life.model().0));
        Ok(())
    }
}

std::thread_local! {
    /// The most lives of a history that found damage.
    static DAMAGED: Cell<u64> = const { Cell::new(0) };
}

/// A kill leaves no damage, and no second damage comes.
#[test]
fn the_damage_of_a_history_stays_as_it_is() {
    for kind in [BAD, LOST, DamageKind::FlippedWord] {
        DAMAGED.set(0);
        let simulation = Simulation::new(Model::NEUTRAL, BYTES).zeros().damage(kind);
        Histories::new(simulation).cases(300).search(&Watched).assert_safe();
        assert!(DAMAGED.get() > 1, "{kind:?}");
    }
}
