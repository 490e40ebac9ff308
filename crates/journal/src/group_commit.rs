//! Group commit: threads whose records are written back together.

use super::error::{Error, ErrorKind};
use super::geometry::Position;
use super::group::Group;
use super::journal::Journal;
use alloc::sync::Arc;
use cachemaint::medium::Medium;
use core::mem;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A journal on a drive for many threads, for example one for each connection: while one flush runs, the records of all
/// other threads gather for the next one.
///
/// In memory, and with line granularity, call [`Journal::append`] from each thread: it waits for no other thread's fence.
///
/// ```
/// use cachemaint::dax;
/// use cachemaint_journal::{GroupCommit, Journal, Reader};
///
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("payments");
/// let file = dax::Options::new().allow_page_granularity().open_or_create(path, 1 << 20)?;
/// let (journal, _) = Journal::open_or_create(file)?;
/// let payments = GroupCommit::new(journal);
/// std::thread::scope(|threads| {
///     for payer in ["Ada", "Edsger", "Grace"] {
///         let payments = &payments;
///         threads.spawn(move || payments.append(payer.as_bytes()).expect("is durable"));
///     }
/// });
/// let reader = Reader::open(payments.journal().medium()).map_err(|failed| failed.error)?;
/// assert_eq!(reader.verify()?.records, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GroupCommit<M: Medium> {
    journal: Journal<M>,
    waiting: Mutex<Waiting<M::Error>>,
    /// Held by the thread that writes. It has the memory of the last group, for the next one.
    writing: Mutex<Group>,
}

/// The records of the next group.
#[derive(Debug)]
struct Waiting<E: core::error::Error> {
    group: Group,
    outcome: Outcome<E>,
}

/// A record in a group.
struct Pushed<E> {
    outcome: Outcome<E>,
    /// The bytes of the group before it.
    offset: u64,
}

/// The position of a group's first record, once the group is written.
type Outcome<E> = Arc<OnceLock<Result<Position, Error<E>>>>;

impl<M: Medium> GroupCommit<M>
where
    M::Error: Clone,
{
    /// Shares a journal between threads.
    pub fn new(journal: Journal<M>) -> Self {
        let waiting = Mutex::new(Waiting { group: Group::new(), outcome: Outcome::default() });
        Self { journal, waiting, writing: Mutex::new(Group::new()) }
    }

    /// Returns the journal, for trimming and reading.
    pub const fn journal(&self) -> &Journal<M> {
        &self.journal
    }

    /// Returns the journal for other use.
    pub fn into_journal(self) -> Journal<M> {
        self.journal
    }

    /// Appends a record and waits until it is acknowledged, as [`Journal::append`] does.
    ///
    /// # Errors
    /// Same as [`Journal::append`]. If the journal is [full](ErrorKind::Full) for a group, none of its records is
    /// appended, and each of its threads gets the error.
    ///
    /// # Cost
    /// At most two flushes: the one that runs, and that of its own group. The record is copied twice.
    pub fn append(&self, payload: &[u8]) -> Result<Position, Error<M::Error>> {
        let Pushed { outcome, offset } = self.push(payload)?;
        let mut last = lock(&self.writing);
        if outcome.get().is_none() {
            self.write_waiting(&mut last);
        }
        drop(last);
        // Without an outcome, the thread that wrote the group panicked, and the journal has failed.
        let first = outcome.get().map_or_else(|| Err(self.journal.failed()), Clone::clone)?;
        Ok(Position(first.0 + offset))
    }

    /// Adds a record to the next group.
    fn push(&self, payload: &[u8]) -> Result<Pushed<M::Error>, Error<M::Error>> {
        let geometry = &self.journal.geometry;
        let (len, limit) = (payload.len() as u64, geometry.largest());
        if len > limit {
            return Err(Error::new(ErrorKind::TooLong { len, limit }));
        }
        loop {
            let mut waiting = lock(&self.waiting);
            let offset = waiting.group.size(geometry.alignment);
            if offset == 0 || offset + geometry.size(len) <= geometry.size(limit) {
                waiting.group.push(payload);
                return Ok(Pushed { outcome: Arc::clone(&waiting.outcome), offset });
            }
            drop(waiting);
            self.write_waiting(&mut lock(&self.writing));
        }
    }

    /// Writes the group that waits. Threads can fill the next one meanwhile.
    fn write_waiting(&self, last: &mut Group) {
        let mut waiting = lock(&self.waiting);
        mem::swap(&mut waiting.group, last);
        let outcome = mem::take(&mut waiting.outcome);
        drop(waiting);
        let written = self.journal.append_group(last).map(|range| range.start);
        last.clear();
        // This thread alone has taken the group.
        let _first = outcome.set(written);
    }
}

/// Locks, also after a panic of a medium: no state is half changed, and the journal has failed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, feature = "dax", not(any(miri, cachemaint_loom))))]
#[expect(clippy::unwrap_used, reason = "what fails here is a finding")]
mod tests {
    use super::{GroupCommit, lock};
    use crate::{ErrorKind, Journal, Options, Position, Reader};
    use alloc::vec::Vec;
    use alloc::{format, vec};
    use cachemaint::dax::{self, DaxFile};
    use std::thread;

    /// Returns a file that is gone when it is closed.
    fn file() -> DaxFile {
        let directory = tempfile::tempdir().unwrap();
        let options = dax::Options::new().allow_page_granularity();
        options.create_new(directory.path().join("journal"), 1 << 16).unwrap()
    }

    /// Returns the records with their positions.
    fn records(journal: &Journal<DaxFile>) -> Vec<(Position, Vec<u8>)> {
        let reader = Reader::open(journal.medium()).unwrap();
        let (mut records, mut payload, mut found) = (reader.records().unwrap(), vec![], vec![]);
        while let Some(position) = records.read_next(&mut payload).unwrap() {
            found.push((position, payload.clone()));
        }
        found
    }

    #[test]
    fn records_gather_while_another_thread_writes() {
        let commit = GroupCommit::new(Journal::create_new(file()).unwrap().0);
        let mut appended: Vec<_> = thread::scope(|scope| {
            let writing = lock(&commit.writing);
            let threads: Vec<_> = (0..3_u8)
                .map(|number| {
                    let commit = &commit;
                    scope.spawn(move || (commit.append(&[number; 5]).unwrap(), vec![number; 5]))
                })
                .collect();
            // Three records of 16 + 5 bytes, in words.
            while lock(&commit.waiting).group.size(8) < 3 * 24 {
                thread::yield_now();
            }
            drop(writing);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        appended.sort();
        assert_eq!(records(commit.journal()), appended);
    }

    /// A group has room for one of these records and half of another.
    #[test]
    fn what_does_not_fit_into_a_group_waits_for_the_next_one() {
        let (journal, _) = Options::new().segment(1024).create_new(file()).unwrap();
        let commit = GroupCommit::new(journal);
        let len = commit.journal().largest() as usize * 2 / 3;
        let mut appended: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|number| {
                    let (commit, payload) = (&commit, vec![number; len]);
                    scope.spawn(move || (commit.append(&payload).unwrap(), payload))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        appended.sort();
        assert_eq!(records(commit.journal()), appended);
        let longest = vec![8; commit.journal().largest() as usize];
        commit.append(&longest).unwrap();
        let too_long = commit.append(&vec![8; longest.len() + 1]).unwrap_err();
        assert!(matches!(too_long.kind(), ErrorKind::TooLong { .. }), "{too_long}");
    }

    #[test]
    fn a_full_journal_takes_records_again_after_a_trim() {
        let commit = GroupCommit::new(Journal::create_new(file()).unwrap().0);
        let payload = |number: u64| format!("record {number}").into_bytes();
        let mut count = 0;
        let full = loop {
            match commit.append(&payload(count)) {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full.kind(), ErrorKind::Full { .. }), "{full}");
        let found = records(commit.journal());
        assert!(found.iter().map(|(_, payload)| payload).cloned().eq((0..count).map(payload)));
        commit.journal().trim(commit.journal().end()).unwrap();
        commit.append(b"after").unwrap();
        assert_eq!(records(&commit.into_journal())[0].1, b"after");
    }
}
