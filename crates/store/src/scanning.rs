//! Reading a store without an allocator.

use crate::blob::Blob;
use crate::commit::Commit;
use crate::error::{Error, ErrorKind, Part};
use crate::info::Info;
use crate::log::read;
use cachemaint::medium::{OpenError, Readable};
use cachemaint_format::identity::Identity;
use core::ops::Range;

/// A store opened for reading without an allocator or an operating system. Each operation scans the log.
///
/// A [`Reader`](crate::Reader) keeps the table in memory instead. The medium can be
/// [`Bytes`](cachemaint::medium::Bytes).
#[derive(Clone, Debug)]
pub struct ScanningReader<R: Readable> {
    medium: R,
    commit: Commit,
}

impl<R: Readable> ScanningReader<R> {
    /// Opens a store for reading, even while a process writes.
    ///
    /// # Errors
    /// If the medium has no store, or one of another version; if all roots or the whole log are damaged; if the medium
    /// ends before the log does; [`ErrorKind::Replaced`] if a writer overtook 100 attempts; or if the medium fails.
    pub fn open(medium: R) -> Result<Self, OpenError<R, Error<R::Error>>> {
        match Commit::last(&medium) {
            Ok(commit) => Ok(Self { medium, commit }),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Moves to the last commit.
    ///
    /// # Errors
    /// Same as [`open`](Self::open). The reader then stays at its commit.
    pub fn refresh(&mut self) -> Result<(), Error<R::Error>> {
        self.commit = Commit::last(&self.medium)?;
        Ok(())
    }

    /// Returns the medium.
    pub const fn medium(&self) -> &R {
        &self.medium
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.commit.log.identity()
    }

    /// Returns the number of the commit.
    #[must_use]
    pub const fn commit_number(&self) -> u64 {
        self.commit.state.number
    }

    /// Returns true if the store was [sealed](crate#reboots) and has not changed since.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.commit.state.is_sealed
    }

    /// Returns the size of the store in bytes when it was last opened for writing.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.commit.state.size
    }

    /// Returns the entry of a blob or a region, or `None` if the name does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`] if the log has been compacted since; [`ErrorKind::Damaged`] if the last record that
    /// could name it is damaged in both mirrors, or was forged; or if the medium fails.
    pub fn stat(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        self.commit.find(&self.medium, name)
    }

    /// Copies the metadata of a blob or region into the buffer, and returns the part of the buffer that it fills.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the buffer is too small; [`ErrorKind::Replaced`] if this commit does not have the
    /// entry; those of [`stat`](Self::stat).
    pub fn metadata<'b>(
        &self,
        info: &Info,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Error<R::Error>> {
        let len = info.metadata;
        // The metadata of an entry from another commit or another store could be anywhere.
        let there = self.stat(&info.name)?.filter(|there| there.is(info));
        let there = there.ok_or(Error(ErrorKind::Replaced))?;
        let small =
            Error::invalid("the buffer must be at least as long as the metadata", len as u64);
        let bytes = buffer.get_mut(..len).ok_or(small)?;
        read(&self.medium, Part::Record, there.metadata_at, bytes)?;
        self.commit.unless_replaced(&self.medium)?;
        Ok(bytes)
    }

    /// Opens a blob, to be read in parts or as a stream.
    ///
    /// # Errors
    /// Same as [`stat`](Self::stat); [`ErrorKind::NotFound`], [`ErrorKind::OtherContent`]; [`ErrorKind::Damaged`] if
    /// its tags are damaged; [`FormatError::Truncated`](crate::FormatError::Truncated) if the medium ends before the
    /// blob does.
    pub fn blob(&self, name: &str) -> Result<Blob<&R>, Error<R::Error>> {
        let info = self.stat(name)?.ok_or_else(|| Error::not_found(name))?;
        Blob::open(&self.medium, self.identity(), info)
    }

    /// Reads the last `LAST` bytes of the last opening's own, padded with zeros, and the time of the commit.
    pub(crate) fn circumstances<const LAST: usize>(
        &self,
    ) -> Result<([u8; LAST], u64), Error<R::Error>> {
        let mut bytes = [0; LAST];
        let Range { start, end } = self.commit.state.circumstances;
        if end - start >= LAST as u64 {
            read(&self.medium, Part::Record, end - LAST as u64, &mut bytes)?;
        }
        self.commit.unless_replaced(&self.medium)?;
        Ok((bytes, self.commit.state.seconds))
    }
}
