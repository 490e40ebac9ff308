//! Reading a store without an allocator.

use crate::blob::Blob;
use crate::commit::Commit;
use crate::error::{Error, ErrorKind, Part};
use crate::info::Info;
use crate::log::read;
use cachemaint::medium::{OpenError, Readable};
use cachemaint_format::identity::Identity;
use core::ops::Range;

/// A store opened for reading without an allocator or an operating system: it scans the log in each operation.
///
/// [`Reader`](crate::Reader) has the table in memory. The medium can be [`Bytes`](cachemaint::medium::Bytes).
#[derive(Clone, Debug)]
pub struct ScanningReader<R: Readable> {
    medium: R,
    commit: Commit,
}

impl<R: Readable> ScanningReader<R> {
    /// Opens a store for reading, beside a writer or without one.
    ///
    /// # Errors
    /// If the medium does not contain a store, or one of another version; if no root is whole, or nothing of the log; if
    /// the medium ends before the log does; [`ErrorKind::Replaced`], if a writer has overtaken 100 attempts; if the medium
    /// fails.
    pub fn open(medium: R) -> Result<Self, OpenError<R, Error<R::Error>>> {
        match Commit::last(&medium) {
            Ok(commit) => Ok(Self { medium, commit }),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Goes on to the last commit.
    ///
    /// # Errors
    /// As [`open`](Self::open). Then the reader stays at its commit.
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

    /// Returns the number of the commit after this one, if it is not whole and nothing vouches for it: a power cut has cut it
    /// off, and perhaps damage, or a writer is about to make it.
    #[must_use]
    pub const fn undone(&self) -> Option<u64> {
        self.commit.undone
    }

    /// Returns true if the store was [sealed](crate#reboots), and not changed since.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.commit.state.is_sealed
    }

    /// Returns the number of bytes that the store had when it was last opened for writing.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.commit.state.size
    }

    /// Returns the entry of a blob or a region, or `None` if nothing has this name.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`], if the log was compacted since; [`ErrorKind::Damaged`], if the last record that could
    /// name it is damaged in both mirrors, or was forged; if the medium fails.
    pub fn stat(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        self.commit.find(&self.medium, name)
    }

    /// Copies the metadata of a blob or region into the buffer, and returns the part of the buffer that it fills.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], if the buffer is too small; [`ErrorKind::Replaced`], if this commit does not have the
    /// entry; as [`stat`](Self::stat).
    pub fn metadata<'b>(
        &self,
        info: &Info,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Error<R::Error>> {
        let len = info.metadata;
        // An entry of another commit or another store can have had its metadata anywhere.
        let there = self.stat(&info.name)?.filter(|there| there.is(info));
        let there = there.ok_or(Error(ErrorKind::Replaced))?;
        let small = Error::invalid("the buffer must have the length of the metadata", len as u64);
        let bytes = buffer.get_mut(..len).ok_or(small)?;
        read(&self.medium, Part::Record, there.metadata_at, bytes)?;
        self.commit.unless_replaced(&self.medium)?;
        Ok(bytes)
    }

    /// Opens the blob of a name, to be read in parts or as a stream.
    ///
    /// # Errors
    /// As [`stat`](Self::stat); [`ErrorKind::NotFound`], [`ErrorKind::OtherContent`]; [`ErrorKind::Damaged`], if its tags
    /// are damaged; [`FormatError::Truncated`](crate::FormatError::Truncated), if the medium ends before the blob does.
    pub fn blob(&self, name: &str) -> Result<Blob<&R>, Error<R::Error>> {
        let info = self.stat(name)?.ok_or_else(|| Error::not_found(name))?;
        Blob::open(&self.medium, self.identity(), info)
    }

    /// Reads the last bytes that the last opening has of its own, and the time of the commit. Fewer bytes are zeros.
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
