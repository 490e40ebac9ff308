//! Space that a transaction frees. Another thread may be the next to write there.

use crate::life::options;
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint_store::{Error, Store};
use cachemaint_test_support::plain::Plain;
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A medium that counts the streaming stores not yet completed by a fence.
struct Streams {
    medium: Plain,
    under_way: Arc<AtomicU64>,
}

impl Readable for Streams {
    type Error = Infallible;

    fn len(&self) -> u64 {
        Readable::len(&self.medium)
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        self.medium.try_load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        self.medium.read(at, into)
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Medium for Streams {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
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

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.medium.issue_writeback(range)
    }

    fn fence(&self) -> Result<(), Infallible> {
        self.under_way.store(0, Relaxed);
        Ok(())
    }

    fn order_observed(&self) {}

    #[expect(unsafe_code, reason = "as the trait has it")]
    unsafe fn copy_unordered(&self, parts: &[(u64, &[u8])]) -> Result<(), Infallible> {
        self.under_way.fetch_add(parts.len() as u64, Relaxed);
        self.copy_unfenced(parts)
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

fn empty() -> Store<Streams> {
    let medium = Streams { medium: Plain::zeros(256 << 10), under_way: Arc::default() };
    options().create_new(medium).unwrap().0
}

fn under_way(store: &Store<Streams>) -> u64 {
    store.medium().under_way.load(Relaxed)
}

#[test]
fn space_of_a_transaction_that_is_dropped_has_no_stores_under_way() {
    let mut store = empty();
    let free = store.capacity();
    let mut transaction = store.begin().unwrap();
    transaction.put("a", &[1; 1000]).unwrap();
    drop(transaction);
    assert_eq!((under_way(&store), store.capacity()), (0, free));
}

#[test]
fn space_of_a_put_that_fails_has_no_stores_under_way() {
    let mut store = empty();
    let mut transaction = store.begin().unwrap();
    let failed = transaction.put_with("a", 10_000, |writer| {
        writer.append(&[1; 9000])?;
        Err::<(), Option<Error<Infallible>>>(None)
    });
    assert!(failed.is_err());
    // Nothing else was put, so the end of the transaction frees nothing.
    transaction.commit().unwrap();
    assert_eq!(under_way(&store), 0);
}

#[test]
fn space_of_a_put_that_another_put_replaces_has_no_stores_under_way() {
    let mut store = empty();
    let under_way = Arc::clone(&store.medium().under_way);
    let mut transaction = store.begin().unwrap();
    transaction.put("a", &[1; 1000]).unwrap();
    assert!(under_way.load(Relaxed) > 0);
    transaction.put("a", b"of the record").unwrap();
    assert_eq!(under_way.load(Relaxed), 0);
}

#[test]
fn a_put_whose_writing_panics_gives_its_space_back() {
    let mut store = empty();
    let free = store.capacity();
    let mut transaction = store.begin().unwrap();
    let mut panicking = |len| {
        let put = AssertUnwindSafe(|| {
            transaction.put_with("a", len, |writer| -> Result<(), Error<Infallible>> {
                writer.append(&[1; 9000])?;
                panic!("of the test")
            })
        });
        assert!(catch_unwind(put).is_err());
    };
    panicking(100_000);
    // Both would not fit at once.
    panicking(150_000);
    drop(transaction);
    assert_eq!((under_way(&store), store.capacity()), (0, free));
}
