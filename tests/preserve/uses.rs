//! Uses of a store, and operations that it refuses.

use crate::counting::{Broken, Counting};
use crate::erased::erased;
use crate::life::{BYTES, Blobs, DATA, blobs, options, why};
use cachemaint::medium::{Granularity, Medium, Readable};
use cachemaint::preserve::{Attributes, Error, ErrorKind, Options, Reader, Store, Transaction};
use cachemaint::sim::{Model, SimMedium, Simulation};
use core::sync::atomic::Ordering::Relaxed;

pub(crate) fn medium() -> SimMedium {
    Simulation::new(Model::X86, BYTES).medium()
}

/// Returns a medium with so many bytes for blobs and tables.
pub(crate) fn with_room(bytes: u64) -> SimMedium {
    Simulation::new(Model::X86, DATA + bytes).medium()
}

pub(crate) fn put<M: Medium>(
    store: &mut Store<M>,
    name: &str,
    bytes: &[u8],
) -> Result<u64, Error<M::Error>> {
    let mut transaction = store.begin()?;
    transaction.put(name, bytes)?;
    transaction.commit()
}

/// Gives a blob up after some of its bytes.
fn abandon<M: Medium>(
    transaction: &mut Transaction<'_, M>,
    name: &str,
    bytes: &[u8],
) -> Result<(), Option<Error<M::Error>>> {
    transaction.put_with(name, 2 * bytes.len() as u64, |writer| {
        writer.append(bytes)?;
        Err(None)
    })
}

fn named(blobs: &[(&str, &[u8])]) -> Blobs {
    blobs.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

#[test]
fn a_transaction_takes_two_fences_however_many_blobs() {
    let counting = Counting::new(with_room(1 << 16));
    let mut store = options().create_new(erased(&counting)).unwrap();
    let [.., fences] = counting.taken();
    assert_eq!(fences, 2, "to create it");
    for blobs in [1, 7, 40] {
        let mut transaction = store.begin().unwrap();
        for blob in 0..blobs {
            transaction.put(&*format!("{blob}"), &[7; 100]).unwrap();
        }
        transaction.commit().unwrap();
        let [.., fences] = counting.taken();
        assert_eq!(fences, 2, "for {blobs} blobs");
    }
    let mut transaction = store.begin().unwrap();
    transaction.delete("1").unwrap();
    transaction.rename("2", "1").unwrap();
    transaction.commit().unwrap();
    assert_eq!(counting.taken()[2], 2);
    store.begin().unwrap().commit().unwrap();
    assert_eq!(counting.taken(), [0; 3], "nothing was changed");
    drop(store);
    drop(options().open(erased(&counting)).unwrap());
    assert_eq!(counting.taken()[2], 3, "to open it");
}

/// 100 bytes are two lines, a table of one entry (176, and 52 and a name of one byte, padded to 232) is four, there
/// twice, a header is one, twice.
#[test]
fn each_line_is_written_back_once() {
    let counting = Counting::new(medium());
    let mut store = options().create_new(erased(&counting)).unwrap();
    counting.taken();
    put(&mut store, "a", &[7; 100]).unwrap();
    let [stored, lines, _] = counting.taken();
    assert_eq!(stored, 104 + 2 * 232 + 2 * 64);
    assert_eq!(lines, 2 + 2 * 4 + 2);
}

#[test]
fn a_dropped_transaction_changes_nothing() {
    let medium = medium();
    let mut store = options().create_new(&medium).unwrap();
    put(&mut store, "a", b"one").unwrap();
    let (before, room) = (blobs(&store).unwrap(), store.capacity());

    let mut transaction = store.begin().unwrap();
    transaction.put("a", b"two").unwrap();
    transaction.put("b", &[1; 300]).unwrap();
    transaction.put("b", &[2; 200]).unwrap();
    transaction.rename("a", "c").unwrap();
    let short = transaction.put_with("d", 100, |writer| writer.append(&[3; 50]));
    assert!(matches!(
        short.as_ref().map_err(Error::kind),
        Err(ErrorKind::Length { written: 50, said: 100, .. })
    ));
    assert_eq!(abandon(&mut transaction, "d", &[3; 50]), Err(None));
    assert!(!transaction.contains("a") && transaction.contains("c") && !transaction.contains("d"));
    drop(transaction);
    assert_eq!((blobs(&store).unwrap(), store.capacity()), (before, room));
}

#[test]
fn blobs_of_any_size_come_back_whole() {
    let medium = with_room(2 << 20);
    let mut store = options().create_new(&medium).unwrap();
    let lens = [0, 1, 7, 8, 63, 64, 65, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_072, 200_003];
    let bytes = |len: usize| -> Vec<u8> { (0..len).map(|at| (1 + at * 7 % 251) as u8).collect() };
    let mut transaction = store.begin().unwrap();
    for len in lens {
        transaction.put(&*format!("put {len}"), &bytes(len)).unwrap();
        // In pieces that end anywhere.
        let name = format!("written {len}");
        let put = transaction.put_with(&*name, len as u64, |writer| {
            bytes(len).chunks(4097).try_for_each(|piece| writer.append(piece))
        });
        put.unwrap();
    }
    transaction.commit().unwrap();

    let reader = Reader::open(&medium).unwrap();
    for len in lens {
        for name in [format!("put {len}"), format!("written {len}")] {
            assert!(reader.load(&name).unwrap() == bytes(len), "{name}");
        }
    }
    let snapshot = reader.snapshot().unwrap();
    let blob = snapshot.blob("put 200003").unwrap();
    for (at, len) in [(0, 1), (65_535, 2), (65_536, 65_536), (70_000, 130_003), (200_003, 0)] {
        let mut part = vec![0; len];
        blob.read_at(at as u64, &mut part).unwrap();
        assert!(part == bytes(200_003)[at..at + len], "{len} bytes at {at}");
    }
    assert!(matches!(
        blob.read_at(200_000, &mut [0; 4]).as_ref().map_err(Error::kind),
        Err(ErrorKind::Range { .. })
    ));
    assert!(snapshot.verify(&mut |_| ()).unwrap().is_whole());
}

#[test]
fn invalid_requests_are_refused_and_change_nothing() {
    let medium = medium();
    let mut store = options().create_new(&medium).unwrap();
    put(&mut store, "a", b"one").unwrap();
    put(&mut store, "b", b"two").unwrap();
    let mut transaction = store.begin().unwrap();
    assert!(matches!(
        transaction.put("", b"").as_ref().map_err(Error::kind),
        Err(ErrorKind::Name { len: 0, .. })
    ));
    let long = "n".repeat(256);
    assert!(matches!(
        transaction.put(&*long, b"").as_ref().map_err(Error::kind),
        Err(ErrorKind::Name { len: 256, .. })
    ));
    assert!(matches!(
        transaction.rename("a", &long).as_ref().map_err(Error::kind),
        Err(ErrorKind::Name { len: 256, .. })
    ));
    let metadata = [0; 4097];
    let much = Attributes::new("m").metadata(&metadata);
    assert!(matches!(
        transaction.put(much, b"").as_ref().map_err(Error::kind),
        Err(ErrorKind::Metadata { len: 4097, .. })
    ));
    for alignment in [0, 96, 1 << 31] {
        let odd = Attributes::new("o").alignment(alignment);
        assert!(matches!(
            transaction.put(odd, b"").as_ref().map_err(Error::kind),
            Err(ErrorKind::Alignment { .. })
        ));
    }
    assert!(matches!(
        transaction.delete("c").as_ref().map_err(Error::kind),
        Err(ErrorKind::NotFound { .. })
    ));
    assert!(matches!(
        transaction.rename("c", "d").as_ref().map_err(Error::kind),
        Err(ErrorKind::NotFound { .. })
    ));
    assert!(matches!(
        transaction.rename("a", "b").as_ref().map_err(Error::kind),
        Err(ErrorKind::NameTaken { .. })
    ));
    let long = transaction.put_with("w", 3, |writer| writer.append(&[0; 4]));
    assert!(matches!(
        long.as_ref().map_err(Error::kind),
        Err(ErrorKind::Length { written: 4, said: 3, .. })
    ));
    transaction.commit().unwrap();
    assert_eq!(blobs(&store).unwrap(), named(&[("a", b"one"), ("b", b"two")]));
    let reader = Reader::open(&medium).unwrap();
    assert!(matches!(
        reader.load("c").as_ref().map_err(Error::kind),
        Err(ErrorKind::NotFound { .. })
    ));
    assert_eq!(reader.stat("c").unwrap(), None);

    assert!(matches!(options().create_new(&medium).as_ref().map_err(why), Err(ErrorKind::Exists)));
    let odd = || Options::with_entropy([1, 2]).unit(96);
    assert!(matches!(
        odd().create_new(&with_room(9999)).as_ref().map_err(why),
        Err(ErrorKind::Unit { unit: 96, .. })
    ));
    // Two tables of 176 bytes, and room for two more.
    let small = with_room(4 * 192 - 64);
    let error = options().create_new(&small).unwrap_err();
    assert!(
        matches!(why(&error), ErrorKind::TooSmall { needed, .. } if *needed == DATA + 4 * 192),
        "{error}"
    );
    options().create_new(&with_room(4 * 192)).unwrap();
}

#[test]
fn a_blob_without_space_is_refused_before_any_write() {
    let counting = Counting::new(with_room(8192));
    let mut store = options().create_new(erased(&counting)).unwrap();
    put(&mut store, "a", &vec![1; 1000]).unwrap();
    let largest = store.capacity().largest;
    counting.taken();
    let mut transaction = store.begin().unwrap();
    let error = transaction.put("b", &vec![2; largest as usize + 64]).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Full { needed, .. } if *needed == largest + 64),
        "{error}"
    );
    let large = transaction.put_with("b", largest + 64, |writer| writer.append(&[2; 64]));
    assert!(matches!(large.as_ref().map_err(Error::kind), Err(ErrorKind::Full { .. })));
    drop(transaction);
    assert_eq!(blobs(&store).unwrap(), named(&[("a", &vec![1; 1000])]));

    // Until it is full, and then something can be deleted all the same.
    let mut number = 0;
    while put(&mut store, &format!("n{number}"), &[3; 10]).is_ok() {
        number += 1;
    }
    assert!(number > 3);
    for name in ["a", "n0", "n1"] {
        let mut transaction = store.begin().unwrap();
        transaction.delete(name).unwrap();
        transaction.commit().unwrap();
    }
    put(&mut store, "b", &vec![2; 1000]).unwrap();
    drop(store);
    let (store, _) = options().open(erased(&counting)).unwrap();
    assert_eq!(blobs(&store).unwrap().len(), number - 2 + 1);
}

#[test]
fn a_blob_begins_where_it_was_asked_to() {
    let medium = with_room(1 << 16);
    let mut store = options().create_new(&medium).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("first", &[1; 100]).unwrap();
    transaction.put(Attributes::new("page").alignment(4096), &[2; 5000]).unwrap();
    let streamed = Attributes::new("streamed").alignment(8192);
    transaction.put_with(streamed, 100, |writer| writer.append(&[3; 100])).unwrap();
    transaction.commit().unwrap();
    let reader = Reader::open(&medium).unwrap();
    assert!(reader.stat("page").unwrap().unwrap().offset.is_multiple_of(4096));
    assert!(reader.stat("streamed").unwrap().unwrap().offset.is_multiple_of(8192));
}

#[test]
fn a_reader_beside_a_writer_sees_one_commit_or_the_next() {
    let medium = with_room(1 << 14);
    let mut store = options().create_new(&medium).unwrap();
    put(&mut store, "a", &[1; 500]).unwrap();
    let reader = Reader::open(&medium).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let blob = snapshot.blob("a").unwrap();
    put(&mut store, "b", &[2; 500]).unwrap();
    let mut bytes = [0; 500];
    blob.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, [1; 500], "it is still the same");
    assert!(matches!(snapshot.find("a").as_ref().map_err(Error::kind), Err(ErrorKind::Replaced)));
    for number in 3..60 {
        put(&mut store, "a", &[number; 500]).unwrap();
        assert_eq!(reader.load("a").unwrap(), [number; 500]);
    }
    assert!(matches!(
        blob.read_at(0, &mut bytes).as_ref().map_err(Error::kind),
        Err(ErrorKind::Replaced)
    ));
}

#[test]
fn after_a_failed_commit_the_store_must_be_opened_again() {
    let counting = Counting::new(medium());
    let mut store = options().create_new(erased(&counting)).unwrap();
    put(&mut store, "a", b"one").unwrap();
    // The blob's write-back, and the two of the tables.
    for succeed in 0..3 {
        counting.left.store(succeed, Relaxed);
        assert!(matches!(
            put(&mut store, "a", b"two").as_ref().map_err(Error::kind),
            Err(ErrorKind::Medium(Broken))
        ));
        counting.left.store(u64::MAX, Relaxed);
        assert_eq!(blobs(&store).unwrap(), named(&[("a", b"one")]));
    }
    put(&mut store, "a", b"two").unwrap();
    // The write-backs of the headers fail.
    counting.left.store(3, Relaxed);
    assert!(matches!(
        put(&mut store, "a", b"three").as_ref().map_err(Error::kind),
        Err(ErrorKind::Medium(Broken))
    ));
    counting.left.store(u64::MAX, Relaxed);
    assert!(matches!(store.begin().as_ref().map_err(Error::kind), Err(ErrorKind::Failed)));
    drop(store);
    let (mut store, _) = options().open(erased(&counting)).unwrap();
    let found = blobs(&store).unwrap();
    assert!([named(&[("a", b"two")]), named(&[("a", b"three")])].contains(&found), "{found:?}");
    put(&mut store, "a", b"four").unwrap();
}

/// Each write-back of the seal fails once: what was committed all the same is in use, and nothing else is.
#[test]
fn a_seal_that_fails_frees_nothing_that_is_in_use() {
    let counting = Counting::new(medium());
    let mut store = options().create_new(erased(&counting)).unwrap();
    put(&mut store, "a", &[1; 200]).unwrap();
    counting.left.store(1000, Relaxed);
    store.seal().unwrap();
    let writebacks = 1000 - counting.left.load(Relaxed);
    assert!(writebacks > 8, "{writebacks}");
    for succeed in 0..writebacks {
        counting.left.store(succeed, Relaxed);
        assert!(
            matches!(store.seal().as_ref().map_err(Error::kind), Err(ErrorKind::Medium(Broken))),
            "{succeed}"
        );
        counting.left.store(u64::MAX, Relaxed);
        let free = store.capacity().free;
        let must_be_opened =
            matches!(store.begin().as_ref().map_err(Error::kind), Err(ErrorKind::Failed));
        drop(store);
        store = options().open(erased(&counting)).unwrap().0;
        assert!(must_be_opened || store.capacity().free == free, "{succeed}");
        assert_eq!(blobs(&store).unwrap(), named(&[("a", &[1; 200])]), "{succeed}");
    }
}

/// To flush a medium's own buffers can be root's alone, and to open a store is not.
#[test]
fn a_sealed_store_opens_without_deep_persistence_but_loses_its_seal() {
    let counting = Counting::new(medium());
    let mut store = options().create_new(erased(&counting)).unwrap();
    put(&mut store, "a", b"one").unwrap();
    store.seal().unwrap();
    drop(store);
    // Two headers, two words of the next one, and the history; then the history as far as it goes.
    counting.left.store(5, Relaxed);
    let (store, opened) = options().open(erased(&counting)).unwrap();
    assert!(opened.was_sealed);
    assert!(!store.snapshot().unwrap().is_sealed());
    assert_eq!(blobs(&store).unwrap(), named(&[("a", b"one")]));
}

#[test]
fn two_that_write_without_a_lock_are_told() {
    let medium = medium();
    let mut first = options().create_new(&medium).unwrap();
    let (mut second, _) = options().open(&medium).unwrap();
    put(&mut second, "a", b"one").unwrap();
    assert!(matches!(
        first.begin().as_ref().map_err(Error::kind),
        Err(ErrorKind::Overtaken { ours: 1, found: 3, .. })
    ));
}

#[test]
fn a_medium_that_has_grown_or_shrunk_is_taken_as_it_is() {
    let image = |len: u64| Simulation::new(Model::X86, len);
    let small = image(DATA + 4096).medium();
    let mut store = options().create_new(&small).unwrap();
    put(&mut store, "a", &vec![1; 1000]).unwrap();
    drop(store);
    let onto = |len: u64| {
        let other = image(len).medium();
        for at in (0..len.min(small.len())).step_by(8) {
            other.store(at, small.load(at, Relaxed), Relaxed);
        }
        other
    };
    let larger = onto(DATA + 16_384);
    let (mut store, _) = options().open(&larger).unwrap();
    assert_eq!(store.capacity().total, 16_384);
    put(&mut store, "b", &vec![2; 10_000]).unwrap();
    assert_eq!(blobs(&store).unwrap(), named(&[("a", &vec![1; 1000]), ("b", &vec![2; 10_000])]));

    // The tables are at its end.
    let cut = onto(DATA + 4096 - 1024);
    let error = options().open(&cut).unwrap_err();
    assert!(matches!(why(&error), ErrorKind::Truncated { .. }), "{error}");
}

/// Each call waits for the storage.
#[test]
fn pages_are_written_back_in_few_calls() {
    let counting = Counting::new(Simulation::new(Model::PAGES, 1 << 19).medium());
    let mut store = Options::with_entropy([1, 2]).create_new(erased(&counting)).unwrap();
    counting.left.store(1000, Relaxed);
    let mut transaction = store.begin().unwrap();
    transaction.put("a", &vec![1; 100_000]).unwrap();
    let put = transaction.put_with("b", 100_000, |writer| {
        vec![2; 100_000].chunks(1000).try_for_each(|piece| writer.append(piece))
    });
    put.unwrap();
    // Each blob, and its tags.
    assert_eq!(1000 - counting.left.load(Relaxed), 2 * 2);
    transaction.commit().unwrap();
    assert_eq!(blobs(&store).unwrap().len(), 2);
}

#[test]
fn units_are_what_the_medium_makes_persistent_at_once() {
    let medium = Simulation::new(Model::PAGES, 1 << 17).medium();
    assert!(matches!(medium.granularity(), Granularity::Page(4096)));
    let mut store = Options::with_entropy([1, 2]).create_new(&medium).unwrap();
    put(&mut store, "a", b"one").unwrap();
    put(&mut store, "b", b"two").unwrap();
    let offset = |name| store.snapshot().unwrap().find(name).unwrap().unwrap().offset;
    assert!(offset("a").is_multiple_of(4096) && offset("b").is_multiple_of(4096));
}
