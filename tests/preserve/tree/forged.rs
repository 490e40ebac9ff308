//! Trees with impossible values under right tags.

use super::deep;
use crate::claims::lives::{DATA, options};
use crate::looks::Looks;
use crate::plain::Plain;
use crate::seal::seal;
use cachemaint::medium::Bytes;
use cachemaint::preserve::{Damage, Error, ErrorKind, Part, Snapshot};
use core::convert::Infallible;

/// A word of a forged table: its place from the beginning of the root's children, and what becomes of it.
type Forge<'f> = &'f dyn Fn(&mut [u8], usize);

fn word(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*image[at..].first_chunk().unwrap())
}

fn set(image: &mut [u8], at: usize, word: u64) {
    image[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// A forged table can have right tags everywhere.
#[test]
fn a_forged_tree_is_refused_with_bounded_work() {
    let lived = deep();
    let newest = if word(&lived.image, 24) > word(&lived.image, 4096 + 24) { 0 } else { 4096 };
    let roots = [40, 48].map(|at| word(&lived.image, newest + at) as usize);
    let first = |image: &[u8], root: usize| word(image, root + 176) as usize;
    let second = |image: &[u8], at: usize| {
        let lens = word(image, at + 24);
        at + (28 + (lens >> 16 & 0xffff) as usize).next_multiple_of(8)
    };
    let forgeries: [(&str, Forge<'_>); 8] = [
        ("a page is in another one", &|image, root| {
            let next = second(image, root + 176);
            for at in [0, 8] {
                let place = word(image, root + 176 + at);
                set(image, next + at, place + 64);
            }
        }),
        ("a page is there twice", &|image, root| {
            let next = second(image, root + 176);
            let (places, lens) =
                ([0, 8, 16].map(|at| word(image, root + 176 + at)), word(image, root + 200));
            for (at, place) in [0, 8, 16].into_iter().zip(places) {
                set(image, next + at, place);
            }
            let own = word(image, next + 24);
            set(image, next + 24, own & !0xffff | lens & 0xffff);
        }),
        ("too many levels", &|image, root| image[root + 42] += 1),
        ("too few levels", &|image, root| image[root + 42] -= 1),
        ("more levels than there can be", &|image, root| image[root + 42] = 16),
        ("the first child has a name", &|image, root| {
            let child = first(image, root);
            image[child + 26] = 1;
        }),
        ("names out of order", &|image, root| {
            let child = first(image, root);
            let leaf = word(image, child) as usize;
            image[leaf + 52] = 0xff;
        }),
        ("a name of another page", &|image, root| {
            let next = second(image, root + 176);
            image[next + 28] = b'0';
        }),
    ];
    for (what, forge) in forgeries {
        let mut image = lived.image.clone();
        for root in roots {
            forge(&mut image, root);
        }
        seal(&mut image);
        let looks = Looks::new(&image);
        let medium = &looks;
        let most = 8 * image.len() as u64;
        let Ok(snapshot) = Snapshot::of(&medium) else {
            // Other bytes are taken for entries and tags are stored there, so the store cannot be read.
            assert!(["too few levels", "more levels than there can be"].contains(&what), "{what}");
            assert!(options().open(Plain::new(image.clone())).is_err(), "{what}");
            continue;
        };
        let last = snapshot.entries().last();
        let is_refused = matches!(
            last.as_ref().map(|last| last.as_ref().map_err(Error::kind)),
            Some(Err(ErrorKind::Damaged(Damage { part: Part::Entry | Part::Page, .. })))
        );
        assert!(is_refused, "{what}: {last:?}");
        assert!(looks.taken() <= most, "{what}");
        for number in 0..36 {
            drop(snapshot.find(&crate::claims::lives::name(number)));
        }
        assert!(looks.taken() <= most, "{what}");
        assert!(snapshot.verify(&mut |_| ()).is_err(), "{what}");
        assert!(looks.taken() <= most, "{what}");
        assert!(options().open(Plain::new(image.clone())).is_err(), "{what}");
    }
}

/// The first blob is said to be in the place of a page: of the second copy of the root, where its stamp is, or of a page of
/// entries.
#[test]
fn a_blob_in_the_place_of_a_page_is_damaged() {
    let lived = deep();
    let newest = if word(&lived.image, 24) > word(&lived.image, 4096 + 24) { 0 } else { 4096 };
    let roots = [40, 48].map(|at| word(&lived.image, newest + at) as usize);
    let mut leaf = roots[0] + 176;
    for _ in 0..lived.image[roots[0] + 42] {
        leaf = word(&lived.image, leaf) as usize;
    }
    let mut copy = roots[0] + 176;
    for _ in 1..lived.image[roots[0] + 42] {
        copy = word(&lived.image, copy) as usize;
    }
    let copy = word(&lived.image, copy + 8) as usize;
    for place in [roots[1] + 64, leaf] {
        let mut image = lived.image.clone();
        for entry in [leaf, copy] {
            set(&mut image, entry, place as u64);
        }
        // The pages of the commit before are not there any more.
        for older in [4096 - newest, 4096 - newest + 8192] {
            image[older..older + 64].fill(0);
        }
        seal(&mut image);
        let bytes = Bytes(&image);
        let snapshot = Snapshot::of(&bytes).unwrap();
        let first = snapshot.entries().next().unwrap().unwrap();
        let verification = snapshot.verify(&mut |_| ()).unwrap();
        let [(name, damage)] = &*verification.damaged else { panic!("{verification:?}") };
        assert_eq!(**name, *first.name);
        assert_eq!((damage.part, damage.offset), (Part::Bytes { at: 0 }, place as u64));
    }
}

/// A page with children has one at least.
#[test]
fn a_root_with_levels_and_without_children_is_refused() {
    let medium = Plain::new(vec![0; DATA + 100_000]);
    drop(options().create_new(medium.clone()).unwrap());
    let mut image = medium.bytes();
    for at in [4096 + 40, 4096 + 48] {
        let root = word(&image, at) as usize;
        image[root + 42] = 1;
    }
    seal(&mut image);
    let bytes = Bytes(&image);
    let snapshot = Snapshot::of(&bytes).unwrap();
    let is_forged = |error: Error<Infallible>| {
        matches!(error.kind(), ErrorKind::Damaged(Damage { part: Part::Entry, .. }))
    };
    assert!(is_forged(snapshot.find("a").unwrap_err()));
    assert!(is_forged(snapshot.entries().next().unwrap().unwrap_err()));
    assert!(options().open(Plain::new(image.clone())).is_err());
}

/// Bytes of each page that [`of_lost_pages`] names.
const LOST: u64 = 32_768;
/// The number of these pages.
const CHILDREN: usize = 1000;

/// A store of 2^60 bytes whose root names pages at these places, and is whole itself.
fn of_lost_pages(place: impl Fn(usize) -> u64) -> Vec<u8> {
    let medium = Plain::zeros(2 * DATA + 100_000);
    drop(options().create_new(medium.clone()).unwrap());
    let mut image = medium.bytes();
    let (header, root) = (4096, DATA);
    let created = word(&image, header + 40) as usize;
    image.copy_within(created..created + 176, root);
    image[root + 42] = 1;
    for number in 0..CHILDREN {
        let child = root + 176 + 32 * number;
        let name = if number == 0 { 0 } else { 2 };
        set(&mut image, child, place(number));
        set(&mut image, child + 8, place(number));
        set(&mut image, child + 24, LOST | name << 16);
        image[child + 28..child + 30]
            .copy_from_slice(&[number / 32, number % 32].map(|digit| digit as u8));
    }
    for copy in [header, header + 8192] {
        let len = (176 + 32 * CHILDREN) as u32;
        image[copy + 12..copy + 16].copy_from_slice(&len.to_le_bytes());
        for (at, number) in [(32, 1 << 60), (40, root as u64), (48, root as u64)] {
            set(&mut image, copy + at, number);
        }
    }
    seal(&mut image);
    image
}

/// All pages are at one place. They have more bytes together than the medium, and fewer than the store.
#[test]
fn pages_with_more_bytes_than_the_medium_are_refused_with_bounded_work() {
    let place = DATA + 33_024;
    let mut image = of_lost_pages(|_| place as u64);
    image[place] ^= 1;
    let looks = Looks::new(&image);
    let most = 8 * image.len() as u64;
    let medium = &looks;
    let snapshot = Snapshot::of(&medium).unwrap();
    assert!(snapshot.entries().count() < CHILDREN);
    let taken = looks.taken();
    assert!(taken <= most, "{taken} of {most} bytes");
    assert!(snapshot.verify(&mut |_| ()).is_err());
    let taken = looks.taken();
    assert!(taken <= most, "{taken} of {most} bytes");
}

/// Each of them is reported. Together they have more bytes than the medium.
#[test]
fn pages_after_the_end_of_the_medium_are_lost() {
    let image = of_lost_pages(|number| (1 << 30) + LOST * number as u64);
    let bytes = Bytes(&image);
    let verification = Snapshot::of(&bytes).unwrap().verify(&mut |_| ()).unwrap();
    assert_eq!(verification.pages.len(), CHILDREN);
}
