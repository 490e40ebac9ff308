//! Waiting for records and for space. While no thread waits, it costs a producer one load.
//!
//! A waiting thread increments a count and then checks its condition. A changing thread makes its change and then
//! loads the count. All four accesses are sequentially consistent, so one of the two threads sees the other: no wake-up
//! is lost. The change is a read-modify-write, and the count is loaded. On x86 neither differs from its relaxed form;
//! on arm64 the load is an LDAR.

use super::error::{Error, ErrorKind, FormatError};
use super::inflight::InFlight;
use super::{Journal, Position};
use cachemaint::family::clock;
use cachemaint::medium::Medium;
#[cfg(not(cachemaint_loom))]
use core::sync::atomic::{AtomicU64, Ordering::SeqCst, fence};
use core::time::Duration;
#[cfg(cachemaint_loom)]
use loom::sync::atomic::{AtomicU64, Ordering::SeqCst, fence};
#[cfg(cachemaint_loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(cachemaint_loom))]
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

impl<M: Medium> Journal<M> {
    /// Waits until the [end](Self::end) of the acknowledged records is greater than `position`, at most for `timeout`.
    /// Returns that end: it is not greater if the time is over or waits are [cancelled](Self::cancel_waits).
    /// With [`Duration::MAX`] the time is not limited.
    ///
    /// The end also moves over space without a record. So a reader may find no new record after this. Then it waits again
    /// from the position that it has [reached](super::Records::reached).
    ///
    /// A consumer in the process of the producers keeps one [`Records`](super::Records), and trims what it has handled:
    ///
    /// ```
    /// # #[cfg(feature = "dax")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cachemaint::dax;
    /// use cachemaint_journal::Journal;
    /// use std::{thread, time::Duration};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("journal");
    /// let file = dax::Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
    /// let (journal, _) = Journal::open_or_create(file)?;
    /// thread::scope(|scope| {
    ///     let producer = scope.spawn(|| {
    ///         let appended = journal.append_within(b"paid 3 to Ada", Duration::MAX);
    ///         journal.cancel_waits(); // no other record comes
    ///         appended
    ///     });
    ///     let (mut records, mut payload) = (journal.records()?, Vec::new());
    ///     loop {
    ///         while let Some(position) = records.read_next(&mut payload)? {
    ///             println!("{position}: {} bytes", payload.len());
    ///         }
    ///         let reached = records.reached();
    ///         journal.trim(reached)?;
    ///         if journal.wait_for_records(reached, Duration::MAX)? <= reached {
    ///             break; // waits are cancelled, and every record was read
    ///         }
    ///     }
    ///     producer.join().expect("the producer panicked")?;
    ///     Ok(())
    /// })
    /// # }
    /// # #[cfg(not(feature = "dax"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`FormatError::Failed`], if the end will never be greater than `position`.
    pub fn wait_for_records(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, Error<M::Error>> {
        let end = self.in_flight.wait_for_end(position.0, timeout);
        if end <= position.0 && self.in_flight.never_passes(position.0) {
            return Err(Error::format(FormatError::failed(&self.medium)));
        }
        Ok(Position(end))
    }

    /// Appends a record as [`append`](Self::append) does. While the journal is full it waits for another thread to
    /// [trim](Self::trim) it, at most for `timeout`. With [`Duration::MAX`] the time is not limited.
    ///
    /// # Errors
    /// As [`append`](Self::append). The journal is [full](ErrorKind::Full) if the time is over or waits are
    /// [cancelled](Self::cancel_waits).
    ///
    /// # Cost
    /// That of [`append`](Self::append) if there is space.
    pub fn append_within(
        &self,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Position, Error<M::Error>> {
        let mut started = None;
        loop {
            let error = match self.append(payload) {
                Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => error,
                appended => return appended,
            };
            let started = *started.get_or_insert_with(clock::now);
            let Some(left) = left(timeout, started) else { return Err(error) };
            let size = self.geometry.size(payload.len() as u64);
            let has_room = self.in_flight.wait_for_room(size, left);
            if self.in_flight.has_failed() {
                return Err(Error::format(FormatError::failed(&self.medium)));
            }
            if !has_room {
                return Err(error);
            }
        }
    }

    /// Ends all waits of [`wait_for_records`](Self::wait_for_records) and [`append_within`](Self::append_within), in
    /// progress and later, as if their time were over. All other calls work as before. A producer that fails must call it
    /// too: one that leaves by `?` or a panic leaves the consumer waiting.
    pub fn cancel_waits(&self) {
        self.in_flight.cancel_waits();
    }
}

impl InFlight {
    /// Waits until the watermark is after `end` or never will be, or waits are cancelled. Returns the watermark.
    fn wait_for_end(&self, end: u64, timeout: Duration) -> u64 {
        self.wait(timeout, || self.advance() <= end && !self.never_passes(end));
        self.advance()
    }

    /// Returns true if the watermark will never be after `end`.
    fn never_passes(&self, end: u64) -> bool {
        self.never_reaches(end.saturating_add(1))
    }

    /// Waits until `size` bytes can be reserved, the journal has failed or waits are cancelled. Returns true if they
    /// could be reserved. Another thread may have reserved them since.
    fn wait_for_room(&self, size: u64, timeout: Duration) -> bool {
        let mut has_room = false;
        self.wait(timeout, || {
            has_room = self.has_room(size);
            !has_room && !self.has_failed()
        });
        has_room
    }
}

/// Threads that wait for a change of the records under way.
#[derive(Debug)]
pub(super) struct Waiters {
    count: AtomicU64,
    /// True if waits are cancelled.
    is_cancelled: Mutex<bool>,
    changed: Condvar,
}

impl Waiters {
    pub(super) fn new() -> Self {
        Self { count: AtomicU64::new(0), is_cancelled: Mutex::new(false), changed: Condvar::new() }
    }

    /// Wakes the threads that wait, after a change by a sequentially consistent read-modify-write.
    #[inline]
    pub(super) fn wake(&self) {
        // loom treats a sequentially consistent load as an acquiring one.
        #[cfg(cachemaint_loom)]
        fence(SeqCst);
        if self.count.load(SeqCst) > 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        // A thread between its check and its sleep holds the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Ends all waits, now and from now on.
    pub(super) fn cancel(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    /// Waits while `goes_on` returns true, at most for `timeout`, unless waits are [cancelled](Self::cancel). `goes_on`
    /// is called under the lock: it announces nothing.
    pub(super) fn wait(&self, timeout: Duration, mut goes_on: impl FnMut() -> bool) {
        self.count.fetch_add(1, SeqCst);
        fence(SeqCst);
        let mut guard = self.lock();
        let started = clock::now();
        while goes_on() && !*guard {
            let Some(left) = left(timeout, started) else { break };
            let waited = self.changed.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(guard);
        self.count.fetch_sub(1, SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the rest of a wait since `begin`, or `None` if it is over. Without a clock it is over at once, since the
/// standard library cannot wait there either.
fn left(timeout: Duration, begin: Option<Instant>) -> Option<Duration> {
    timeout.checked_sub(begin?.elapsed()).filter(|left| !left.is_zero())
}
