//! Headers and entries with impossible values under right tags.

use crate::claims::found;
use crate::claims::lives::{DATA, Deed, End, Step, live, options};
use crate::life::why;
use crate::plain::Plain;
use crate::seal::seal;
use cachemaint::medium::Bytes;
use cachemaint::preserve::{Damage, Error, ErrorKind, Part, Reader, Snapshot};

/// Three blobs, and numbers put over those of a header and of the entries, with right tags.
pub(super) fn forged(of_header: &[(usize, u64)], of_entries: [&[(usize, u64)]; 3]) -> Vec<u8> {
    let put = |name| Deed::Put { name, len: 30, metadata: 0 };
    let deeds = [0, 1, 5].map(put).to_vec();
    let mut lived = live(DATA + 4096, &[Step { deeds, end: End::Commit }]);
    let tables = lived.tables();
    let image = &mut lived.image;
    for table in tables {
        // Entries have 52 bytes, and names of one, up to a word.
        for (entry, patches) in (table.start as usize + 176..).step_by(56).zip(of_entries) {
            for (at, number) in patches {
                image[entry + at..][..8].copy_from_slice(&number.to_le_bytes());
            }
        }
    }
    // The second generation's.
    for header in [0, 8192] {
        for (at, number) in of_header {
            image[header + at..][..8].copy_from_slice(&number.to_le_bytes());
        }
    }
    seal(image);
    lived.image
}

#[test]
fn lengths_that_cannot_be_are_not_counted_on_from() {
    // A store as large as can be, and three blobs that take most of it each: more bytes than 64 bits can count.
    let most = (1 << 63) - 64;
    let len: &[(usize, u64)] = &[(8, most - (1 << 50))];
    let image = forged(&[(32, most)], [len; 3]);
    let image = Bytes(&image);
    let snapshot = Snapshot::of(&image).unwrap();
    assert_eq!(snapshot.entries().map(Result::unwrap).count(), 3);
    let verification = snapshot.verify(&mut |_| ()).unwrap();
    assert_eq!((verification.whole, verification.damaged.len()), (0, 3));
    assert!(options().open(Plain::new(image.0.to_vec())).is_err());
}

/// The third blob has the place of the first one, whose bytes are as many and whose tag is its own there. A thousand names
/// of one blob would be read a thousand times.
#[test]
fn blobs_in_one_place_are_damaged_and_not_read() {
    let image = forged(&[], [&[], &[], &[(0, DATA as u64)]]);
    let image = Bytes(&image);
    let snapshot = Snapshot::of(&image).unwrap();
    let [first, _, third] = [0, 1, 2].map(|place| snapshot.entries().nth(place).unwrap().unwrap());
    assert_eq!(first.offset, third.offset);
    let verification = snapshot.verify(&mut |_| ()).unwrap();
    assert_eq!((verification.whole, verification.damaged.len()), (1, 2));
    assert!(options().open(Plain::new(image.0.to_vec())).is_err());
}

/// The last blob, of two chunks and their tags, is where the medium ends: in the first chunk, in the second one, in
/// the tags.
#[test]
fn a_blob_that_the_medium_ends_in_costs_no_other() {
    const AT: usize = DATA + 128;
    const LEN: u64 = 131_072;
    let image = forged(&[(32, 1 << 20)], [&[], &[], &[(8, LEN)]]);
    let (at, chunk) = (AT as u64, 65_536);
    for (end, part, offset, len) in [
        (image.len(), Part::Bytes { at: 0 }, at, LEN),
        (AT + 65_536 + 1000, Part::Bytes { at: chunk }, at + chunk, chunk),
        (AT + 131_072 + 8, Part::Tags, at + LEN, 16),
    ] {
        let mut image = image.clone();
        image.resize(end, 0);
        let reader = Reader::open(Bytes(&image)).unwrap();
        let verification = reader.snapshot().unwrap().verify(&mut |_| ()).unwrap();
        let [(name, damage)] = &verification.damaged[..] else { panic!("{verification:?}") };
        assert_eq!((&**name, damage.part, damage.offset, damage.len), ("c", part, offset, len));
        assert_eq!((verification.whole, verification.copies.len()), (2, 0));
        let refused = reader.load("c");
        assert!(
            matches!(refused.as_ref().map_err(Error::kind), Err(ErrorKind::Truncated { .. })),
            "{refused:?}"
        );
        assert_eq!((reader.load("a").unwrap().len(), reader.load("b").unwrap().len()), (30, 30));
        let opened = options().open(Plain::new(image.clone()));
        assert!(
            matches!(opened.as_ref().map_err(why), Err(ErrorKind::Truncated { .. })),
            "it would write over the rest"
        );
    }
}

/// By the documentation generations are below 2^63. No store counts that far: such a header is forged.
#[test]
fn a_commit_after_the_last_generation_is_refused() {
    const LAST: u64 = (1 << 63) - 1;
    let medium = Plain::new(forged(&[(24, LAST - 1)], [&[]; 3]));
    // To be opened is a commit.
    let (mut store, _) = options().open(medium.clone()).unwrap();
    assert_eq!(store.generation(), LAST);
    let there = found(&store.snapshot().unwrap());
    for _ in 0..2 {
        let mut transaction = store.begin().unwrap();
        transaction.put("new", b"bytes").unwrap();
        let refused = transaction.commit();
        assert!(
            matches!(refused.as_ref().map_err(Error::kind), Err(ErrorKind::WornOut)),
            "{refused:?}"
        );
    }
    let refused = store.seal();
    assert!(
        matches!(refused.as_ref().map_err(Error::kind), Err(ErrorKind::WornOut)),
        "{refused:?}"
    );
    assert_eq!((store.generation(), found(&store.snapshot().unwrap())), (LAST, there.clone()));
    drop(store);

    let before = medium.bytes();
    let refused = options().open(medium.clone());
    assert!(matches!(refused.as_ref().map_err(why), Err(ErrorKind::WornOut)), "{refused:?}");
    assert!(medium.bytes() == before);
    let snapshot = Snapshot::of(&Bytes(&before)).map(|snapshot| found(&snapshot));
    assert_eq!(snapshot.unwrap(), there);
}

#[test]
fn no_blob_is_of_a_commit_to_come() {
    let generation = |number| forged(&[], [&[], &[], &[(24, number)]]);
    assert_eq!(Snapshot::of(&Bytes(&generation(2))).unwrap().entries().flatten().count(), 3);
    let image = generation(3);
    let image = Bytes(&image);
    let last = Snapshot::of(&image).unwrap().entries().last();
    let is_refused = matches!(
        last.as_ref().map(|last| last.as_ref().map_err(Error::kind)),
        Some(Err(ErrorKind::Damaged(Damage { part: Part::Entry, .. })))
    );
    assert!(is_refused, "{last:?}");
    let opened = options().open(Plain::new(image.0.to_vec()));
    assert!(matches!(opened.as_ref().map_err(why), Err(ErrorKind::Damaged(_))));
}
