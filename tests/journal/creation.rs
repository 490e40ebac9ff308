//! Creations that are cut off, and media on which a journal is opened or created.

use crate::claims::reason;
use crate::life::{BYTES, Do, Note, apply, expected, judge, options, payload, records};
use cachemaint::journal::{Error, ErrorKind, Journal, Options, Reader};
use cachemaint::medium::{Medium, Readable as _};
use cachemaint::sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// The places of the magics, by the documentation of the format.
const MAGICS: [u64; 2] = [0, 4096];

/// An earlier journal in the same place, which has an identity of its own.
fn earlier() -> Options<'static> {
    Options::with_entropy([3, 4]).segment(128).window(256)
}

fn zeros() -> SimMedium {
    Simulation::new(Model::X86, BYTES).zeros().medium()
}

fn image(medium: &SimMedium) -> Vec<u8> {
    let mut image = vec![0; cachemaint::medium::Readable::len(medium) as usize];
    let Ok(()) = medium.read(0, &mut image);
    image
}

/// Opens the journal or creates it, which has to succeed, and judges it.
fn opened_or_created(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    let (journal, recovered) = options().open_or_create(medium)?;
    let records = records(&journal)?;
    let is_counted = recovered.records == records.len() as u64;
    Violation::unless(is_counted, || format!("{recovered:?} of {}", records.len()))?;
    judge(&records, notes)
}

/// Does that on a medium of other bytes, which may be there until the creation is acknowledged, and can be overwritten.
fn opened_or_created_anew(medium: &SimMedium, notes: &[Note]) -> Result<(), Violation> {
    if expected(notes).is_created {
        return opened_or_created(medium, notes);
    }
    let opened = options().open_or_create(medium);
    match reason(&opened) {
        Some(ErrorKind::NotAJournal { .. } | ErrorKind::Superblocks) => {
            options().create_new(medium)?;
        }
        // A journal that was there before, of which one superblock is overwritten.
        Some(ErrorKind::Damaged(_)) => {}
        _ => drop(opened?),
    }
    Ok(())
}

/// A process creates a journal and appends to it.
fn create(medium: &SimMedium, notes: &Notes<'_, Note>) {
    let journal = options().create_new(medium).unwrap();
    notes.add(Note::Created);
    apply(&journal, Do::Append(0), |note| notes.add(note)).unwrap();
}

/// A process creates a journal by an opening, and appends to it.
fn open_or_create(medium: &SimMedium, notes: &Notes<'_, Note>) {
    let (journal, recovered) = options().open_or_create(medium).unwrap();
    assert_eq!((recovered.records, recovered.end.0), (0, 0));
    notes.add(Note::Created);
    apply(&journal, Do::Append(0), |note| notes.add(note)).unwrap();
}

/// A journal is overwritten as the documentation says, but nothing makes that durable before another one is created.
pub(crate) fn created_again(simulation: &Simulation) -> Exploration {
    let simulation = simulation.clone().prepared(|medium| {
        earlier().create_new(medium).unwrap().append(b"earlier").unwrap();
        // In the other superblock.
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
        let (journal, recovered) = options().open_or_create(&medium).unwrap();
        assert_eq!(recovered.records, count);
        journal.append(&payload(count)).unwrap();
    }
    assert!(matches!(reason(&options().create_new(&medium)), Some(ErrorKind::Exists)));
    let (journal, _) = options().open(&medium).unwrap();
    let found = records(&journal).unwrap().into_iter().map(|record| record.payload);
    assert!(found.eq((0..3).map(payload)));
}

#[test]
fn other_bytes_are_overwritten_by_a_creation_alone() {
    for places in [&MAGICS[..1], &MAGICS[1..], &MAGICS[..]] {
        let medium = zeros();
        for at in places {
            medium.write(*at, b"LUKS\xba\xbe\0\x02");
        }
        let before = image(&medium);
        let refused = options().open_or_create(&medium).map(drop);
        let found = *b"LUKS\xba\xbe\0\x02";
        assert!(
            matches!(reason(&refused), Some(ErrorKind::NotAJournal { found: it, .. }) if *it == found)
        );
        assert!(image(&medium) == before);
        options().create_new(&medium).unwrap().append(b"first").unwrap();
        let (_, recovered) = options().open_or_create(&medium).unwrap();
        assert_eq!(recovered.records, 1);
    }
}

/// A journal with records, both of whose superblocks are zeros, is not one that was never created.
#[test]
fn a_journal_without_superblocks_is_not_created_over() {
    for (laps, is_opened_again) in [(0, false), (0, true), (3, false), (3, true)] {
        let medium = zeros();
        let mut journal = options().create_new(&medium).unwrap();
        if is_opened_again {
            drop(journal);
            journal = options().open(&medium).unwrap().0;
        }
        let append = |journal: &Journal<_>| journal.append(&[7; 40]).unwrap();
        append(&journal);
        // Each record takes a segment of its own, of five.
        for _ in 0..5 * laps {
            journal.trim(journal.end()).unwrap();
            append(&journal);
        }
        drop(journal);
        for at in MAGICS {
            medium.store(at, 0, Relaxed);
        }
        let before = image(&medium);
        assert!(matches!(reason(&options().open_or_create(&medium)), Some(ErrorKind::Superblocks)));
        assert!(matches!(reason(&options().open(&medium)), Some(ErrorKind::Superblocks)));
        assert!(image(&medium) == before);
        let (journal, _) = options().repair(&medium).unwrap();
        assert_eq!(records(&journal).unwrap().last().unwrap().payload, [7; 40]);
        drop(journal);

        for at in MAGICS {
            medium.store(at, 0, Relaxed);
        }
        drop(earlier().create_new(&medium).unwrap());
        let (_, recovered) = options().open_or_create(&medium).unwrap();
        assert_eq!((recovered.records, recovered.behind), (0, 0));
    }
}

/// A creation marks the superblock at 4096 alone: the same bytes at the beginning are those of another program.
#[test]
fn the_marker_of_a_creation_counts_in_its_place_alone() {
    let medium = zeros();
    medium.write(0, b"cmcreate");
    let refused = options().open_or_create(&medium).map(drop);
    assert!(matches!(
        reason(&refused),
        Some(ErrorKind::NotAJournal { found, .. }) if found == b"cmcreate"
    ));
}

/// The overwritten range includes the superblocks and a part of the log, or the end of the medium is missing.
#[test]
fn a_journal_without_superblocks_and_some_of_its_segments_is_not_created_over() {
    let medium = zeros();
    let journal = options().create_new(&medium).unwrap();
    // Each record takes a segment of its own.
    for number in 0..4 {
        journal.append(&[number; 40]).unwrap();
    }
    drop(journal);
    let whole = image(&medium);
    let is_refused = |medium: &SimMedium| {
        let before = image(medium);
        let opened = options().open_or_create(medium);
        matches!(reason(&opened), Some(ErrorKind::Superblocks)) && image(medium) == before
    };
    for (zeros_in_log, kept) in [(64, 3), (128, 3), (3 * 128, 1)] {
        medium.write(0, &whole);
        medium.write(0, &vec![0; 8192 + zeros_in_log]);
        assert!(is_refused(&medium), "with {zeros_in_log} bytes of zeros");
        let (_, repaired) = options().repair(&medium).unwrap();
        assert_eq!(repaired.records, kept, "with {zeros_in_log} bytes of zeros");
    }
    // A second opening has left a mark in the only segment that was used.
    let medium = Simulation::new(Model::X86, 8192 + 3 * 256).zeros().medium();
    let options_of_larger = || options().segment(256).window(512);
    options_of_larger().create_new(&medium).unwrap().append(b"first").unwrap();
    drop(options_of_larger().open(&medium).unwrap());
    medium.write(0, &[0; 8192 + 64]);
    assert!(is_refused(&medium));

    let shorter = Simulation::new(Model::X86, BYTES - 128).zeros().medium();
    shorter.write(8192, &whole[8192..BYTES as usize - 128]);
    assert!(is_refused(&shorter));
}

/// The first superblock is at offset 4096, the second one at 0.
#[test]
fn a_damaged_superblock_is_not_one_that_was_never_written() {
    let medium = zeros();
    drop(options().create_new(&medium).unwrap());
    medium.store(4096 + 64, 7, Relaxed);
    assert!(matches!(reason(&options().open_or_create(&medium)), Some(ErrorKind::Superblocks)));
    assert!(matches!(reason(&options().create_new(&medium)), Some(ErrorKind::Exists)));

    // The newer one of two, by which the last epoch is known.
    let medium = zeros();
    drop(options().create_new(&medium).unwrap());
    options().open(&medium).unwrap().0.append(b"kept").unwrap();
    medium.store(0, 0, Relaxed);
    assert!(matches!(reason(&options().open_or_create(&medium)), Some(ErrorKind::Damaged(_))));
    assert!(matches!(reason(&options().create_new(&medium)), Some(ErrorKind::Exists)));
    let (_, repaired) = options().repair(&medium).unwrap();
    assert_eq!(repaired.records, 1);
}

/// A store takes the place of a journal whose superblocks were made zeros, and leaves the journal's marks where they are.
#[cfg(feature = "preserve")]
#[test]
fn a_repair_leaves_a_store_as_it_is() {
    use cachemaint::preserve::{self, Reader};
    let medium = Simulation::new(Model::X86, 1 << 16).zeros().medium();
    let journal = options().create_new(&medium).unwrap();
    while journal.append(b"record").is_ok() {}
    drop(journal);
    for at in MAGICS {
        medium.write(at, &[0; 128]);
    }
    let (mut store, _) = preserve::Options::with_entropy([1, 2]).create_new(&medium).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("blob", b"kept").unwrap();
    transaction.commit().unwrap();
    drop(store);
    let is_refused =
        |kind: Option<&ErrorKind<_>>| matches!(kind, Some(ErrorKind::NotAJournal { .. }));
    assert!(is_refused(reason(&options().repair(&medium))));
    assert!(is_refused(options().preview_repair(&medium).err().as_ref().map(Error::kind)));
    assert!(Reader::open(&medium).unwrap().blob("blob").is_ok());
    // The copies of its roots are left.
    medium.write(0, &[0; 8192]);
    assert!(is_refused(reason(&options().repair(&medium))));
    assert!(Reader::open(&medium).unwrap().blob("blob").is_ok());
}

/// The medium of a refused opening can be used again.
#[test]
fn a_refused_opening_gives_its_medium_back() {
    let refused = options().open(zeros()).unwrap_err();
    let (journal, recovered) = options().open_or_create(refused.into_medium()).unwrap();
    assert_eq!(recovered.records, 0);
    journal.append(b"kept").unwrap();
    let small = Simulation::new(Model::X86, 8192).zeros().medium();
    let refused = options().create_new(small).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::TooSmall { size: 8192, .. }));
    let refused = options().repair(refused.into_medium()).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::NotAJournal { .. }));
    let refused = Reader::open(refused.into_medium()).unwrap_err();
    assert_eq!(cachemaint::medium::Readable::len(&refused.into_medium()), 8192);
}

/// By the documentation of each kind of `std::io::Error`.
#[test]
fn an_error_is_one_of_the_standard_library_with_itself_inside() {
    let kind = |error: std::io::Error| {
        assert!(error.get_ref().unwrap().is::<Error<core::convert::Infallible>>());
        error.kind()
    };
    let medium = zeros();
    let missing = options().open(&medium).map(drop).map_err(Into::into);
    assert_eq!(kind(missing.unwrap_err()), std::io::ErrorKind::NotFound);
    let journal = options().create_new(&medium).unwrap();
    let exists = options().create_new(&medium).map(drop).map_err(Into::into);
    assert_eq!(kind(exists.unwrap_err()), std::io::ErrorKind::AlreadyExists);
    let full = (0..100).find_map(|_| journal.append(b"record").err()).unwrap();
    assert_eq!(kind(full.into()), std::io::ErrorKind::StorageFull);
    medium.store(4096 + 64, 7, Relaxed);
    let damaged = options().open(&medium).map(drop).map_err(Into::into);
    assert_eq!(kind(damaged.unwrap_err()), std::io::ErrorKind::InvalidData);
}

/// Explorations, which take minutes under an emulator.
mod crashes {
    use super::{
        MAGICS, create, created_again, earlier, open_or_create, opened_or_created,
        opened_or_created_anew,
    };
    use crate::claims::reason;
    use crate::life::{BYTES, options};
    use cachemaint::journal::{ErrorKind, Options};
    use cachemaint::medium::Medium as _;
    use cachemaint::sim::{Effort, Exploration, Killed, Model, SimMedium, Simulation};
    use core::sync::atomic::Ordering::Relaxed;

    /// A process is killed after so many operations of a creation; another one goes on; then the power fails.
    fn killed_and_gone_on(simulation: &Simulation, kill: u64) -> (Exploration, bool) {
        let finishes = core::cell::Cell::new(false);
        let exploration = simulation.explore(
            |medium, notes| {
                let mortal = medium.mortal(kill);
                let died = options().open_or_create(&mortal);
                assert!(matches!(reason(&died), None | Some(ErrorKind::Medium(Killed))));
                finishes.set(died.is_ok());
                medium.killed();
                open_or_create(medium, notes);
            },
            opened_or_created,
        );
        (exploration, finishes.get())
    }

    const MODELS: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

    #[test]
    fn a_crash_in_a_creation_leaves_nothing_or_a_journal() {
        for model in MODELS {
            let junk = Simulation::new(model, BYTES).crashes_in_recovery(0);
            let zeros = junk.clone().zeros();
            for exploration in [
                zeros.explore(create, opened_or_created),
                zeros.explore(open_or_create, opened_or_created),
                junk.explore(create, opened_or_created_anew),
                created_again(&junk),
            ] {
                exploration.assert_safe();
                assert!(exploration.is_exhaustive());
            }
        }
    }

    /// The crash comes also in the opening that finds one superblock, and writes the other one.
    #[test]
    fn a_crash_in_a_creation_after_a_crash_in_a_creation_leaves_nothing_or_a_journal() {
        let few = Effort::Deviations(2);
        for model in MODELS {
            let junk = Simulation::new(model, BYTES).effort(few).crashes_in_recovery(1);
            let zeros = junk.clone().zeros();
            zeros.explore(open_or_create, opened_or_created).assert_safe();
            junk.explore(create, opened_or_created_anew).assert_safe();
            created_again(&junk).assert_safe();
        }
    }

    #[test]
    fn a_creation_goes_on_where_a_killed_process_has_left_it() {
        for model in MODELS {
            let few = Effort::Deviations(2);
            let simulation =
                Simulation::new(model, BYTES).effort(few).crashes_in_recovery(0).zeros();
            let mut kill = 0;
            loop {
                let (exploration, finishes) = killed_and_gone_on(&simulation, kill);
                exploration.assert_safe();
                if finishes {
                    break;
                }
                kill += 1;
            }
            // Three copies are written and fenced.
            assert!(kill > 6, "{kill}");
        }
    }

    /// A journal is overwritten by a creation that is cut off after so many operations. Returns true if it went to its
    /// end.
    fn cut_off(medium: &SimMedium, kill: u64) -> bool {
        let journal = earlier().create_new(medium).unwrap();
        // Each record takes a segment of its own.
        for record in [[1; 40], [2; 40]] {
            journal.append(&record).unwrap();
        }
        drop(journal);
        for at in MAGICS {
            medium.store(at, 0, Relaxed);
        }
        // The next creation must write another mark.
        let other = Options::with_entropy([5, 6]).segment(128).window(256);
        other.create_new(medium.mortal(kill)).is_ok()
    }

    /// Each opening succeeds once the first one has, though records of an earlier journal are left behind the mark that
    /// the creations write.
    #[test]
    fn a_creation_over_an_earlier_journal_is_gone_on_with_after_each_crash() {
        let mut created = 0;
        for kill in 0.. {
            let prepared = Simulation::new(Model::ARM64, BYTES).zeros();
            let medium = prepared.medium();
            if cut_off(&medium, kill) {
                break;
            }
            if matches!(reason(&options().open_or_create(&medium)), Some(ErrorKind::Superblocks)) {
                continue;
            }
            created += 1;
            prepared
                .prepared(move |medium| assert!(!cut_off(medium, kill)))
                .effort(Effort::Deviations(2))
                .crashes_in_recovery(1)
                .explore(open_or_create, opened_or_created)
                .assert_safe();
        }
        assert!(created > 2, "{created}");
    }
}
