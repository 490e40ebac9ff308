//! Group commit: threads whose records are written back together.
//!
//! Records wait in groups, in the order of arrival. One thread at a time leads: it writes the first group, hands over to a
//! thread of the next group, and returns. All other threads wait for the outcome of their own group, never for a lock that
//! is held during a flush. Until a group is taken, records join it.

use super::error::{Error, ErrorKind, FormatError};
use super::geometry::Position;
use super::group::Group;
use super::journal::Journal;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use cachemaint::medium::Medium;
use cachemaint_format::sync;
use core::any::Any;
use core::mem;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
#[cfg(cachemaint_loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::PoisonError;
#[cfg(not(cachemaint_loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

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
    queue: Queue<Appended<M::Error>>,
}

/// The position of a group's first record.
type Appended<E> = Result<Position, Error<E>>;

impl<M: Medium> GroupCommit<M>
where
    M::Error: Clone,
{
    /// Shares a journal between threads.
    pub fn new(journal: Journal<M>) -> Self {
        Self { journal, queue: Queue::new() }
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
    /// Same as [`Journal::append`]. If the medium fails or panics, all threads of the group get an error.
    ///
    /// # Cost
    /// At most two flushes: the running one, and that of the record's own group. A group fits into a segment; if more
    /// records wait than fit, one more flush for each group before. If the journal is too full for a group, each of its
    /// threads appends by itself. The record is copied twice.
    pub fn append(&self, payload: &[u8]) -> Result<Position, Error<M::Error>> {
        let geometry = &self.journal.geometry;
        let sizes = [payload.len() as u64, geometry.largest()].map(|len| geometry.size(len));
        let mut panic = None;
        let write = |group: Option<Group>| self.write(group, payload, &mut panic);
        let (first, offset) = self.queue.append(payload, sizes, write);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        match first {
            Ok(first) => Ok(Position(first.0 + offset)),
            // Nothing of the group was written. This record alone may fit, or has an error of its own.
            Err(error)
                if matches!(error.kind(), ErrorKind::Full { .. } | ErrorKind::TooLong { .. }) =>
            {
                self.journal.append(payload)
            }
            Err(error) => Err(error),
        }
    }

    /// Appends a record as [`append`](Self::append) does. While the journal is full, it waits for another thread to trim
    /// it, for at most `timeout`, as [`Journal::append_within`] does.
    ///
    /// # Errors
    /// Same as [`Journal::append_within`]. [`Journal::cancel_waits`] ends the wait.
    pub fn append_within(
        &self,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Position, Error<M::Error>> {
        self.journal.wait_while_full(payload, timeout, || self.append(payload))
    }

    /// Appends a group, or the payload. After a panic of the medium, which is stored in `panic`, the journal has failed.
    fn write(
        &self,
        group: Option<Group>,
        payload: &[u8],
        panic: &mut Option<Box<dyn Any + Send>>,
    ) -> Appended<M::Error> {
        let appended = catch_unwind(AssertUnwindSafe(|| match group {
            Some(mut group) => self.journal.append_group(&mut group).map(|range| range.start),
            None => self.journal.append(payload),
        }));
        appended.unwrap_or_else(|payload| {
            *panic = Some(payload);
            self.journal.in_flight.fail_later();
            Err(Error::format(FormatError::Failed))
        })
    }
}

/// Groups that wait to be written. `T` is the outcome of a write.
#[derive(Debug)]
struct Queue<T>(Mutex<Waiting<T>>);

#[derive(Debug)]
struct Waiting<T> {
    /// In the order of their first records.
    groups: VecDeque<Batch<T>>,
    /// True from the moment a thread leads until the last group is written.
    has_leader: bool,
}

/// A group that waits.
#[derive(Debug)]
struct Batch<T> {
    group: Group,
    /// The bytes of its records.
    size: u64,
    progress: Arc<Progress<T>>,
}

/// A group's progress, which its threads wait for.
#[derive(Debug)]
struct Progress<T> {
    stage: Mutex<Stage<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum Stage<T> {
    Waits,
    /// It is the first group, and one of its threads must lead.
    IsFirst,
    IsWritten(T),
}

impl<T: Clone> Queue<T> {
    fn new() -> Self {
        Self(Mutex::new(Waiting { groups: VecDeque::new(), has_leader: false }))
    }

    /// Appends a record of `size` bytes in a group of at most `limit` bytes. Returns the outcome of the group, and the
    /// bytes before the record. If this thread must lead, it calls `write` with the group, or with `None` if the record
    /// is alone. `write` must not panic.
    fn append(
        &self,
        payload: &[u8],
        sizes: [u64; 2],
        write: impl FnOnce(Option<Group>) -> T,
    ) -> (T, u64) {
        let mut waiting = lock(&self.0);
        if !mem::replace(&mut waiting.has_leader, true) {
            // No group waits.
            drop(waiting);
            let outcome = write(None);
            self.hand_over();
            return (outcome, 0);
        }
        let (progress, offset) = waiting.push(payload, sizes);
        drop(waiting);
        (progress.wait().unwrap_or_else(|| self.lead(&progress, write)), offset)
    }

    /// Writes the first group.
    fn lead(&self, progress: &Progress<T>, write: impl FnOnce(Option<Group>) -> T) -> T {
        let first = lock(&self.0).groups.pop_front();
        let outcome = write(first.map(|batch| batch.group));
        *lock(&progress.stage) = Stage::IsWritten(outcome.clone());
        progress.changed.notify_all();
        // Last, so that threads of this group can join the next one.
        self.hand_over();
        outcome
    }

    /// Lets a thread of the next group lead.
    fn hand_over(&self) {
        let mut waiting = lock(&self.0);
        let next = waiting.groups.front().map(|batch| Arc::clone(&batch.progress));
        waiting.has_leader = next.is_some();
        drop(waiting);
        if let Some(next) = next {
            *lock(&next.stage) = Stage::IsFirst;
            next.changed.notify_one();
        }
    }
}

impl<T> Waiting<T> {
    /// Adds a record to the last group, or to a new one. Returns the group's progress and the bytes before the record.
    fn push(&mut self, payload: &[u8], [size, limit]: [u64; 2]) -> (Arc<Progress<T>>, u64) {
        let mut last = match self.groups.pop_back() {
            Some(last) if last.size + size <= limit => last,
            full => {
                self.groups.extend(full);
                Batch::new()
            }
        };
        let offset = last.size;
        last.group.push(payload);
        last.size += size;
        let progress = Arc::clone(&last.progress);
        self.groups.push_back(last);
        (progress, offset)
    }
}

impl<T> Batch<T> {
    fn new() -> Self {
        let progress = Progress { stage: Mutex::new(Stage::Waits), changed: Condvar::new() };
        Self { group: Group::new(), size: 0, progress: Arc::new(progress) }
    }
}

impl<T: Clone> Progress<T> {
    /// Waits for the group's outcome, or until this thread must lead: then there is none.
    fn wait(&self) -> Option<T> {
        let mut stage = lock(&self.stage);
        loop {
            stage = match &*stage {
                Stage::Waits if sync::may_sleep() => {
                    self.changed.wait(stage).unwrap_or_else(PoisonError::into_inner)
                }
                Stage::Waits => {
                    drop(stage);
                    sync::spin_loop();
                    lock(&self.stage)
                }
                Stage::IsFirst => {
                    *stage = Stage::Waits;
                    return None;
                }
                Stage::IsWritten(outcome) => return Some(outcome.clone()),
            };
        }
    }
}

/// Locks. No medium is called under a lock, so no thread panics there.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, feature = "dax", not(any(miri, cachemaint_loom))))]
#[expect(clippy::unwrap_used, reason = "what fails here is a finding")]
mod tests {
    use super::{Group, GroupCommit, Queue, lock};
    use crate::{Error, ErrorKind, Journal, Options, Position, Reader};
    use alloc::vec;
    use alloc::vec::Vec;
    use cachemaint::dax::{self, DaxFile};
    use core::mem;
    use core::time::Duration;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Mutex, PoisonError};
    use std::thread;

    type Appended = Result<Position, Error<dax::Error>>;

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

    /// Waits until these bytes of records are in these groups.
    fn wait_for<T>(queue: &Queue<T>, groups: &[u64]) {
        while !lock(&queue.0).groups.iter().map(|batch| batch.size).eq(groups.iter().copied()) {
            thread::yield_now();
        }
    }

    /// Appends a record of each of these lengths, by threads of their own, while another thread leads. The records are
    /// then in these groups.
    fn append_behind(
        commit: &GroupCommit<DaxFile>,
        lengths: &[usize],
        groups: &[u64],
    ) -> Vec<(Vec<u8>, Appended)> {
        lock(&commit.queue.0).has_leader = true;
        thread::scope(|scope| {
            let append = |(number, len): (u8, &usize)| {
                let payload = vec![number; *len];
                scope.spawn(move || (payload.clone(), commit.append(&payload)))
            };
            let threads: Vec<_> = (1..).zip(lengths).map(append).collect();
            wait_for(&commit.queue, groups);
            commit.queue.hand_over();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[track_caller]
    fn assert_are_there(journal: &Journal<DaxFile>, appended: Vec<(Vec<u8>, Appended)>) {
        let appended = appended.into_iter();
        let mut expected: Vec<_> =
            appended.map(|(payload, position)| (position.unwrap(), payload)).collect();
        expected.sort();
        assert_eq!(records(journal), expected);
    }

    /// Records of 16 + 5 bytes, in words.
    #[test]
    fn records_gather_while_another_thread_leads() {
        let commit = GroupCommit::new(Journal::create_new(file()).unwrap().0);
        let appended = append_behind(&commit, &[5, 5, 5], &[3 * 24]);
        assert_are_there(commit.journal(), appended);
        assert!(!lock(&commit.queue.0).has_leader);
    }

    /// A segment of 1024 bytes has 960 bytes for records after its mark, and a record has a header of 16 bytes.
    #[test]
    fn what_does_not_fit_into_a_group_is_in_the_next_one() {
        let (journal, _) = Options::new().segment(1024).create_new(file()).unwrap();
        let commit = GroupCommit::new(journal);
        let appended = append_behind(&commit, &[624, 624, 624], &[640, 640, 640]);
        assert_are_there(commit.journal(), appended);
        let too_long = append_behind(&commit, &[945], &[968]).remove(0).1.unwrap_err();
        let is_right = matches!(too_long.kind(), ErrorKind::TooLong { len: 945, limit: 944 });
        assert!(is_right, "{too_long}");
    }

    /// Two records of 464 bytes fill a segment, and half a segment is free.
    #[test]
    fn of_a_group_that_does_not_fit_into_the_journal_the_records_that_fit_are_appended() {
        let new = || {
            let (journal, _) = Options::new().segment(1024).create_new(file()).unwrap();
            GroupCommit::new(journal)
        };
        let commit = new();
        let append = |commit: &GroupCommit<_>| commit.append(&[7; 464]);
        let most = (0..100).find(|_| append(&commit).is_err()).unwrap();
        assert_eq!(records(commit.journal()).len(), most);
        let commit = new();
        (1..most).for_each(|_| _ = append(&commit).unwrap());
        let appended = append_behind(&commit, &[464, 464], &[960]);
        let refused = appended.iter().filter_map(|(_, position)| position.as_ref().err());
        let kinds: Vec<_> = refused.map(Error::kind).collect();
        assert!(matches!(kinds[..], [ErrorKind::Full { .. }]), "{kinds:?}");
        assert_eq!(records(commit.journal()).len(), most);
    }

    #[test]
    fn a_thread_waits_while_the_journal_is_full() {
        let commit = GroupCommit::new(Journal::create_new(file()).unwrap().0);
        while commit.append(&[7; 500]).is_ok() {}
        let full = commit.append_within(&[7; 500], Duration::from_millis(1)).unwrap_err();
        assert!(matches!(full.kind(), ErrorKind::Full { .. }), "{full}");
        thread::scope(|scope| {
            let append = || commit.append_within(&[7; 500], Duration::MAX).unwrap();
            let waiting = [(); 2].map(|()| scope.spawn(append));
            commit.journal().trim(commit.journal().end()).unwrap();
            for thread in waiting {
                thread.join().unwrap();
            }
        });
        assert_eq!(records(&commit.into_journal()).len(), 2);
    }

    /// A write that lasts until the test ends it.
    struct Writes {
        begun: Sender<u64>,
        ended: Mutex<Receiver<()>>,
    }

    impl Writes {
        /// Returns what sees the sizes of the writes as they begin, and what ends each.
        fn new() -> (Self, Receiver<u64>, Sender<()>) {
            let ((begun, sizes), (end, ended)) = (channel(), channel());
            (Self { begun, ended: Mutex::new(ended) }, sizes, end)
        }

        /// Writes a group, or a record of 24 bytes.
        fn write(&self, group: Option<Group>) {
            self.begun.send(group.map_or(24, |group| group.size(8))).unwrap();
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap();
        }
    }

    /// Each record takes part in the second write after its arrival at the latest, and its thread returns while the next
    /// one is under way. A group has room for four records.
    #[test]
    fn an_append_takes_at_most_two_writes() {
        let (queue, (writes, sizes, end)) = (Queue::new(), Writes::new());
        let append = || queue.append(&[7; 8], [24, 96], |group| writes.write(group)).1;
        thread::scope(|scope| {
            let mut under_way = vec![scope.spawn(append)];
            assert_eq!(sizes.recv(), Ok(24));
            for expected in [&[0][..], &[0, 24, 48, 72], &[0, 24, 48, 72]] {
                let next = (0..4).map(|_| scope.spawn(append)).collect();
                wait_for(&queue, &[96]);
                end.send(()).unwrap();
                assert_eq!(sizes.recv(), Ok(96));
                let returned = mem::replace(&mut under_way, next).into_iter();
                let mut offsets: Vec<_> = returned.map(|thread| thread.join().unwrap()).collect();
                offsets.sort_unstable();
                assert_eq!(offsets, expected);
            }
            end.send(()).unwrap();
        });
    }

    /// Six records of which two fit into a group: the last pair is in the fourth write.
    #[test]
    fn a_record_waits_for_each_group_before_its_own() {
        let (queue, (writes, sizes, end)) = (Queue::new(), Writes::new());
        let append = || queue.append(&[7; 8], [24, 48], |group| writes.write(group));
        thread::scope(|scope| {
            scope.spawn(append);
            assert_eq!(sizes.recv(), Ok(24));
            (0..6).for_each(|_| drop(scope.spawn(append)));
            wait_for(&queue, &[48; 3]);
            for _ in 0..3 {
                end.send(()).unwrap();
                assert_eq!(sizes.recv(), Ok(48));
            }
            end.send(()).unwrap();
        });
        assert!(!lock(&queue.0).has_leader);
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::{Group, Queue};
    use alloc::vec;
    use alloc::vec::Vec;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;
    use std::sync::Mutex;

    /// A record of this size makes its write fail: no sum of other sizes in these tests has this bit.
    const FAILING: u64 = 128;

    #[derive(Clone)]
    struct Shared(Arc<(Queue<Result<u64, ()>>, UnsafeCell<()>, Mutex<Vec<u64>>)>);

    impl Shared {
        fn new() -> Self {
            Self(Arc::new((Queue::new(), UnsafeCell::new(()), Mutex::default())))
        }

        /// Appends a record of this size, and returns its position.
        fn append(&self, size: u64) -> Result<u64, ()> {
            let (queue, leader, written) = &*self.0;
            let write = |group: Option<Group>| {
                // Loom fails if two threads lead, or one does not see what the one before has done.
                leader.with_mut(|_| ());
                let size = group.map_or(size, |group| group.size(8));
                let mut written = written.lock().unwrap();
                let start = written.iter().sum();
                written.push(size);
                if size & FAILING == 0 { Ok(start) } else { Err(()) }
            };
            let payload = vec![7; size as usize - 16];
            let (start, offset) = queue.append(&payload, [size, 1024], write);
            start.map(|start| start + offset)
        }

        /// Returns the sizes of the writes, in order.
        fn written(&self) -> Vec<u64> {
            self.0.2.lock().unwrap().clone()
        }
    }

    /// The second record of one thread may be in a group with the other thread's, which fails.
    #[test]
    fn each_of_two_threads_gets_the_outcome_of_its_own_group() {
        loom::model(|| {
            let shared = Shared::new();
            let failing = {
                let shared = shared.clone();
                thread::spawn(move || shared.append(FAILING))
            };
            let appended = [(); 2].map(|()| shared.append(24));
            assert_eq!(failing.join().unwrap(), Err(()));
            let expected = match shared.written()[..] {
                [24, 24, FAILING] => [Ok(0), Ok(24)],
                [24, FAILING, 24] => [Ok(0), Ok(24 + FAILING)],
                [FAILING, 24, 24] => [Ok(FAILING), Ok(FAILING + 24)],
                [24, 152] => [Ok(0), Err(())],
                ref other => panic!("{other:?}"),
            };
            assert_eq!(appended, expected);
        });
    }

    /// Two threads may wait in one group, of which one must lead.
    #[test]
    fn of_three_threads_none_waits_forever() {
        // All interleavings would take many minutes.
        let mut few = loom::model::Builder::new();
        few.preemption_bound = Some(3);
        few.check(|| {
            let shared = Shared::new();
            let threads = [24, 32].map(|size| {
                let shared = shared.clone();
                thread::spawn(move || (shared.append(size).unwrap(), size))
            });
            let mut appended = vec![(shared.append(40).unwrap(), 40)];
            appended.extend(threads.map(|thread| thread.join().unwrap()));
            appended.sort_unstable();
            // Records of sizes 24, 32 and 40 without overlap and without a gap.
            let mut end = 0;
            for (start, size) in appended {
                assert_eq!(start, end);
                end += size;
            }
            assert_eq!((end, shared.written().iter().sum::<u64>()), (96, 96));
        });
    }
}
