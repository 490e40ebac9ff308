//! The verification of blobs, and the boots that decide if it is needed.

use crate::life::{later, options, stamp};
use crate::uses::{medium, put, with_room};
use cachemaint::medium::Medium;
use cachemaint::preserve::{Options, Origin, Reader, Verify};
use core::sync::atomic::Ordering::Relaxed;

#[test]
fn damage_is_reported_with_its_place_and_hits_one_blob() {
    let medium = with_room(1 << 19);
    let mut store = options().create_new(&medium).unwrap();
    put(&mut store, "long", &vec![5; 200_000]).unwrap();
    put(&mut store, "short", &[6; 100]).unwrap();
    let at = store.snapshot().unwrap().find("long").unwrap().unwrap().offset;
    // In the third chunk.
    medium.store(at + 131_072 + 800, 0, Relaxed);
    let reader = store.reader();
    let error = reader.load("long").unwrap_err();
    let place =
        format!("from its byte 131072 on is damaged (65536 bytes at offset {})", at + 131_072);
    assert!(error.to_string().contains(&place), "{error}");
    assert_eq!(reader.load("short").unwrap(), [6; 100]);
    let snapshot = store.snapshot().unwrap();
    let mut part = vec![0; 131_072];
    snapshot.blob("long").unwrap().read_at(0, &mut part).unwrap();
    assert!(part == vec![5; 131_072], "what is whole of it can be read");
    let verification = snapshot.verify(&mut |_| ()).unwrap();
    assert_eq!((verification.whole, verification.damaged.len()), (1, 1));
    assert_eq!(&*verification.damaged[0].0, "long");

    // Another boot, and it was not sealed.
    drop((reader, store));
    let (mut store, opened) = later().open(&medium).unwrap();
    assert_eq!(opened.verification.unwrap().damaged.len(), 1);
    put(&mut store, "long", b"anew").unwrap();
    assert!(store.snapshot().unwrap().verify(&mut |_| ()).unwrap().is_whole());
}

#[test]
fn everything_is_verified_if_something_may_have_been_lost() {
    let medium = medium();
    let mut store = options().create_new(&medium).unwrap();
    put(&mut store, "a", b"one").unwrap();
    drop(store);
    let is_verified = |options: Options<'_>| {
        let (_, opened) = options.open(&medium).unwrap();
        (opened.verdict.origin, opened.verification.is_some())
    };
    assert_eq!(is_verified(options()), (Origin::SameProcess, false));
    assert_eq!(is_verified(options().verify(Verify::Always)), (Origin::SameProcess, true));
    assert_eq!(is_verified(later()), (Origin::Reboot, true));
    assert_eq!(is_verified(options().verify(Verify::Never)), (Origin::Reboot, false));
    assert_eq!(is_verified(options()), (Origin::SameProcess, true), "it is still due");
    assert_eq!(is_verified(options()), (Origin::SameProcess, false), "all blobs were whole");
    let (mut store, _) = options().open(&medium).unwrap();
    store.seal().unwrap();
    drop(store);
    let (store, opened) = later().open(&medium).unwrap();
    assert!(opened.was_sealed && opened.verification.is_none());
    drop(store);
    // The store has been opened and not changed.
    let (mut store, opened) = options().open(&medium).unwrap();
    assert!(opened.was_sealed);
    put(&mut store, "a", b"two").unwrap();
    drop(store);
    let (_, opened) = options().open(&medium).unwrap();
    assert!(!opened.was_sealed);
}

/// The opening that found the damage may be one of another program, or one that ended at once.
#[test]
fn everything_is_verified_until_all_blobs_are_whole() {
    let medium = medium();
    let mut store = options().create_new(&medium).unwrap();
    put(&mut store, "a", b"one").unwrap();
    let at = store.snapshot().unwrap().find("a").unwrap().unwrap().offset;
    drop(store);
    medium.store(at, 0, Relaxed);
    let damaged = |options: Options<'_>| {
        let (_, opened) = options.open(&medium).unwrap();
        opened.verification.map(|found| found.damaged.len())
    };
    assert_eq!(damaged(options()), None, "nothing can have been lost");
    assert_eq!(damaged(later()), Some(1));
    assert_eq!(damaged(later()), Some(1), "in the same boot");
    let (mut store, _) = later().open(&medium).unwrap();
    store.seal().unwrap();
    drop(store);
    assert_eq!(damaged(options()), Some(1), "a seal makes no blob whole");
    let (mut store, _) = options().open(&medium).unwrap();
    put(&mut store, "a", b"two").unwrap();
    drop(store);
    assert_eq!([damaged(options()), damaged(options())], [Some(0), None]);
}

#[test]
fn the_history_has_the_boots_that_it_was_opened_in() {
    let medium = medium();
    drop(options().create_new(&medium).unwrap());
    for boot in [1, 1, 2, 3, 3] {
        let (store, _) = options().stamp(stamp(boot)).open(&medium).unwrap();
        drop(store);
    }
    let boots = || -> Vec<_> {
        let reader = Reader::open(&medium).unwrap();
        let snapshot = reader.snapshot().unwrap();
        snapshot.history().unwrap().map(Result::unwrap).collect()
    };
    let told: Vec<_> =
        boots().iter().map(|boot| (boot.generation, boot.opened, boot.origin)).collect();
    let expected = [(1, 3, Origin::Unknown), (4, 1, Origin::Reboot), (5, 2, Origin::Reboot)];
    assert_eq!(told, expected);
    for boot in 4..60 {
        drop(options().stamp(stamp(boot)).open(&medium).unwrap());
    }
    let kept: Vec<_> = boots().iter().map(|boot| boot.stamp.boot_id[0]).collect();
    assert_eq!(kept, (28..60).collect::<Vec<_>>(), "the last 32");
}
