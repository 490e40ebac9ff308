//! A store behind a lock, whose transactions are made by two threads.

use super::{Do, Ending, Failed, Name, SIZES, Shape, Size, begin, bytes, change, commit};
use cachemaint_sim::sync::Mutex;
use cachemaint_sim::{Life, SimMedium, Violation};
use cachemaint_store::{ErrorKind, Store};
use cachemaint_test_support::part::Part;
use std::sync::PoisonError;

/// The transaction of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Puts a blob and commits it.
    Commit(Name),
    /// Puts a blob twice and commits the second one.
    Twice(Name),
    /// Puts a blob and drops it.
    Drop(Name),
    /// Begins a blob whose writer fails, and commits nothing.
    Fail(Name),
}

/// Beside the log.
const LONG: Size = SIZES[1];
/// Bytes that a writer has written before the end of the blob, by the source of the store.
const PIECE: usize = 4096;

pub(super) fn works(name: Name) -> impl Iterator<Item = Work> + Clone {
    [Work::Commit, Work::Drop, Work::Fail, Work::Twice].into_iter().map(move |work| work(name))
}

/// Runs both, in an order by chance.
pub(super) fn both<'m>(
    life: &Life<'m, Shape>,
    store: &mut Store<Part<'m, SimMedium>>,
    works: [Work; 2],
) -> Result<(), Violation> {
    let store = Mutex::new(store);
    let failed = std::sync::Mutex::new(None);
    let run = |work| {
        let done = store.with_mut(|store| one(life, store, work));
        if let Err(violation) = done {
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(violation);
        }
    };
    life.medium.run_threads(&[&|| run(works[0]), &|| run(works[1])]);
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

fn one<'m>(
    life: &Life<'m, Shape>,
    store: &mut Store<Part<'m, SimMedium>>,
    work: Work,
) -> Result<(), Violation> {
    let mut transaction = begin(life, store)?;
    match work {
        Work::Commit(name) => change(life, &mut transaction, Do::Put(name, LONG))?,
        Work::Twice(name) => {
            change(life, &mut transaction, Do::Put(name, LONG))?;
            change(life, &mut transaction, Do::Stream(name, LONG))?;
        }
        Work::Drop(name) => {
            change(life, &mut transaction, Do::Put(name, LONG))?;
            drop(transaction);
            life.note(|model| model.transaction = None);
            return Ok(());
        }
        Work::Fail(name) => {
            life.note(|model| model.next += 1);
            let bytes = bytes(life.model().next - 1, PIECE, Ending::Plain);
            let failed = transaction.put_with(name, 2 * bytes.len() as u64, |writer| {
                writer.append(&bytes)?;
                Err::<(), Option<Failed>>(None)
            });
            let is_full = |error: &Failed| matches!(error.kind(), ErrorKind::Full { .. });
            let is_right = matches!(&failed, Err(error) if error.as_ref().is_none_or(is_full));
            Violation::unless(is_right, || format!("{failed:?}"))?;
        }
    }
    commit(life, transaction)
}
