//! Waiting for records and for space. It costs producers a load while nobody waits.

use super::error::{Error, ErrorKind};
use super::inflight::InFlight;
use super::{Journal, Position};
use crate::medium::Medium;
use core::time::Duration;

impl<M: Medium> Journal<M> {
    /// Waits until the [end](Self::end) of the acknowledged records is behind `position`, at most for `timeout`. Returns
    /// that end: it is not behind `position` if the time is over. [`Duration::MAX`] is no limit.
    ///
    /// So a consumer in this process waits for the next record:
    ///
    /// ```
    /// # #[cfg(feature = "dax")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cachemaint::{dax, journal::Journal};
    /// # use std::time::Duration;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("journal");
    /// # let file = dax::Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
    /// let (journal, _) = Journal::open_or_create(file)?;
    /// # journal.append(b"paid 3 to Ada")?;
    /// let mut next = journal.head();
    /// # loop {
    /// journal.wait_for_records(next, Duration::from_secs(1))?;
    /// let reader = journal.reader()?;
    /// let mut records = reader.records_from(next)?;
    /// for record in &mut records {
    ///     println!("{}", record?.position);
    /// }
    /// next = records.reached();
    /// journal.trim(next)?;
    /// # break;
    /// # }
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "dax"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Failed`], if the end will never be behind `position`.
    pub fn wait_for_records(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, Error<M::Error>> {
        let end = self.in_flight.wait_for_end(position.0, timeout);
        if end <= position.0 && self.in_flight.has_failed() {
            return Err(Error::new(ErrorKind::Failed));
        }
        Ok(Position(end))
    }

    /// Waits until another thread has [trimmed](Self::trim) enough for a record of `len` bytes, at most for `timeout`.
    /// Returns false if the time is over. [`Duration::MAX`] is no limit.
    ///
    /// Another producer can take the space first: append, and wait again if the journal is
    /// [full](ErrorKind::Full).
    ///
    /// # Errors
    /// If a record of this length is [too long](ErrorKind::TooLong), or the journal has [failed](ErrorKind::Failed).
    pub fn wait_for_room(&self, len: u64, timeout: Duration) -> Result<bool, Error<M::Error>> {
        let limit = self.geometry.largest();
        if len > limit {
            return Err(Error::new(ErrorKind::TooLong { len, limit }));
        }
        let has_room = self.in_flight.wait_for_room(self.geometry.size(len), timeout);
        if self.in_flight.has_failed() {
            return Err(Error::new(ErrorKind::Failed));
        }
        Ok(has_room)
    }
}

impl InFlight {
    /// Waits until the watermark is behind `end` or the journal has failed. Returns the watermark.
    fn wait_for_end(&self, end: u64, timeout: Duration) -> u64 {
        self.wait(timeout, || self.watermark() <= end && !self.has_failed());
        self.advance()
    }

    /// Waits until `size` bytes can be reserved or the journal has failed. Returns true if they could be when it looked
    /// last: another producer may have taken them since.
    pub(super) fn wait_for_room(&self, size: u64, timeout: Duration) -> bool {
        let mut has_room = false;
        self.wait(timeout, || {
            has_room = self.has_room(size);
            !has_room && !self.has_failed()
        });
        has_room
    }
}
