//! Regions and seals: a region is dirty from its first use until its user seals the store.

use crate::life::{bytes, later, options};
use crate::regions::{BYTES, FIRST, LEAST, empty, with_ram};
use cachemaint::medium::{Bytes, Granularity, Medium, Readable, WriterLock};
use cachemaint_store::{Attributes, ErrorKind, Info, Reader, Store};
use cachemaint_test_support::counting::{Broken, Counting};
use cachemaint_test_support::erased::{Erased, erased};
use cachemaint_test_support::plain::Plain;
use core::ops::Range;
use core::sync::atomic::Ordering::{self, Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Returns the entry of the region.
fn ram(store: &Store<Plain>) -> Info {
    store.reader().stat("ram").unwrap().unwrap()
}

fn put(store: &mut Store<Plain>, name: &str) {
    let mut transaction = store.begin().unwrap();
    transaction.put(name, &bytes(3)).unwrap();
    transaction.commit().unwrap();
}

/// The entry alone tells a virtual machine whether its memory and its registers belong together.
#[test]
fn a_region_is_dirty_from_its_use_to_the_seal_of_its_user() {
    let (medium, mut store) = with_ram();
    assert!(!ram(&store).is_dirty, "zeros");
    let region = store.region("ram").unwrap();
    assert!(!region.info().is_dirty, "as it was before");
    assert!(ram(&store).is_dirty);
    put(&mut store, "registers");
    drop(region);
    assert!(ram(&store).is_dirty);
    store.seal().unwrap();
    assert!(!ram(&store).is_dirty);
    let registers = |store: &Store<_>| store.reader().stat("registers").unwrap().unwrap();
    assert!(registers(&store).commit > ram(&store).commit);

    // Other commits, a rename and an opening do not change that.
    put(&mut store, "other");
    drop(store);
    let (mut store, opened) = later().open(medium.clone()).unwrap();
    assert!(!opened.was_sealed && !ram(&store).is_dirty);
    let mut transaction = store.begin().unwrap();
    transaction.rename("ram", "memory").unwrap();
    transaction.rename("memory", "ram").unwrap();
    transaction.commit().unwrap();
    assert!(!ram(&store).is_dirty);
    assert!(registers(&store).commit > ram(&store).commit);

    // The region is used and sealed, but no registers are put. The commit number shows it.
    drop(store.region("ram").unwrap());
    store.seal().unwrap();
    assert!(!ram(&store).is_dirty && registers(&store).commit < ram(&store).commit);

    // The region is used again after the registers were put, without a seal in between.
    drop(store.region("ram").unwrap());
    put(&mut store, "registers");
    drop(store.region("ram").unwrap());
    store.seal().unwrap();
    assert!(!ram(&store).is_dirty && registers(&store).commit < ram(&store).commit);
}

/// An operator does this after a crash. The bytes are written back, but may be of different moments.
#[test]
fn a_seal_of_another_process_leaves_a_region_dirty() {
    let (medium, mut store) = with_ram();
    put(&mut store, "registers");
    drop(store.region("ram").unwrap());
    put(&mut store, "registers");
    drop(store);
    let (mut store, _) = later().open(medium.clone()).unwrap();
    store.seal().unwrap();
    drop(store);
    let (mut store, opened) = later().open(medium).unwrap();
    assert!(opened.was_sealed && ram(&store).is_dirty);
    // The next user of the region can see that.
    assert!(store.region("ram").unwrap().info().is_dirty);
    store.seal().unwrap();
    assert!(!ram(&store).is_dirty);
}

/// All regions are sealed, even if each entry has a page of its own, and a full store has space for that.
#[test]
fn many_regions_are_sealed_in_a_full_store() {
    let (medium, mut store) = empty(FIRST + 120 * LEAST);
    let mut names = Vec::new();
    loop {
        let mut transaction = store.begin().unwrap();
        let name = format!("region {}", names.len());
        let attributes = Attributes::new(&name).metadata(&[7; 2000]);
        match transaction.create_region(attributes, LEAST) {
            Ok(()) => drop(transaction.commit().unwrap()),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}");
                break;
            }
        }
        names.push(name);
    }
    assert!(names.len() > 8, "{}", names.len());
    let regions: Vec<_> = names.iter().map(|name| store.region(name).unwrap()).collect();
    assert!(store.list().collect::<Vec<_>>().iter().all(|info| info.is_dirty));
    drop(regions);
    store.seal().unwrap();
    drop(store);
    let (store, opened) = later().open(medium).unwrap();
    assert!(opened.was_sealed);
    assert!(store.list().collect::<Vec<_>>().iter().all(|info| !info.is_dirty));
}

/// A seal also vouches for the bytes of regions, so it is removed before they can change.
#[test]
fn a_region_is_not_changed_under_a_seal() {
    let (medium, mut store) = with_ram();
    store.seal().unwrap();
    let (mut store, opened) = later().open(medium.clone()).unwrap();
    assert!(opened.was_sealed);
    // A list changes nothing.
    assert!(store.list().collect::<Vec<_>>().len() == 1 && store.reader().is_sealed());
    let region = store.region("ram").unwrap();
    assert!(!Reader::open(Bytes(&medium.bytes())).unwrap().is_sealed());
    drop(region);
    // Nothing was committed in between.
    let commit = store.commit_number();
    drop(store.region("ram").unwrap());
    assert_eq!(store.commit_number(), commit);
}

/// Each write-back of a seal fails in turn. The seal's header may still reach the medium.
#[test]
fn a_region_is_not_changed_under_a_seal_that_failed() {
    let mut outcomes = [0; 2];
    for left in 0..40 {
        let (plain, mut store) = with_ram();
        store.seal().unwrap();
        drop(store);
        let medium = Counting::new(plain.clone());
        let (mut store, _) = later().open(erased(&medium)).unwrap();
        drop(store.region("ram").unwrap());
        medium.left.store(left, Relaxed);
        let sealed = store.seal();
        medium.left.store(u64::MAX, Relaxed);
        outcomes[usize::from(sealed.is_ok())] += 1;
        let region = store.region("ram");
        let image = plain.bytes();
        let bytes = Bytes(&image);
        let snapshot = Reader::open(bytes).unwrap();
        let is_dirty = snapshot.stat("ram").unwrap().unwrap().is_dirty;
        let is_safe = region.is_err() || is_dirty && !snapshot.is_sealed();
        assert!(is_safe, "{left} write-backs, {sealed:?}");
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 0, "{outcomes:?}");
}

/// A medium with its own buffers or caches: committed bytes reach them, and deep-persisted bytes go beyond.
#[derive(Debug)]
struct Buffered {
    medium: Plain,
    granularity: Granularity,
    beyond: Mutex<Beyond>,
}

/// The bytes that remain after a loss of the buffers.
#[derive(Debug, Default)]
struct Beyond {
    bytes: Vec<u8>,
    /// The bytes after each deep persist.
    images: Vec<Vec<u8>>,
    /// The process is killed at the next deep persist.
    kills: bool,
    /// The process may not flush. It learns this after the lines were written back.
    refuses: bool,
}

impl Buffered {
    fn new() -> Self {
        let bytes = vec![0; 128 << 10];
        let medium = Plain::new(&bytes);
        let beyond = Mutex::new(Beyond { bytes, ..Beyond::default() });
        Self { granularity: medium.granularity(), medium, beyond }
    }

    fn beyond(&self) -> MutexGuard<'_, Beyond> {
        self.beyond.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if the region is clean after a loss of the buffers.
    fn is_clean(&self) -> bool {
        let beyond = self.beyond();
        let bytes = Bytes(&beyond.bytes);
        let snapshot = Reader::open(bytes).unwrap();
        assert!(snapshot.verify().unwrap().damaged.is_empty());
        !snapshot.stat("ram").unwrap().unwrap().is_dirty
    }

    /// Returns true if the store is sealed after a loss of the buffers.
    fn is_sealed(&self) -> bool {
        Reader::open(Bytes(&self.beyond().bytes)).unwrap().is_sealed()
    }

    /// Returns a sealed store with two regions.
    fn sealed(&self) -> Store<Erased<'_, Broken>> {
        let (mut store, _) = options().create_new(erased(self)).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.create_region("ram", LEAST).unwrap();
        transaction.create_region("rom", LEAST).unwrap();
        transaction.commit().unwrap();
        drop(store.region("ram").unwrap());
        store.seal().unwrap();
        assert!(self.is_clean());
        store
    }

    /// Checks that a store exists whenever the buffers are lost during `work`.
    fn has_a_store_throughout(&self, work: impl FnOnce()) {
        self.has_throughout(work, |_| ());
    }

    /// Checks that a store with these properties exists whenever the buffers are lost during `work`.
    fn has_throughout(&self, work: impl FnOnce(), has: impl Fn(&Reader<Bytes<'_>>)) {
        self.beyond().images.clear();
        work();
        let images = core::mem::take(&mut self.beyond().images);
        assert!(images.len() > 2);
        for image in &images {
            has(&Reader::open(Bytes(image)).unwrap());
        }
    }
}

impl Readable for Buffered {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Broken> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        let Ok(()) = self.medium.read(at, into);
        Ok(())
    }

    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }
}

impl Medium for Buffered {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.medium.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.medium.write(at, from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Broken> {
        let Ok(()) = self.medium.issue_writeback(range);
        Ok(())
    }

    fn fence(&self) -> Result<(), Self::Error> {
        self.check()
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Broken> {
        let range = range.start as usize..range.end as usize;
        let bytes = self.medium.bytes();
        let mut beyond = self.beyond();
        assert!(!beyond.kills, "killed");
        beyond.bytes[range.clone()].copy_from_slice(&bytes[range]);
        let image = beyond.bytes.clone();
        beyond.images.push(image);
        if beyond.refuses { Err(Broken) } else { Ok(()) }
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

/// A seal reaches deeper than a fence, so the note that removes it must do the same.
#[test]
fn a_seal_is_removed_as_deep_as_it_was_put() {
    let medium = Buffered::new();
    let mut store = medium.sealed();
    for has_blob in [false, true, false] {
        if has_blob {
            let mut transaction = store.begin().unwrap();
            transaction.put("other", &[]).unwrap();
            transaction.commit().unwrap();
        }
        drop(store.region("ram").unwrap());
        assert!(!medium.is_clean());
        store.seal().unwrap();
        assert!(medium.is_clean());
    }
}

/// Otherwise a loss of the buffers would leave a commit without its bytes, or a seal on a store with newer blobs.
#[test]
fn a_seal_is_removed_before_anything_is_committed_that_is_not_as_deep() {
    let medium = Buffered::new();
    let mut store = medium.sealed();
    let [old, new] = [[1; 300], [2; 300]];
    let put = |store: &mut Store<Erased<'_, Broken>>, bytes, name| {
        let mut transaction = store.begin().unwrap();
        transaction.put("other", bytes).unwrap();
        transaction.create_region(name, LEAST).unwrap();
        transaction.commit().unwrap();
    };
    for (refuses, before, name) in [(false, "a", "b"), (true, "c", "d")] {
        medium.beyond().refuses = false;
        put(&mut store, &old, before);
        store.seal().unwrap();
        assert!(medium.is_sealed());
        medium.beyond().refuses = refuses;
        medium.has_throughout(
            || put(&mut store, &new, name),
            |snapshot| {
                let [whole, entry] = [name, "other"].map(|name| snapshot.stat(name).unwrap());
                assert!(snapshot.verify().unwrap().damaged.is_empty());
                assert!(entry.is_some() && whole.is_none(), "the zeros of the region are lost");
            },
        );
        assert!(!medium.is_sealed());
        let reader = store.reader();
        assert_eq!(reader.load("other").unwrap(), new);
    }
}

#[test]
fn pages_that_the_system_wrote_back_are_not_written_back_again() {
    let medium = Buffered { granularity: Granularity::Page(4096), ..Buffered::new() };
    let (mut store, _) = options().create_new(erased(&medium)).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.create_region("ram", LEAST).unwrap();
    transaction.commit().unwrap();
    store.seal().unwrap();
    medium.beyond().images.clear();
    let mut transaction = store.begin().unwrap();
    transaction.put("other", &[1; 300]).unwrap();
    transaction.commit().unwrap();
    drop(store.region("ram").unwrap());
    assert!(medium.beyond().images.is_empty());
}

/// The next process finds the region dirty, but only in the buffers.
#[test]
fn a_note_of_a_killed_process_is_made_as_deep_by_the_next() {
    let medium = Buffered::new();
    let mut store = medium.sealed();
    medium.beyond().kills = true;
    let uses = core::panic::AssertUnwindSafe(|| drop(store.region("ram")));
    assert!(std::panic::catch_unwind(uses).is_err());
    medium.beyond().kills = false;
    let (mut store, _) = later().open(erased(&medium)).unwrap();
    drop(store.region("ram").unwrap());
    assert!(!medium.is_clean());
}

/// Otherwise a loss of the buffers would restore the seal, although the store has changed since.
#[test]
fn the_end_of_a_seal_by_a_killed_process_is_made_as_deep_by_the_next() {
    let medium = Buffered::new();
    let mut store = medium.sealed();
    medium.beyond().kills = true;
    let puts = core::panic::AssertUnwindSafe(|| {
        let mut transaction = store.begin().unwrap();
        transaction.put("other", &[1; 300]).unwrap();
        transaction.commit()
    });
    assert!(std::panic::catch_unwind(puts).is_err());
    assert!(medium.is_sealed());
    medium.beyond().kills = false;
    let (store, opened) = later().open(erased(&medium)).unwrap();
    assert!(!opened.was_sealed && !medium.is_sealed());
    assert!(store.reader().stat("other").unwrap().is_none());
}

#[test]
fn a_note_is_written_back_without_the_permission_to_flush() {
    let medium = Buffered::new();
    drop(medium.sealed());
    medium.beyond().refuses = true;
    let (mut store, _) = later().open(erased(&medium)).unwrap();
    drop(store.region("ram").unwrap());
    assert!(!medium.is_clean());
}

#[test]
fn a_store_is_there_throughout_a_use_and_a_seal() {
    let medium = Buffered::new();
    let mut store = medium.sealed();
    medium.has_a_store_throughout(|| {
        drop(store.region("ram").unwrap());
        drop(store.region("rom").unwrap());
    });
    medium.has_a_store_throughout(|| {
        store.seal().unwrap();
    });
}

/// No record that is known to be persistent contains it.
#[test]
fn a_region_whose_creation_failed_is_not_used() {
    for left in 0.. {
        let medium = Counting::new(Plain::new(&vec![0; BYTES as usize]));
        let (mut store, _) = options().create_new(erased(&medium)).unwrap();
        medium.left.store(left, Relaxed);
        let mut transaction = store.begin().unwrap();
        let created = transaction.create_region("ram", LEAST);
        let created = created.and_then(|()| transaction.commit());
        medium.left.store(u64::MAX, Relaxed);
        if created.is_ok() {
            break;
        }
        assert!(store.region("ram").is_err(), "{left}: {created:?}");
    }
}
