//! Interrupted creations, and media on which a journal is opened or created.

use crate::claims::reason;
use crate::life::{BYTES, Do, Note, apply, expected, judge, options, payload, records};
use cachemaint::medium::{Medium, Readable as _};
use cachemaint_journal::{Error, ErrorKind, FormatError, Opened, Options, Reader};
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// The offsets of the magics, according to the documentation of the format.
const MAGICS: [u64; 4] = [0, 4096, 8192, 12288];

/// An earlier journal in the same place, with an identity of its own.
fn earlier() -> Options {
    Options::with_entropy([3, 4]).segment(128)
}

fn zeros() -> SimMedium {
    Simulation::new(Model::X86, BYTES).zeros().medium()
}

fn image(medium: &SimMedium) -> Vec<u8> {
    let mut image = vec![0; cachemaint::medium::Readable::len(medium) as usize];
    medium.read(0, &mut image).unwrap();
    image
}

/// Opens or creates the journal, which must succeed, and judges it.
fn opened_or_created(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    let (journal, Opened { recovered, .. }) = options().open_or_create(medium)?;
    let records = records(&journal)?;
    let is_counted = recovered.records == records.len() as u64;
    Violation::unless(is_counted, || format!("{recovered:?} of {}", records.len()))?;
    judge(&records, notes)
}

/// Does the same on a medium with other content, which can remain until the creation is acknowledged, and which can be
/// overwritten.
fn opened_or_created_anew(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    if expected(notes).is_created {
        return opened_or_created(medium, notes);
    }
    let opened = options().open_or_create(medium);
    match reason(&opened) {
        Some(ErrorKind::Format(FormatError::Foreign { .. } | FormatError::Roots)) => {
            // Parts of the earlier content can reappear.
            for at in MAGICS {
                medium.store(at, 0, Relaxed);
            }
            options().create_new(medium)?;
        }
        // An earlier journal whose newest root is overwritten.
        Some(ErrorKind::Damaged(_)) => {}
        _ => drop(opened?),
    }
    Ok(())
}

/// A process creates a journal and appends to it.
fn create(medium: &SimMedium, notes: &Notes<'_, Note>) {
    let (journal, _) = options().create_new(medium).unwrap();
    notes.add(Note::Created);
    apply(&journal, Do::Append(0), |note| notes.add(note)).unwrap();
}

/// A process creates a journal by an opening, and appends to it.
fn open_or_create(medium: &SimMedium, notes: &Notes<'_, Note>) {
    let (journal, Opened { recovered, .. }) = options().open_or_create(medium).unwrap();
    assert_eq!((recovered.records, recovered.end.0), (0, 0));
    notes.add(Note::Created);
    apply(&journal, Do::Append(0), |note| notes.add(note)).unwrap();
}

/// A journal is erased as the documentation says, but nothing makes that durable before another journal is created.
pub(crate) fn created_again(simulation: &Simulation) -> Exploration {
    let simulation = simulation.clone().prepared(|medium| {
        earlier().create_new(medium).unwrap().0.append(b"earlier").unwrap();
        // In the other slots.
        drop(earlier().open(medium).unwrap());
    });
    simulation.explore(
        |medium, notes| {
            for at in MAGICS {
                medium.store(at, 0, Relaxed);
            }
            medium.killed();
            create(medium, notes);
        },
        opened_or_created_anew,
    )
}

#[test]
fn a_journal_is_created_once_and_opened_afterwards() {
    let medium = zeros();
    for count in 0..3 {
        let (journal, Opened { recovered, .. }) = options().open_or_create(&medium).unwrap();
        assert_eq!(recovered.records, count);
        journal.append(&payload(count)).unwrap();
    }
    assert!(matches!(
        reason(&options().create_new(&medium)),
        Some(ErrorKind::Format(FormatError::Exists))
    ));
    let (journal, _) = options().open(&medium).unwrap();
    let found = records(&journal).unwrap().into_iter().map(|record| record.payload);
    assert!(found.eq((0..3).map(payload)));
}

#[test]
fn other_bytes_are_overwritten_by_a_creation_alone() {
    for places in [&MAGICS[..1], &MAGICS[1..2], &MAGICS[3..], &MAGICS[..]] {
        let medium = zeros();
        for at in places {
            medium.write(*at, b"LUKS\xba\xbe\0\x02");
        }
        let before = image(&medium);
        let refused = options().open_or_create(&medium).map(drop);
        let found = *b"LUKS\xba\xbe\0\x02";
        assert!(
            matches!(reason(&refused), Some(ErrorKind::Format(FormatError::Foreign { found: it, .. })) if *it == found)
        );
        assert!(image(&medium) == before);
        options().create_new(&medium).unwrap().0.append(b"first").unwrap();
        let (_, Opened { recovered, .. }) = options().open_or_create(&medium).unwrap();
        assert_eq!(recovered.records, 1);
    }
}

/// A store and a journal are not created over each other.
#[test]
fn a_store_is_not_overwritten() {
    use cachemaint_store::{self as store, Reader};
    let medium = Simulation::new(Model::X86, 1 << 16).zeros().medium();
    let (mut store, _) = store::Options::with_entropy([1, 2]).create_new(&medium).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("blob", b"kept").unwrap();
    transaction.commit().unwrap();
    drop(store);
    for refused in [
        options().create_new(&medium).map(drop),
        options().open(&medium).map(drop),
        options().open_or_create(&medium).map(drop),
    ] {
        let kind = reason(&refused);
        assert!(matches!(kind, Some(ErrorKind::Format(FormatError::Foreign { .. }))));
    }
    assert!(Reader::open(&medium).unwrap().blob("blob").is_ok());
    // With one copy of its root it still opens.
    let [.., last] = MAGICS;
    MAGICS.into_iter().filter(|at| *at != last).for_each(|at| medium.store(at, 0, Relaxed));
    assert!(matches!(
        reason(&options().create_new(&medium)),
        Some(ErrorKind::Format(FormatError::Foreign { .. }))
    ));
    assert!(Reader::open(&medium).unwrap().blob("blob").is_ok());
}

/// The medium of a refused opening can be used again.
#[test]
fn a_refused_opening_gives_its_medium_back() {
    let refused = options().open(zeros()).unwrap_err();
    let (journal, Opened { recovered, .. }) =
        options().open_or_create(refused.into_medium()).unwrap();
    assert_eq!(recovered.records, 0);
    journal.append(b"kept").unwrap();
    let small = Simulation::new(Model::X86, 8192).zeros().medium();
    let refused = options().create_new(small).unwrap_err();
    assert!(matches!(
        refused.error.kind(),
        ErrorKind::Format(FormatError::TooSmall { size: 8192, .. })
    ));
    let refused = options().open(refused.into_medium()).unwrap_err();
    assert!(matches!(
        refused.error.kind(),
        ErrorKind::Format(FormatError::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0] })
    ));
    let refused = Reader::open(refused.into_medium()).unwrap_err();
    assert_eq!(cachemaint::medium::Readable::len(&refused.into_medium()), 8192);
}

/// Checks each kind of `std::io::Error` against its documentation.
#[test]
fn an_error_is_one_of_the_standard_library_with_itself_inside() {
    let kind = |error: std::io::Error| {
        assert!(error.get_ref().unwrap().is::<Error<cachemaint_sim::BadBlock>>());
        error.kind()
    };
    let medium = zeros();
    let missing = options().open(&medium).map(drop).map_err(Into::into);
    assert_eq!(kind(missing.unwrap_err()), std::io::ErrorKind::NotFound);
    let (journal, _) = options().create_new(&medium).unwrap();
    let exists = options().create_new(&medium).map(drop).map_err(Into::into);
    assert_eq!(kind(exists.unwrap_err()), std::io::ErrorKind::AlreadyExists);
    let full = (0..100).find_map(|_| journal.append(b"record").err()).unwrap();
    assert_eq!(kind(full.into()), std::io::ErrorKind::StorageFull);
    for slot in MAGICS {
        medium.store(slot + 64, 7, Relaxed);
    }
    let damaged = options().open(&medium).map(drop).map_err(Into::into);
    assert_eq!(kind(damaged.unwrap_err()), std::io::ErrorKind::InvalidData);
}

/// Explorations, which take minutes under an emulator.
mod crashes {
    use super::{create, created_again, open_or_create, opened_or_created, opened_or_created_anew};
    use crate::life::BYTES;
    use cachemaint_sim::{Effort, Model, Simulation};

    const MODELS: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

    #[test]
    fn a_crash_in_a_creation_leaves_nothing_or_a_journal() {
        for model in MODELS {
            let few = Effort::Deviations(2);
            let junk = Simulation::new(model, BYTES).effort(few).crashes_in_recovery(0);
            let zeros = junk.clone().zeros();
            for exploration in [
                zeros.explore(create, opened_or_created),
                zeros.explore(open_or_create, opened_or_created),
                junk.explore(create, opened_or_created_anew),
                created_again(&junk),
            ] {
                exploration.assert_safe();
            }
        }
    }

    /// The crash can also hit the opening that finds the first root and writes the second one.
    #[test]
    fn a_crash_in_a_creation_after_a_crash_in_a_creation_leaves_nothing_or_a_journal() {
        for model in MODELS {
            let few = Effort::Deviations(1);
            let junk = Simulation::new(model, BYTES).effort(few).crashes_in_recovery(1);
            let zeros = junk.clone().zeros();
            zeros.explore(open_or_create, opened_or_created).assert_safe();
            junk.explore(create, opened_or_created_anew).assert_safe();
            created_again(&junk).assert_safe();
        }
    }
}
