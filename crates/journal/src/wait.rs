//! Waiting for records and for space.

use super::error::{Error, ErrorKind};
use super::geometry::Position;
use super::journal::Journal;
use super::waiters::left;
use cachemaint::family::clock;
use cachemaint::medium::Medium;
use core::time::Duration;

impl<M: Medium> Journal<M> {
    /// Waits until the [end](Self::end) of the acknowledged records exceeds `position`, for at most `timeout`, and
    /// returns the end. The returned end does not exceed `position` if the time ran out or waits are
    /// [cancelled](Self::cancel_waits). [`Duration::MAX`] means no limit.
    ///
    /// The end also moves over space without a record, so a reader may find no new record afterwards. It should then
    /// wait again from the position that it has [reached](super::Records::reached).
    ///
    /// A consumer in the producers' process keeps one [`Records`](super::Records) and trims what it has handled:
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
    /// [`FormatError::Failed`](super::FormatError::Failed) if the end will never exceed `position`.
    pub fn wait_for_records(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, Error<M::Error>> {
        let in_flight = &self.in_flight;
        let never_passes = || in_flight.never_reaches(position.0.saturating_add(1));
        in_flight.wait(timeout, || in_flight.advance() <= position.0 && !never_passes());
        let end = in_flight.advance();
        if end <= position.0 && never_passes() {
            return Err(self.failed());
        }
        Ok(Position(end))
    }

    /// Appends a record as [`append`](Self::append) does. While the journal is full, it waits for another thread to
    /// [trim](Self::trim) it, for at most `timeout`. [`Duration::MAX`] means no limit.
    ///
    /// # Errors
    /// Same as [`append`](Self::append). The journal is [full](ErrorKind::Full) if the time runs out or waits are
    /// [cancelled](Self::cancel_waits).
    ///
    /// # Cost
    /// That of [`append`](Self::append) if there is space.
    pub fn append_within(
        &self,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Position, Error<M::Error>> {
        self.wait_while_full(payload, timeout, || self.append(payload))
    }

    /// Calls `append` for a payload until the journal is not full, for at most `timeout`.
    pub(super) fn wait_while_full(
        &self,
        payload: &[u8],
        timeout: Duration,
        append: impl Fn() -> Result<Position, Error<M::Error>>,
    ) -> Result<Position, Error<M::Error>> {
        let size = self.geometry.size(payload.len() as u64);
        let mut started = None;
        loop {
            let error = match append() {
                Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => error,
                appended => return appended,
            };
            let started = *started.get_or_insert_with(clock::now);
            let Some(left) = left(timeout, started) else { return Err(error) };
            let mut has_room = false;
            self.in_flight.wait(left, || {
                has_room = self.in_flight.has_room(size);
                !has_room && !self.in_flight.has_failed()
            });
            if self.in_flight.has_failed() {
                return Err(self.failed());
            }
            if !has_room {
                return Err(error);
            }
        }
    }

    /// Ends all current and future waits of [`wait_for_records`](Self::wait_for_records) and
    /// [`append_within`](Self::append_within), as if their time had run out. All other calls work as before. A producer
    /// that fails must call it too: if it just leaves by `?` or a panic, the consumer waits forever.
    pub fn cancel_waits(&self) {
        self.in_flight.cancel_waits();
    }
}
