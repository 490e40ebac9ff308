//! Leases of readers.
//!
//! A reader takes the lease first and then checks that its blob still exists. The writer looks for leases after the
//! commit that replaced the blob. So one of the two sees the other.

use super::blob::Blob;
use super::error::{Error, ErrorKind};
use super::info::Info;
use super::reader::{ATTEMPTS, Reader};
use super::snapshot::Snapshot;
use crate::medium::Readable;
use alloc::vec::Vec;
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
    /// [`ErrorKind::NotABlob`], [`ErrorKind::Damaged`]; [`ErrorKind::Replaced`] after 100 attempts; if the medium fails.
    ///
    /// # Cost
    /// The blob is read once. A file takes one or two system calls besides.
    pub fn lease(&self, name: &str) -> Result<Lease<'_, R>, Error<R::Error>> {
        for _ in 0..ATTEMPTS {
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
        Err(Error(ErrorKind::Replaced))
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

    /// Locks are not counted, so bytes are released only with the last lease over them. Leases can overlap in part: one of
    /// them is then of a blob that is there no more, and was taken before its reader found that out.
    fn release(&self, range: &Range<u64>) {
        let mut list = self.held.leases.list();
        if let Some(at) = list.iter().position(|lease| lease == range) {
            list.swap_remove(at);
        }
        if !self.held.is_of_store {
            for alone in uncovered(range, &list) {
                self.medium().release_range(alone);
            }
        }
    }
}

/// Returns the parts of a range that none of the others covers.
fn uncovered(range: &Range<u64>, others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut others: Vec<_> = others.iter().filter(|other| !other.is_empty()).collect();
    others.sort_unstable_by_key(|other| other.start);
    let (mut parts, mut at) = (Vec::new(), range.start);
    for other in others {
        let end = other.start.min(range.end);
        if at < end {
            parts.push(at..end);
        }
        at = at.max(other.end);
    }
    if at < range.end {
        parts.push(at..range.end);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::uncovered;
    use alloc::vec::Vec;
    use core::ops::Range;

    /// Returns the first and the last byte of each part of 64 to 127 that is released.
    fn released(others: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let others: Vec<Range<u64>> = others.iter().map(|(start, end)| *start..*end).collect();
        let parts = uncovered(&(64..128), &others);
        parts.iter().map(|part| (part.start, part.end - 1)).collect()
    }

    #[test]
    fn only_bytes_without_another_lease_are_released() {
        assert_eq!(released(&[]), [(64, 127)]);
        assert_eq!(released(&[(64, 128)]), []);
        assert_eq!(released(&[(64, 256)]), []);
        assert_eq!(released(&[(0, 80)]), [(80, 127)]);
        assert_eq!(released(&[(100, 256)]), [(64, 99)]);
        assert_eq!(released(&[(0, 256), (70, 80)]), []);
        // Unordered, overlapping, beside it and empty.
        let others = [(96, 104), (80, 100), (0, 64), (128, 256), (70, 70)];
        assert_eq!(released(&others), [(64, 79), (104, 127)]);
    }
}
