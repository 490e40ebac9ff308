//! Creations that a crash cuts off, in media with anything in them.

use crate::life::{BYTES, Do, Life, Note, blobs, judge, options, work};
use crate::plain::Plain;
use Do::Put;
use cachemaint::medium::Medium;
use cachemaint::preserve::{Error, ErrorKind, Identity, Options, Verify};
use core::convert::Infallible;
use core::sync::atomic::Ordering::Relaxed;

/// The places of the four headers, by the documentation of the format.
const HEADERS: [u64; 4] = [0, 4096, 8192, 12_288];

/// The life of the new store.
const NEW: Life = &[&[Put("a", 1)]];

fn put_words(medium: &impl Medium, word: impl Fn(u64) -> u64) {
    for at in HEADERS {
        medium.store(at, word(at), Relaxed);
    }
}

/// Options of another creation.
fn others() -> Options<'static> {
    Options::with_entropy([3, 4]).unit(64).verify(Verify::Always)
}

fn identity() -> Identity {
    options().create_new(plain(|_| 0)).unwrap().identity()
}

fn is_of_foreign(error: &Error<Infallible>) -> bool {
    matches!(error.kind(), ErrorKind::NotAStore { found, .. } if *found != [0; 8])
}

fn plain(words: impl Fn(u64) -> u64) -> Plain {
    let medium = Plain::new(vec![0; BYTES as usize]);
    put_words(&medium, words);
    medium
}

#[test]
fn open_or_create_opens_the_store_of_before() {
    let medium = plain(|_| 0);
    let (mut store, opened) = options().open_or_create(medium.clone()).unwrap();
    assert!(opened.is_none());
    work(&mut store, NEW, 0, |_| ()).unwrap();
    drop(store);
    let (store, opened) = others().open_or_create(medium).unwrap();
    assert!(opened.is_some());
    assert_eq!(store.identity(), identity());
    assert!(judge(NEW, &blobs(&store).unwrap(), &[Note::Committed(1)]).is_ok());
}

#[test]
fn open_or_create_refuses_foreign_bytes_and_damage_and_changes_nothing() {
    let foreign = plain(|at| if at == 8192 { u64::from_le_bytes(*b"elephant") } else { 0 });
    let damaged = plain(|at| if at == 12_288 { u64::from_le_bytes(*b"cmpresrv") } else { 0 });
    for (medium, is_store) in [(foreign, false), (damaged, true)] {
        let before = medium.bytes();
        match ErrorKind::from(options().open_or_create(medium.clone()).unwrap_err().error) {
            ErrorKind::NotAStore { found, .. } => assert!(!is_store && found == *b"elephant"),
            ErrorKind::Headers => assert!(is_store),
            error => panic!("{error}"),
        }
        let created = options().create_new(medium.clone());
        assert_eq!(
            matches!(
                created.map_err(|failed| ErrorKind::from(failed.error)),
                Err(ErrorKind::Exists)
            ),
            is_store
        );
        assert_eq!(medium.bytes() == before, is_store);
    }
}

#[test]
fn open_or_create_in_a_medium_without_room_says_how_much_is_needed() {
    for bytes in [0, 8192] {
        let error = options().open_or_create(Plain::new(vec![0; bytes])).unwrap_err();
        // By the documentation: data at 25600, and four roots of 192 bytes.
        let ErrorKind::TooSmall { size, needed, .. } = *error.error.kind() else {
            panic!("{error}")
        };
        assert_eq!((size, needed), (bytes as u64, 25_600 + 4 * 192));
    }
}

/// A journal or a recording that was created over an erased store leaves the headers of the store that lie after its
/// own superblocks.
#[cfg(all(feature = "journal", feature = "recorder"))]
#[test]
fn a_store_that_another_format_was_created_over_is_not_opened() {
    use cachemaint::{journal, recorder};

    let is_refused = |medium: Plain, found: [u8; 8]| {
        let before = medium.bytes();
        for refused in [
            options().open(medium.clone()).map(drop),
            options().open_or_create(medium.clone()).map(drop),
        ] {
            let error = ErrorKind::from(refused.unwrap_err().error);
            assert!(
                matches!(error, ErrorKind::NotAStore { found: is, .. } if is == found),
                "{error}"
            );
        }
        assert_eq!(medium.bytes(), before);
    };
    for generations in 1..=3 {
        let medium = Plain::new(vec![0; 1 << 20]);
        let mut store = options().create_new(medium.clone()).unwrap();
        for _ in 1..generations {
            store.begin().unwrap().commit().unwrap();
        }
        drop(store);
        for at in [0, 4096] {
            medium.write(at, &[0; 8]);
        }
        let over = Plain::new(medium.bytes());
        drop(journal::Options::with_entropy([1, 2]).create_new(over.clone()).unwrap());
        is_refused(over, *b"cmjournl");
        let clock = recorder::Clock::from_function(|| 0, 1, 0);
        let recording = recorder::Options::with_clock(Identity([9; 16]), clock);
        drop(recording.shards(17).create_new(medium.clone()).unwrap());
        is_refused(medium, *b"CMtRace\x1a");
    }
}

/// A creation stores its marker in the place of the magic, by the documentation of the journal.
#[cfg(all(feature = "journal", feature = "recorder"))]
#[test]
fn each_format_is_created_where_the_creation_of_a_journal_was_cut_off() {
    use cachemaint::{journal, recorder};

    let cut_off = || {
        let medium = Plain::new(vec![0; 1 << 20]);
        medium.write(4096, b"cmcreate");
        medium
    };
    drop(options().open_or_create(cut_off()).unwrap());
    drop(journal::Options::with_entropy([1, 2]).open_or_create(cut_off()).unwrap());
    let clock = recorder::Clock::from_function(|| 0, 1, 0);
    let recording = recorder::Options::with_clock(Identity([9; 16]), clock);
    drop(recording.open_or_create(cut_off()).unwrap());

    // At the beginning it is the content of another program.
    let foreign = Plain::new(vec![0; 1 << 20]);
    foreign.write(0, b"cmcreate");
    let before = foreign.bytes();
    assert!(options().open_or_create(foreign.clone()).is_err());
    let clock = recorder::Clock::from_function(|| 0, 1, 0);
    let recording = recorder::Options::with_clock(Identity([9; 16]), clock);
    assert!(recording.open_or_create(foreign.clone()).is_err());
    assert_eq!(foreign.bytes(), before);

    let missing = ErrorKind::from(options().open(cut_off()).unwrap_err().error);
    assert!(matches!(missing, ErrorKind::NotAStore { found: [0, 0, 0, 0, 0, 0, 0, 0], .. }));
    let missing = journal::ErrorKind::from(journal::Reader::open(cut_off()).unwrap_err().error);
    assert!(matches!(
        missing,
        journal::ErrorKind::NotAJournal { found: [0, 0, 0, 0, 0, 0, 0, 0], .. }
    ));
    let missing = recorder::ErrorKind::from(recorder::Reader::open(cut_off()).unwrap_err().error);
    assert!(matches!(missing, recorder::ErrorKind::NotFound));
}

/// The creation also writes to its log, where a store has two of its headers, and marks of an earlier journal can be.
#[cfg(all(feature = "journal", feature = "recorder"))]
#[test]
fn each_format_is_created_wherever_the_creation_of_a_journal_was_cut_off() {
    use cachemaint::sim::{Model, Simulation};
    use cachemaint::{journal, recorder};

    let bytes = 1 << 18;
    let with = |entropy| journal::Options::with_entropy(entropy).segment(4096).window(8192);
    let mut cut_off = 0;
    for (has_earlier, kill) in
        [false, true].into_iter().flat_map(|it| (0..64).map(move |kill| (it, kill)))
    {
        let medium = Simulation::new(Model::X86, bytes).zeros().medium();
        if has_earlier {
            let journal = with([1, 2]).create_new(&medium).unwrap();
            for _ in 0..4 {
                journal.append(&[7; 3000]).unwrap();
            }
            drop(journal);
            for at in [0, 4096] {
                medium.store(at, 0, Relaxed);
            }
        }
        if with([3, 4]).create_new(medium.mortal(kill)).is_ok() {
            continue;
        }
        let mut image = vec![0; bytes as usize];
        let Ok(()) = cachemaint::medium::Readable::read(&medium, 0, &mut image);
        if image[4096..4104] != *b"cmcreate" {
            continue;
        }
        cut_off += 1;
        let left = || Plain::new(image.clone());
        let missing = ErrorKind::from(options().open(left()).unwrap_err().error);
        assert!(
            matches!(missing, ErrorKind::NotAStore { found, .. } if found == [0; 8]),
            "{missing}"
        );
        let created = options().open_or_create(left());
        assert!(created.is_ok_and(|(_, opened)| opened.is_none()), "{has_earlier}, {kill}");
        drop(with([5, 6]).open_or_create(left()).unwrap());
        let clock = recorder::Clock::from_function(|| 0, 1, 0);
        let recording = recorder::Options::with_clock(Identity([9; 16]), clock);
        drop(recording.open_or_create(left()).unwrap());
    }
    assert!(cut_off > 6, "{cut_off}");
}

#[cfg(all(feature = "journal", feature = "recorder"))]
#[test]
fn a_format_is_not_created_over_another_one() {
    use cachemaint::{journal, recorder};

    type Create = fn(Plain) -> Result<(), String>;
    let formats: [(&str, Create); 3] = [
        ("a store", |medium| {
            options().create_new(medium).map(drop).map_err(|error| error.to_string())
        }),
        ("a journal", |medium| {
            let options = journal::Options::with_entropy([1, 2]);
            options.create_new(medium).map(drop).map_err(|error| error.to_string())
        }),
        ("a recording", |medium| {
            let clock = recorder::Clock::from_function(|| 0, 1, 0);
            let options = recorder::Options::with_clock(Identity([9; 16]), clock);
            options.create_new(medium).map(drop).map_err(|error| error.to_string())
        }),
    ];
    let pairs = formats.into_iter().flat_map(|first| formats.map(|second| (first, second)));
    for ((there, create), (wanted, create_over)) in pairs.filter(|((a, _), (b, _))| a != b) {
        let medium = Plain::new(vec![0; 1 << 20]);
        create(medium.clone()).unwrap();
        let before = medium.bytes();
        let expected = format!("the medium has {there} instead of {wanted}; open it as that, ");
        let refused = create_over(medium.clone()).unwrap_err();
        assert!(refused.starts_with(&expected), "{refused}");
        assert_eq!(medium.bytes(), before);
        // By the documentation it is replaced when its first words are erased.
        for at in [0, 4096] {
            medium.write(at, &[0; 8]);
        }
        create_over(medium).unwrap();
    }
}

/// Explorations, which take minutes under an emulator.
mod crashes {
    use super::{NEW, identity, is_of_foreign, others, put_words};
    use crate::life::{BYTES, Do, Life, Note, blobs, judge, options, work};
    use Do::{Delete, Put};
    use cachemaint::preserve::{Error, Store};
    use cachemaint::sim::mutation::{Mutation, Setting};
    use cachemaint::sim::{Effort, Exploration, Model, SimMedium, Simulation, Violation};
    use core::convert::Infallible;

    /// The life of a store that was there before.
    const OLD: Life = &[&[Put("old", 3)], &[Put("older", 4)], &[Delete("old"), Put("a", 5)]];

    /// An old store of which only the magics were overwritten by these words.
    fn old_store(simulation: &Simulation, word: impl Fn(u64) -> u64) -> Simulation {
        simulation.clone().prepared(|medium| {
            drop(options().create_new(medium).unwrap());
            let (mut store, _) = options().open(medium).unwrap();
            work(&mut store, OLD, 0, |_| ()).unwrap();
            drop(store);
            put_words(medium, word);
        })
    }

    type Creation = fn(&SimMedium) -> Result<Store<&SimMedium>, Error<Infallible>>;

    fn create_new(medium: &SimMedium) -> Result<Store<&SimMedium>, Error<Infallible>> {
        Ok(options().create_new(medium)?)
    }

    fn open_or_create(medium: &SimMedium) -> Result<Store<&SimMedium>, Error<Infallible>> {
        Ok(options().open_or_create(medium)?.0)
    }

    /// Creates a store and lets it live. After a crash `open_or_create` succeeds, unless the foreign bytes of before are still
    /// there: then `create_new` does.
    fn explore(simulation: &Simulation, create: Creation, is_foreign: bool) -> Exploration {
        let first = identity();
        let recover = move |medium: &SimMedium, notes: &[Note]| -> Result<(), Violation> {
            let mut store = match others().open_or_create(medium) {
                Err(error) if is_foreign && notes.is_empty() && is_of_foreign(&error.error) => {
                    others().create_new(medium)?
                }
                opened => opened?.0,
            };
            if !notes.is_empty() && store.identity() != first {
                return Err(Violation::lost("the store".to_owned()));
            }
            judge(NEW, &blobs(&store)?, notes)?;
            Ok(work(&mut store, &[&[Put("c", 6)]], 0, |_| ())?)
        };
        simulation.explore(
            |medium, notes| {
                let mut store = create(medium).unwrap();
                notes.add(Note::Created);
                work(&mut store, NEW, 0, |note| notes.add(note)).unwrap();
            },
            recover,
        )
    }

    fn on_zeros(simulation: &Simulation) -> [Exploration; 2] {
        let simulation = simulation.clone().zeros();
        [create_new, open_or_create].map(|create: Creation| explore(&simulation, create, false))
    }

    /// A simulation begins with junk.
    fn on_junk(simulation: &Simulation) -> Exploration {
        explore(simulation, create_new, true)
    }

    fn on_an_old_store(simulation: &Simulation) -> Exploration {
        explore(&old_store(simulation, |at| 0x1111_1111 + at), create_new, true)
    }

    fn on_an_old_store_without_magics(simulation: &Simulation) -> [Exploration; 2] {
        let simulation = old_store(simulation, |_| 0);
        [create_new, open_or_create].map(|create: Creation| explore(&simulation, create, false))
    }

    /// The neutral model has every crash of x86 and arm64, as a test of the simulator shows.
    #[test]
    fn a_crash_in_a_creation_leaves_nothing_or_the_whole_store() {
        for model in [Model::NEUTRAL, Model::PAGES] {
            let simulation = Simulation::new(model, BYTES).crashes_in_recovery(0);
            let explorations = on_zeros(&simulation)
                .into_iter()
                .chain(on_an_old_store_without_magics(&simulation))
                .chain([on_junk(&simulation), on_an_old_store(&simulation)]);
            for exploration in explorations {
                exploration.assert_safe();
                assert!(exploration.is_exhaustive());
            }
        }
    }

    #[test]
    fn no_write_back_and_no_fence_of_a_creation_can_be_left_out() {
        let uncut = |setting: &Setting| {
            setting.simulation(BYTES).crashes_in_recovery(0).effort(Effort::Deviations(2))
        };
        let mutation = Mutation::new().only_in("src/preserve/headers/written.rs");
        let survivors = mutation
            .run(&[&|setting: &Setting| on_an_old_store(&uncut(setting)), &|setting: &Setting| {
                on_junk(&uncut(setting))
            }]);
        println!("{survivors}");
        survivors.assert_none();
    }
}
