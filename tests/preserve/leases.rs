//! A reader's lease in one thread beside the writer in another, in every order that the simulator tries.

use crate::life::{BYTES, options};
use cachemaint::medium::Readable;
use cachemaint::preserve::{Attributes, Store};
use cachemaint::sim::{Model, SimMedium, Simulation};
use std::sync::Mutex;

/// The length of each version of the blob, so that a later one fits in the place of an earlier one.
const LEN: usize = 100;
/// The versions that are put beside the reader. Two commits after a version its place is used again.
const LATER: core::ops::RangeInclusive<u8> = 2..=5;
/// Looks at the leased bytes, before each of which the writer can go on.
const LOOKS: usize = 3;

/// The bytes of a blob are its version.
fn put(store: &mut Store<&SimMedium>, version: u8) {
    let mut transaction = store.begin().unwrap();
    let attributes = Attributes::new("a").version(version.into());
    transaction.put(attributes, &[version; LEN]).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_lease_keeps_its_bytes_whenever_another_thread_writes() {
    let simulation = Simulation::new(Model::CACHES_KEPT, BYTES).prepared(|medium| {
        let mut store = options().create_new(medium).unwrap();
        put(&mut store, 1);
    });
    let exploration = simulation.explore(
        |medium, _notes| {
            let (store, _) = options().open(medium).unwrap();
            let reader = store.reader();
            let store = Mutex::new(store);
            let reads = || {
                let lease = reader.lease("a").unwrap();
                let version = lease.info().version as u8;
                for look in 0..LOOKS {
                    let mut bytes = [0; LEN];
                    let Ok(()) = lease.medium().read(lease.info().range().start, &mut bytes);
                    assert!(bytes == [version; LEN], "version {version} at look {look}");
                }
            };
            let writes = || {
                let mut store = store.lock().unwrap();
                LATER.for_each(|version| put(&mut store, version));
            };
            medium.run_threads(&[&reads, &writes]);
        },
        |_medium, _notes: &[()]| Ok(()),
    );
    exploration.assert_safe();
    println!("{} orders", exploration.schedules);
}
