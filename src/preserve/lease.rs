//! Leases of readers.
//!
//! A reader takes the lease first and then checks that its blob still exists. The writer looks for leases after the
//! commit that replaced the blob. So one of the two sees the other.

use super::blob::Blob;
use super::error::{Error, ErrorKind};
use super::info::Info;
use super::reader::Reader;
use super::snapshot::Snapshot;
use crate::medium::Readable;
use core::ops::Range;

/// A blob that stays in its place while the lease is held. A writer uses other places meanwhile, even if the blob was
/// replaced or deleted. See [`Reader::lease`].
#[derive(Debug)]
pub struct Lease<'r, R: Readable> {
    reader: &'r Reader<R>,
    info: Info,
}

impl<'r, R: Readable> Lease<'r, R> {
    /// Returns the blob's entry in the table.
    #[must_use]
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// Returns the range of the blob's bytes in the medium.
    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.info.range()
    }

    /// Returns the medium of the blob.
    #[must_use]
    pub const fn medium(&self) -> &'r R {
        self.reader.medium()
    }
}

impl<R: Readable> Drop for Lease<'_, R> {
    fn drop(&mut self) {
        self.reader.release(&self.range());
    }
}

impl<R: Readable> Reader<R> {
    /// Verifies a blob, and keeps it in its place while the lease is held. So it can be read in place, without a copy
    /// and without verifying it again.
    ///
    /// The bytes can be read through the medium, as words and copies. A slice of them is `unsafe`
    /// ([`DaxView::as_slice`](crate::dax::DaxView::as_slice)): a lease cannot keep another program from truncating the
    /// file, or from writing to it without asking for leases.
    ///
    /// # Errors
    /// [`ErrorKind::NoLease`], if the writer would not honour it: copy the blob instead. [`ErrorKind::NotFound`],
    /// [`ErrorKind::NotABlob`], [`ErrorKind::Damaged`]; if the medium fails.
    ///
    /// # Cost
    /// The blob is read once. A file takes one or two system calls besides.
    pub fn lease(&self, name: &str) -> Result<Lease<'_, R>, Error<R::Error>> {
        loop {
            let snapshot = Snapshot::of(self.medium())?;
            let info = match snapshot.find(name) {
                Ok(info) => info.ok_or_else(|| Error::not_found(name))?,
                Err(Error(ErrorKind::Replaced)) => continue,
                Err(error) => return Err(error),
            };
            self.take(&info.range())?;
            let lease = Lease { reader: self, info };
            if !snapshot.is_current()? {
                continue;
            }
            match Blob::new(&snapshot, &info).and_then(|blob| blob.verify(&mut |_| ())) {
                Ok(()) => return Ok(lease),
                Err(Error(ErrorKind::Replaced)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&self, range: &Range<u64>) -> Result<(), Error<R::Error>> {
        let mut list = self.held.leases.list();
        if !self.held.is_of_store
            && !self.medium().lease_range(range.clone()).map_err(Error::medium)?
        {
            return Err(Error(ErrorKind::NoLease));
        }
        list.push(range.clone());
        Ok(())
    }

    /// Locks are not counted, so only the last lease of a range releases it.
    fn release(&self, range: &Range<u64>) {
        let mut list = self.held.leases.list();
        if let Some(at) = list.iter().position(|lease| lease == range) {
            list.swap_remove(at);
        }
        if !self.held.is_of_store && !list.contains(range) {
            self.medium().release_range(range.clone());
        }
    }
}
