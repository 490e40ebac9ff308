//! Regions, whose bytes are used in place.

use crate::life::{bytes, later, options, why};
use cachemaint::medium::{Bytes, Medium, Readable as _};
use cachemaint_sim::{Model, Simulation};
use cachemaint_store::{
    Attributes, Content, Error, ErrorKind, FormatError, Options, Part, Reader, Region, Store,
};
use cachemaint_test_support::counting::Counting;
use cachemaint_test_support::erased::erased;
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::Ordering::Relaxed;

/// The first multiple of 4096 after the log, according to the documentation of the format.
pub(crate) const FIRST: u64 = 32_768;
/// The size of the smallest region in bytes.
pub(crate) const LEAST: u64 = 4096;
/// Space for a region of that size, and for small blobs after it.
pub(crate) const BYTES: u64 = FIRST + LEAST + 64 * 64;

fn create(store: &mut Store<Plain>, attributes: Attributes<'_>, len: u64) {
    let mut transaction = store.begin().unwrap();
    transaction.create_region(attributes, len).unwrap();
    transaction.commit().unwrap();
}

pub(crate) fn empty(bytes: u64) -> (Plain, Store<Plain>) {
    let medium = Plain::new(&vec![0; bytes as usize]);
    let (store, _) = options().create_new(medium.clone()).unwrap();
    (medium, store)
}

/// Returns a store with a region "ram" of the smallest size.
pub(crate) fn with_ram() -> (Plain, Store<Plain>) {
    let (medium, mut store) = empty(BYTES);
    create(&mut store, "ram".into(), LEAST);
    (medium, store)
}

fn read(region: &Region<Plain>) -> Vec<u8> {
    let mut bytes = vec![0; region.len() as usize];
    let Ok(()) = region.read(0, &mut bytes);
    bytes
}

#[test]
fn a_new_region_has_zeros_in_the_place_of_anything() {
    let (_, mut store) = empty(BYTES);
    let mut transaction = store.begin().unwrap();
    transaction.put(Attributes::new("before").alignment(4096), &[0xa5; LEAST as usize]).unwrap();
    transaction.commit().unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.delete("before").unwrap();
    transaction.commit().unwrap();
    create(&mut store, "ram".into(), LEAST);
    let region = store.region("ram").unwrap();
    assert_eq!(region.info().range(), FIRST..FIRST + LEAST);
    assert_eq!(read(&region), [0; LEAST as usize]);
}

#[test]
fn a_region_is_aligned_and_shares_no_page() {
    let huge = 2 << 20;
    let (_, mut store) = empty(4 * huge);
    let mut transaction = store.begin().unwrap();
    transaction.put("a", &[1; 100]).unwrap();
    transaction.create_region(Attributes::new("huge").alignment(huge), huge).unwrap();
    transaction.create_region("page", LEAST).unwrap();
    transaction.put("b", &[2; 5000]).unwrap();
    transaction.create_region("pages", 3 * LEAST).unwrap();
    transaction.commit().unwrap();
    let infos = store.list().collect::<Vec<_>>();
    let regions: Vec<_> = infos.iter().filter(|info| info.content == Content::Region).collect();
    assert_eq!(regions.len(), 3);
    for region in &regions {
        let alignment = if &*region.name == "huge" { huge } else { LEAST };
        assert!(region.offset.is_multiple_of(alignment), "{region:?}");
        let others = infos.iter().filter(|other| other.name != region.name);
        for other in others {
            let (ours, theirs) = (region.range(), other.range());
            assert!(ours.end <= theirs.start || theirs.end <= ours.start, "{ours:?} {theirs:?}");
        }
    }
}

#[test]
fn unaligned_region_lengths_are_refused() {
    let (_, mut store) = empty(8 << 20);
    let mut transaction = store.begin().unwrap();
    for (alignment, len) in [(1, 0), (1, 100), (1, 4095), (2 << 20, 4096), (8192, 12_288)] {
        let attributes = Attributes::new("ram").alignment(alignment);
        let refused = transaction.create_region(attributes, len).unwrap_err();
        let ErrorKind::Invalid { found, .. } = *refused.kind() else { panic!("{refused}") };
        assert_eq!(found, len);
    }
    for alignment in [3, 1 << 31] {
        let attributes = Attributes::new("ram").alignment(alignment);
        let refused = transaction.create_region(attributes, 4096).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Invalid { .. }), "{refused}");
    }
    for len in [16 << 20, u64::MAX - 4095] {
        let refused = transaction.create_region("ram", len).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Full { .. }), "{refused}");
    }
    transaction.commit().unwrap();
    assert!(store.list().next().is_none());
}

#[test]
fn blobs_and_regions_do_not_replace_each_other() {
    let (_, mut store) = with_ram();
    let mut transaction = store.begin().unwrap();
    transaction.put("cpu", b"registers").unwrap();
    let is_taken = |done: Result<(), Error<_>>| {
        matches!(done.as_ref().map_err(Error::kind), Err(ErrorKind::NameTaken { .. }))
    };
    let not_a_blob = |done: Result<(), Error<_>>| {
        matches!(done.as_ref().map_err(Error::kind), Err(ErrorKind::OtherContent { .. }))
    };
    assert!(not_a_blob(transaction.put("ram", b"a blob")));
    assert!(not_a_blob(transaction.put_with("ram", 6, |writer| writer.append(b"a blob"))));
    assert!(is_taken(transaction.create_region("ram", LEAST)));
    assert!(is_taken(transaction.create_region("cpu", LEAST)));
    transaction.commit().unwrap();

    let refused = store.region("cpu").unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::OtherContent { .. }), "{refused}");
    let refused = store.region("rom").unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::NotFound { .. }), "{refused}");
    let reader = store.reader();
    let refusals = [
        reader.load("ram").unwrap_err(),
        reader.blob("ram").unwrap_err(),
        store.load("ram").unwrap_err(),
    ];
    for refused in refusals {
        assert!(matches!(refused.kind(), ErrorKind::OtherContent { .. }), "{refused}");
    }
    assert_eq!(reader.load("cpu").unwrap(), b"registers");
}

#[test]
fn a_region_in_use_is_neither_deleted_nor_sealed() {
    let (_, mut store) = with_ram();
    let first = store.region("ram").unwrap();
    let second = first.clone();
    drop(first);
    let third = store.region("ram").unwrap();
    drop(second);
    let mut transaction = store.begin().unwrap();
    let refused = transaction.delete("ram").unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"the region "ram" is in use; drop each `Region` of it first"#
    );
    // A renamed region stays in the same place.
    transaction.rename("ram", "memory").unwrap();
    assert!(transaction.delete("memory").is_err());
    transaction.commit().unwrap();
    let refused = store.seal().unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"the region "memory" is in use; drop each `Region` of it first"#
    );
    third.write(0, b"still here");
    drop(third);

    store.seal().unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.delete("memory").unwrap();
    transaction.commit().unwrap();
    assert!(store.list().next().is_none());
}

/// The next region is in the place of the first one.
#[test]
fn a_region_outlives_its_store() {
    let (medium, mut store) = with_ram();
    let region = store.region("ram").unwrap();
    drop(store);
    region.write(10, b"written late");
    assert_eq!(medium.bytes()[FIRST as usize + 10..][..12], *b"written late");
    drop(region);
    let (mut store, _) = options().open(medium).unwrap();
    assert_eq!(read(&store.region("ram").unwrap())[10..22], *b"written late");
}

#[test]
fn offsets_are_those_of_the_region() {
    let (medium, mut store) = with_ram();
    let region = store.region("ram").unwrap();
    assert_eq!(region.len(), LEAST);
    region.write(8, &[1; 8]);
    region.store(16, u64::MAX, Relaxed);
    let parts: Vec<(u64, [u8; 8])> =
        (0..20).map(|part| (64 * part + 32, [part as u8; 8])).collect();
    let parts: Vec<(u64, &[u8])> = parts.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    let Ok(()) = region.persist_copy(&parts);
    let bytes = medium.bytes();
    let bytes = &bytes[FIRST as usize..][..LEAST as usize];
    assert_eq!(bytes[..32], [[0; 8], [1; 8], [0xff; 8], [0; 8]].concat());
    for (at, part) in parts {
        assert_eq!(bytes[at as usize..][..8], *part);
    }
    assert_eq!(region.load(8, Relaxed), 0x0101_0101_0101_0101);
    assert_eq!(region.load(LEAST - 8, Relaxed), 0);
}

/// Each access would touch bytes outside the region.
#[test]
fn accesses_out_of_range_panic() {
    let (medium, mut store) = with_ram();
    let region = store.region("ram").unwrap();
    let before = medium.bytes();
    let does_panic = |access: &dyn Fn(&Region<Plain>)| {
        let access = core::panic::AssertUnwindSafe(|| access(&region));
        std::panic::catch_unwind(access).is_err()
    };
    assert!(does_panic(&|region| assert_eq!(region.load(LEAST, Relaxed), 0)));
    assert!(does_panic(&|region| region.store(LEAST, 7, Relaxed)));
    assert!(does_panic(&|region| region.store(u64::MAX - 7, 7, Relaxed)));
    assert!(does_panic(&|region| region.write(LEAST - 1, &[7; 2])));
    assert!(does_panic(&|region| region.read(LEAST - 1, &mut [7; 2]).unwrap()));
    assert!(does_panic(&|region| region.issue_writeback(LEAST - 1..LEAST + 1).unwrap()));
    assert!(does_panic(&|region| region.persist(0..LEAST + 1).unwrap()));
    assert!(does_panic(&|region| {
        region.copy_unfenced(&[(0, &[7; 8]), (LEAST - 4, &[7; 8])]).unwrap();
    }));
    assert!(medium.bytes() == before);
}

#[test]
fn regions_are_counted_and_not_verified() {
    let (medium, mut store) = with_ram();
    let mut transaction = store.begin().unwrap();
    transaction.put("cpu", &bytes(3)).unwrap();
    transaction.commit().unwrap();
    let verification = store.reader().verify().unwrap();
    let counts = (verification.whole, verification.regions, verification.bytes);
    assert_eq!(counts, (1, 1, bytes(3).len() as u64));
    assert!(verification.is_whole());

    // Without the end of the region and of the store.
    let cut = &medium.bytes()[..(FIRST + 1024) as usize];
    let cut = Bytes(cut);
    let damaged = Reader::open(cut).unwrap().verify().unwrap().damaged;
    assert_eq!((damaged.len(), damaged[0].1.part), (1, Part::Region { at: 0 }));
    let refused = options().open(Plain::new(cut.0)).unwrap_err();
    assert!(matches!(why(&refused), ErrorKind::Format(FormatError::Truncated { .. })), "{refused}");
}

/// Two entries have the same region, according to the documentation of the format. A writer must not free its space
/// twice.
#[test]
fn a_region_that_overlaps_another_one_is_refused() {
    let (medium, mut store) = empty(BYTES + LEAST);
    let mut transaction = store.begin().unwrap();
    transaction.create_region("a", LEAST).unwrap();
    transaction.create_region("b", LEAST).unwrap();
    transaction.commit().unwrap();
    let mut image = medium.bytes();
    let second = (FIRST + LEAST).to_le_bytes();
    let places: Vec<_> = (0..image.len() - 8).filter(|at| image[*at..*at + 8] == second).collect();
    for at in places {
        image[at..at + 8].copy_from_slice(&FIRST.to_le_bytes());
    }
    crate::seal::seal(&mut image);
    let bytes = Bytes(&image);
    let verification = Reader::open(bytes).unwrap().verify().unwrap();
    assert_eq!((verification.regions, verification.whole, verification.bytes), (2, 0, 0));
    let damaged = verification.damaged.iter().map(|(name, damage)| (&**name, damage.part));
    assert_eq!(damaged.collect::<Vec<_>>(), ["a", "b"].map(|name| (name, Part::Region { at: 0 })));
    let refused = options().open(Plain::new(&image)).unwrap_err();
    let is_damaged =
        matches!(why(&refused), ErrorKind::Damaged(found) if found.part == Part::Entry);
    assert!(is_damaged, "{refused}");
}

/// Restarts a virtual machine with this much memory. Returns the number of bytes read and stored meanwhile.
fn bytes_of_a_restart(ram: u64) -> u64 {
    let options = || Options::with_entropy([1, 2]);
    let medium = Counting::new(Plain::new(&vec![0; (ram + (4 << 20)) as usize]));
    let (mut store, _) = options().create_new(erased(&medium)).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.create_region(Attributes::new("ram").alignment(2 << 20), ram).unwrap();
    transaction.commit().unwrap();
    store.region("ram").unwrap().write(12_345, b"bytes of a guest");
    medium.taken();
    medium.looked_at.store(0, Relaxed);

    let mut transaction = store.begin().unwrap();
    transaction.put("registers", b"before").unwrap();
    transaction.commit().unwrap();
    store.seal().unwrap();
    drop(store);
    let (mut store, opened) = options().open(erased(&medium)).unwrap();
    assert!(opened.was_sealed);
    assert_eq!(store.reader().load("registers").unwrap(), b"before");
    let region = store.region("ram").unwrap();
    let bytes = medium.taken()[0] + medium.looked_at.load(Relaxed);
    let mut found = [0; 16];
    region.read(12_345, &mut found).unwrap();
    assert_eq!(found, *b"bytes of a guest");
    bytes
}

/// Only roots and the log are read and written.
#[test]
fn no_byte_of_a_region_is_copied_over_a_restart() {
    let [small, large] = [2 << 20, 64 << 20].map(bytes_of_a_restart);
    assert_eq!(small, large);
    assert!(large < 512 << 10, "{large}");
}

/// A fence itself does not report a kill. The medium's `persist_copy` does, even if it passes the copies on in several
/// calls.
#[test]
fn a_copy_of_a_process_that_is_killed_at_its_fence_is_an_error() {
    /// Returns true if a process that is killed after this number of operations makes its copy of `parts` parts
    /// persistent.
    fn persists(kill: u64, parts: usize) -> bool {
        let medium = Simulation::new(Model::X86, BYTES).zeros().medium();
        let (mut store, _) = options().create_new(&medium).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.create_region("ram", LEAST).unwrap();
        transaction.commit().unwrap();
        let mortal = medium.mortal(kill);
        let region =
            options().open(&mortal).ok().and_then(|(mut store, _)| store.region("ram").ok());
        let copies: Vec<_> = (0..).map(|at| (at * 64, &[1; 8][..])).take(parts).collect();
        region.is_some_and(|region| Medium::persist_copy(&region, &copies).is_ok())
    }
    let least = |parts| (0..1000).find(|kill| persists(*kill, parts)).unwrap();
    let fenced = least(0);
    // A copy and a write-back of each part.
    for parts in [1, 8, 9, 17] {
        assert_eq!(least(parts), fenced + 2 * parts as u64, "{parts} parts");
    }
}

/// The first of two records notes the use. If the second one fails, the region is not handed out and has not changed.
#[test]
fn a_region_that_was_not_handed_out_is_as_before() {
    for left in 0.. {
        let (plain, mut store) = with_ram();
        drop(store.region("ram").unwrap());
        store.seal().unwrap();
        drop(store);
        let medium = Counting::new(plain);
        let (mut store, _) = later().open(erased(&medium)).unwrap();
        medium.left.store(left, Relaxed);
        let first = store.region("ram");
        // The count wraps around when a write-back fails.
        let is_done = medium.left.swap(u64::MAX, Relaxed) <= left;
        // No region is handed out after a commit with an unknown outcome.
        if let Ok(region) = first.or_else(|_| store.region("ram")) {
            assert!(!region.info().is_dirty, "{left} write-backs");
        }
        if is_done {
            break;
        }
    }
}
