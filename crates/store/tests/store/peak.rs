//! Work that follows what is live, not what once was.

use crate::life::options;
use crate::seal::u64_at;
use cachemaint::medium::{Medium, Readable as _};
use cachemaint_store::{Reader, Store, Transaction};
use cachemaint_test_support::counting::Counting;
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::Ordering::Relaxed;

/// The capacity of a log in a store of this size, and the bytes of both mirrors.
const LOG: u64 = 64 << 10;
const MIRRORS: u64 = 2 * LOG;

fn commit<M: Medium>(store: &mut Store<M>, change: impl Fn(&mut Transaction<'_, M>)) {
    let mut transaction = store.begin().unwrap();
    change(&mut transaction);
    transaction.commit().unwrap();
}

/// Returns a store that had this many names.
fn after(medium: &Counting<Plain>, names: u32) -> Store<&Counting<Plain>> {
    let name = |number| format!("name {number}");
    let (mut store, _) = options().create_new(medium).unwrap();
    commit(&mut store, |transaction| {
        (0..names).for_each(|number| transaction.put(&name(number), &[1; 64]).unwrap());
    });
    commit(&mut store, |transaction| {
        (0..names).for_each(|number| transaction.delete(&name(number)).unwrap());
    });
    store
}

fn generation(medium: &Counting<Plain>) -> u64 {
    let mut roots = [0; 8192];
    medium.medium.read(0, &mut roots).unwrap();
    u64_at(&roots, 40).max(u64_at(&roots, 4096 + 40))
}

#[test]
fn openings_refreshes_and_compactions_cost_what_is_live() {
    for names in [0, 1000, 30_000] {
        let size = (4 << 20) + names as usize * 2000;
        let (empty, _) = options().create_new(Plain::zeros(size)).unwrap();
        let free = empty.capacity().free;
        let medium = Counting::new(Plain::zeros(size));
        let mut store = after(&medium, names);
        assert_eq!(store.capacity().free, free, "{names}: the areas of the log are free again");
        let looked = || medium.looked_at.swap(0, Relaxed);
        looked();
        let mut reader = Reader::open(&medium).unwrap();
        // Each record is read once, and each line behind the end once in each mirror. The roots are small.
        let opening = looked();
        assert!(opening <= MIRRORS + LOG, "{names}: {opening}");
        reader.refresh().unwrap();
        let unchanged = looked();
        assert!(unchanged <= 2048, "{names}: {unchanged}");
        commit(&mut store, |transaction| transaction.put("two", &[2; 100]).unwrap());
        looked();
        reader.refresh().unwrap();
        let changed = looked();
        assert!(changed <= 4096 && reader.load("two").unwrap() == [2; 100], "{names}: {changed}");
        // A commit of this value takes 192 bytes.
        let (before, mut commits) = (generation(&medium), 0);
        while generation(&medium) == before {
            commit(&mut store, |transaction| transaction.put("one", &[3; 64]).unwrap());
            commits += 1;
        }
        assert!(commits <= LOG / 192 + 1, "{names}: {commits}");
        drop(store);
        looked();
        drop(options().open(&medium).unwrap());
        let opening = looked();
        assert!(opening <= 2 * MIRRORS, "{names}: {opening}");
    }
}
