//! A medium that fails or panics at one of its calls, and what a store makes of that.

use crate::life::{Blobs, blobs, options};
use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint_store::{Attributes, Error, ErrorKind, FormatError, Store};
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::plain::Plain;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A medium whose write-backs and fences fail from one of them on, or one of whose calls panics.
#[derive(Clone)]
pub(crate) struct Faulty {
    medium: Plain,
    left: Arc<AtomicU64>,
    panics: bool,
}

/// Without the medium.
impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

impl Faulty {
    pub(crate) fn new(medium: Plain, panics: bool) -> Self {
        Self { medium, left: Arc::new(AtomicU64::new(u64::MAX)), panics }
    }

    /// Has the calls after this number of them fail, or the next one panic.
    pub(crate) fn fault_after(&self, calls: u64) {
        self.left.store(calls, Relaxed);
    }

    fn call(&self) -> Result<(), Broken> {
        let next = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Relaxed, Relaxed, next).is_ok() {
            return Ok(());
        }
        if self.panics {
            self.fault_after(u64::MAX);
        }
        assert!(!self.panics, "of the test");
        Err(Broken)
    }

    /// For a call that cannot fail.
    fn call_if_panics(&self) {
        if self.panics {
            self.call().unwrap();
        }
    }
}

impl Readable for Faulty {
    type Error = Broken;

    fn len(&self) -> u64 {
        Readable::len(&self.medium)
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Broken> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        self.call_if_panics();
        let Ok(()) = self.medium.read(at, into);
        Ok(())
    }

    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }
}

impl Medium for Faulty {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.call_if_panics();
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.call_if_panics();
        self.medium.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.call_if_panics();
        self.medium.write(at, from);
    }

    fn issue_writeback(&self, _: Range<u64>) -> Result<(), Broken> {
        self.call()
    }

    fn fence(&self) -> Result<(), Broken> {
        self.call()
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Broken> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

/// All changes that a commit can make, and then a failure or a panic at each of its calls: a store shows no commit that
/// is not known to be durable.
#[test]
fn a_commit_that_fails_or_panics_is_never_seen() {
    for panics in [false, true] {
        let mut failures = 0;
        for calls in 0.. {
            let medium = Faulty::new(Plain::zeros(1 << 20), panics);
            let (mut store, _) = options().create_new(medium.clone()).unwrap();
            let mut transaction = store.begin().unwrap();
            for (name, len) in [("replaced", 10), ("deleted", 20), ("renamed", 1000)] {
                transaction.put(name, &vec![1; len]).unwrap();
            }
            transaction.commit().unwrap();
            let before = (blobs(&store).unwrap(), store.commit_number(), store.capacity().free);
            let mut transaction = store.begin().unwrap();
            transaction.put("replaced", &[2; 300]).unwrap();
            transaction.put("new", &[2; 10]).unwrap();
            transaction.delete("deleted").unwrap();
            transaction.rename("renamed", "again").unwrap();
            medium.fault_after(calls);
            let commit = AssertUnwindSafe(|| transaction.commit());
            let is_committed = matches!(catch_unwind(commit), Ok(Ok(_)));
            medium.fault_after(u64::MAX);
            if is_committed {
                assert_ne!(blobs(&store).unwrap(), before.0);
                break;
            }
            failures += 1;
            let reader = store.reader();
            assert_eq!(reader.commit_number(), before.1, "{calls} calls");
            let seen = (blobs(&store).unwrap(), store.commit_number(), store.capacity().free);
            assert_eq!(seen, before, "{calls} calls");
        }
        assert!(failures >= 4, "{failures}");
    }
}

/// One transaction of a life in which the log grows, is compacted and shrinks.
fn step(store: &mut Store<Faulty>, model: &mut Blobs, number: u8) -> Result<(), Error<Broken>> {
    let mut transaction = store.begin()?;
    let metadata = [number; 4096];
    let wide = (0..12).map(|wide| format!("wide {wide}"));
    let (name, len) = (format!("{}", number % 3), [100, 1000][usize::from(number) % 2]);
    match number {
        2 => wide.clone().try_for_each(|name| {
            model.insert(name.clone(), vec![2; 10]);
            transaction.put(Attributes::new(&name).metadata(&metadata), &[2; 10])
        })?,
        3 => wide.clone().try_for_each(|name| {
            model.remove(&name);
            transaction.delete(&name)
        })?,
        _ => {
            model.insert(name.clone(), vec![number; len]);
            transaction.put(&name, &vec![number; len])?;
        }
    }
    transaction.commit().map(drop)
}

/// The number of steps of a life.
const STEPS: u8 = 8;

/// Lives until the medium fails, and goes on: whoever does either succeeds, or is told that the store has failed. Returns
/// the blobs before the commit in doubt and after it, or `None` if nothing failed.
fn live(medium: &Faulty) -> Option<[Blobs; 2]> {
    let mut before = Blobs::new();
    let open = AssertUnwindSafe(|| options().open(medium.clone()).map(|(store, _)| store));
    let Ok(Ok(mut store)) = catch_unwind(open) else { return Some([before.clone(), before]) };
    for number in 0..STEPS {
        let mut after = before.clone();
        let run = AssertUnwindSafe(|| step(&mut store, &mut after, number));
        let has_failed = !matches!(catch_unwind(run), Ok(Ok(())));
        if !has_failed {
            before = after;
            continue;
        }
        medium.fault_after(u64::MAX);
        let mut again = before.clone();
        match step(&mut store, &mut again, number) {
            Ok(()) => return Some([again.clone(), again]),
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::Format(FormatError::Failed)), "{error}");
                assert!(store.close().is_err());
                return Some([before, after]);
            }
        }
    }
    None
}

#[test]
fn a_medium_that_fails_or_panics_at_any_call_loses_no_commit() {
    for panics in [false, true] {
        let mut in_doubt = 0;
        for calls in 0.. {
            let plain = Plain::zeros(1 << 20);
            drop(options().create_new(plain.clone()).unwrap());
            let medium = Faulty::new(plain.clone(), panics);
            medium.fault_after(calls);
            let Some([before, after]) = live(&medium) else { break };
            medium.fault_after(u64::MAX);
            let (store, opened) = options().verify().open(plain).unwrap();
            assert!(opened.verification.unwrap().is_whole(), "{calls} calls");
            let found = blobs(&store).unwrap();
            assert!(found == before || found == after, "{calls} calls");
            in_doubt += u32::from(before != after);
        }
        assert!(in_doubt > 30, "{in_doubt}");
    }
}
