//! Crashes during creation and opening, and the state of the recording, its texts and the earlier content afterwards.

use super::Note::{self, Begun, Opened};
use super::{BYTES, Outcome, claim_second, judge, last, open, options, work};
use cachemaint::medium::{Medium, Readable};
use cachemaint_recorder::{
    Clock, Durability, ErrorKind, FormatError, Found, Identity, Options, Reader, SkippedKind,
};
use cachemaint_sim::{Exploration, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering;

/// The offsets of the roots.
const ROOTS: [u64; 4] = [0, 4096, 8192, 12288];

const fn is_foreign<E>(kind: &ErrorKind<E>) -> bool {
    matches!(kind, ErrorKind::Format(FormatError::Foreign { .. })) && !is_missing(kind)
}

/// Returns true if the roots' places have zeros.
const fn is_missing<E>(kind: &ErrorKind<E>) -> bool {
    matches!(kind, ErrorKind::Format(FormatError::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0], .. }))
}

/// The remains of a recording with more openings than a new one and two full sub-buffers. Other words replace the
/// magics.
fn with_remains(simulation: &Simulation, magic: u64) -> Simulation {
    simulation.clone().prepared(|medium| {
        // A clock of its own, so that both lines of a root differ from those of the new one.
        let options = || {
            let clock = Clock::from_function(|| 0, 2, || 0);
            let options = Options::with_clock(Identity([1; 16]), clock);
            options.shards(2).sub_buffers(2).sub_buffer_size(256)
        };
        let other = options().create_new(medium).unwrap().0;
        let _second = claim_second(&other);
        work(&other, 0..3, |_note| {}).unwrap();
        drop(options().open(medium).unwrap());
        for at in ROOTS {
            medium.store(at, magic, Ordering::Relaxed);
        }
    })
}

/// Checks that a new recording whose creation was acknowledged exists, without traces of the earlier content.
fn judge_creation(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    let reader = match Reader::open(medium) {
        Ok(reader) => reader,
        Err(error) => {
            let is_missing = is_missing(error.error.kind());
            return if is_missing && notes.is_empty() { Ok(()) } else { Err(error.into()) };
        }
    };
    let description = reader.description();
    let openings = last(notes, |note| if let Opened(number) = note { Some(*number) } else { None });
    let is_it = description.identity == Identity([0xa5; 16])
        && description.generation >= openings.unwrap_or(1);
    Violation::unless(is_it, || format!("{description:?} after {openings:?} openings"))?;
    // A torn header of a sub-buffer is reported as damage.
    let is_undamaged =
        notes.contains(&Begun(0)) || (0..2).all(|shard| damaged(&reader, shard) == 0);
    Violation::unless(is_undamaged, || "something of the recording before is left".to_owned())?;
    judge(medium, notes, Durability::EachAppend)
}

/// Returns the number of bytes of a shard that are reported as damaged.
fn damaged<S: Readable>(reader: &Reader<S>, shard: u32) -> u64 {
    let (mut buffer, mut found, mut bytes) = ([0; 168], reader.shard(shard), 0);
    while let Some(found) = found.read_next(&mut buffer).unwrap() {
        if let Found::Skipped(skipped) = found {
            bytes += if skipped.kind == SkippedKind::Damaged { skipped.len } else { 0 };
        }
    }
    bytes
}

/// A new recording replaces an erased one, and exists from then on, whatever happens in an opening. An earlier program
/// has zeroed the first words of the sub-buffers, but only in the caches.
pub(super) fn over_remains(simulation: &Simulation) -> Exploration {
    with_remains(simulation, 0).explore(
        |medium, notes: &Notes<'_, Note>| {
            for at in (5 * 4096..BYTES).step_by(256) {
                medium.store(at, 0, Ordering::Relaxed);
            }
            drop(options(Durability::EachAppend).open_or_create(medium).unwrap().0);
            notes.add(Opened(1));
            let recorder = open(medium, Durability::EachAppend).unwrap().0;
            notes.add(Opened(2));
            work(&recorder, 0..1, |note| notes.add(note)).unwrap();
        },
        |medium: &SimMedium, notes| judge_creation(medium, notes),
    )
}

/// An erased recording is replaced. A crash happens between creation and opening, and another in the opening.
pub(super) fn then_a_crash(simulation: &Simulation) -> Exploration {
    with_remains(simulation, 0).explore(
        |medium, notes: &Notes<'_, Note>| {
            drop(options(Durability::EachAppend).open_or_create(medium).unwrap().0);
            notes.add(Opened(1));
        },
        |medium: &SimMedium, notes| {
            judge_creation(medium, notes)?;
            if !notes.is_empty() {
                open(medium, Durability::EachAppend)?;
            }
            Ok(())
        },
    )
}

/// A creation in place of another program's content leaves that content either unchanged or gone.
pub(super) fn over_foreign_content(simulation: &Simulation) -> Exploration {
    let foreign = with_remains(simulation, 0xf0f0);
    let before = words(&foreign.medium());
    foreign.explore(
        |medium, notes: &Notes<'_, Note>| {
            drop(options(Durability::EachAppend).create_new(medium).unwrap().0);
            notes.add(Opened(1));
        },
        |medium: &SimMedium, notes| {
            let opened = Reader::open(medium).map(drop);
            let is_foreign = opened.is_err_and(|error| is_foreign(error.error.kind()));
            if !is_foreign {
                return judge_creation(medium, notes);
            }
            let is_as_before = words(medium)
                .iter()
                .zip(&before)
                .all(|(now, before)| now == before || (*before == 0xf0f0 && *now == 0));
            let is_unknown = notes.is_empty() && is_as_before;
            Violation::unless(is_unknown, || "a part of the foreign content is left".to_owned())
        },
    )
}

fn words<M: Medium>(medium: &M) -> Vec<u64> {
    (0..BYTES).step_by(8).map(|at| medium.load(at, Ordering::Relaxed)).collect()
}

/// A new file. Whatever a crash leaves is opened or created, again after each further crash. The texts of events are
/// persistent with the recording.
pub(super) fn in_zeros(simulation: &Simulation) -> Exploration {
    fn create(medium: &SimMedium) -> Outcome<&SimMedium> {
        options(Durability::EachAppend).events(&[(0, "a")]).open_or_create(medium)
    }
    simulation.explore(
        |medium, notes: &Notes<'_, Note>| {
            drop(create(medium).unwrap().0);
            notes.add(Opened(1));
        },
        |medium: &SimMedium, notes| {
            drop(create(medium)?);
            judge_creation(medium, notes)?;
            let is_damaged = Reader::open(medium)?.event_table().unwrap().is_damaged();
            Violation::unless(!is_damaged, || "the texts are damaged".to_owned())
        },
    )
}
