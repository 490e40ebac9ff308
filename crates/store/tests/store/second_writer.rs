//! Two writers of a store on a medium without a lock, as two mounts of a directory have none in common.

use crate::life::options;
use crate::random::Random;
use crate::seal::{log, positions, u64_at};
use cachemaint::medium::Bytes;
use cachemaint_store::{Error, ErrorKind, FormatError, Reader, Store};
use cachemaint_test_support::cases::cases;
use cachemaint_test_support::plain::Plain;
use core::convert::Infallible;
use std::collections::BTreeMap;

type Blobs = BTreeMap<String, Vec<u8>>;

fn put(store: &mut Store<Plain>, name: &str, bytes: &[u8]) -> Result<u64, Error<Infallible>> {
    let mut transaction = store.begin()?;
    transaction.put(name, bytes)?;
    transaction.commit()
}

fn is_told<T>(done: Result<T, Error<Infallible>>) -> bool {
    let kind = done.map_err(ErrorKind::from);
    matches!(kind, Err(ErrorKind::Format(FormatError::AnotherWriter)))
}

/// Returns what a reader finds of these blobs.
fn blobs(medium: &Plain, model: &Blobs) -> Blobs {
    let image = medium.bytes();
    let reader = Reader::open(Bytes(&image)).unwrap();
    model.keys().map(|name| (name.clone(), reader.load(name).unwrap())).collect()
}

/// Returns the records of the newest log in both mirrors.
fn records(image: &[u8]) -> Vec<u8> {
    let end = positions(image).last().unwrap().end;
    log(image).unwrap().mirrors.map(|mirror| &image[mirror..mirror + end]).concat()
}

/// Returns the bytes of a blob outside the log.
fn place<'i>(store: &Store<Plain>, name: &str, image: &'i [u8]) -> &'i [u8] {
    let info = store.stat(name).unwrap();
    if info.offset == 0 { &[] } else { &image[info.offset as usize..][..info.len as usize] }
}

#[test]
fn a_writer_is_told_of_a_newer_one_where_it_looks() {
    type Look = fn(Store<Plain>) -> bool;
    let looks: [Look; 4] = [
        |store| is_told(store.close()),
        |mut store| is_told(store.seal()),
        |mut store| is_told(store.region("region")),
        // At the latest, the log is full.
        |mut store| (0..100).any(|_| is_told(put(&mut store, "late", &[7; 100]))),
    ];
    for look in looks {
        let medium = Plain::zeros(64 << 10);
        let (mut old, _) = options().create_new(medium.clone()).unwrap();
        let mut transaction = old.begin().unwrap();
        transaction.create_region("region", 4096).unwrap();
        transaction.commit().unwrap();
        let (mut new, _) = options().open(medium.clone()).unwrap();
        put(&mut new, "new", &[8; 300]).unwrap();
        assert!(look(old));
        put(&mut new, "after", &[9; 300]).unwrap();
        new.close().unwrap();
        let (store, opened) = options().verify().open(medium).unwrap();
        assert!(opened.verification.unwrap().is_whole());
        assert_eq!(
            (store.load("new").unwrap(), store.load("after").unwrap()),
            (vec![8; 300], vec![9; 300])
        );
    }
}

/// Older writers append values only, which need no space that they could take from the newest one.
#[test]
fn what_the_newest_writer_committed_and_nobody_overwrote_is_there() {
    let (mut late, mut told, mut overwritten) = (0, 0, 0);
    for seed in 0..cases(100) {
        let mut random = Random(seed);
        let medium = Plain::zeros(random.one_of(&[96 << 10, 128 << 10]));
        let (mut newest, _) = options().create_new(medium.clone()).unwrap();
        let (mut older, mut model) = (Vec::new(), Blobs::new());
        let mut is_whole = true;
        for step in 0..random.one_of(&[20, 120, 300_u32]) {
            if random.once_in(15) && is_whole {
                older.push(core::mem::replace(
                    &mut newest,
                    options().open(medium.clone()).unwrap().0,
                ));
            }
            if random.once_in(2) && !older.is_empty() {
                let number = random.below(older.len());
                let before = medium.bytes();
                let done = put(&mut older[number], &format!("late {}", step % 4), &[1; 200]);
                late += u32::from(done.is_ok());
                if done.is_err() {
                    assert!(is_told(done), "seed {seed}, step {step}");
                    told += 1;
                    drop(older.remove(number));
                }
                let after = medium.bytes();
                let is_hit = records(&before) != records(&after);
                // The newest writer can have put a blob where an older one still has its log.
                model.retain(|name, _| {
                    place(&newest, name, &before) == place(&newest, name, &after)
                });
                overwritten += u32::from(is_whole && is_hit);
                is_whole &= !is_hit;
            } else {
                let generation = |image: &[u8]| u64_at(image, 40).max(u64_at(image, 4096 + 40));
                let before = generation(&medium.bytes());
                let (name, len) =
                    (format!("{}", random.below(8)), random.one_of(&[0, 90, 256, 300, 2000]));
                let bytes = vec![random.next() as u8; len];
                put(&mut newest, &name, &bytes).unwrap();
                model.insert(name, bytes);
                // A compaction writes all entries anew.
                is_whole |= generation(&medium.bytes()) > before;
            }
            assert!(!is_whole || blobs(&medium, &model) == model, "seed {seed}, step {step}");
        }
    }
    println!("{late} late commits, {told} writers told, {overwritten} records overwritten");
    assert!(late > 100 && told > 100);
}

#[test]
fn what_the_newest_writer_commits_beside_an_older_one_is_there() {
    for _ in 0..cases(50) {
        let medium = Plain::zeros(64 << 10);
        let (mut old, _) = options().create_new(medium.clone()).unwrap();
        let (mut new, _) = options().open(medium.clone()).unwrap();
        let mut model = Blobs::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..1000).all(|_| put(&mut old, "old", &[1; 100]).is_ok()));
            for number in 0..20_u8 {
                put(&mut new, &number.to_string(), &[number; 100]).unwrap();
                model.insert(number.to_string(), vec![number; 100]);
                assert!(blobs(&medium, &model) == model, "{number}");
            }
        });
        assert!(is_told(old.close().map(drop)) || model.len() == 20);
    }
}
