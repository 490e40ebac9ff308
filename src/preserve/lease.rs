//! Leases of readers.
//!
//! A reader takes the lease first and then checks that its blob still exists. The writer looks for leases after the
//! commit that replaced the blob. So one of the two sees the other.

use super::blob::Chunks;
use super::error::{Error, ErrorKind};
use super::info::Info;
use super::reader::{Reader, until_it_lasts};
use crate::medium::Readable;
use core::ops::Range;

/// A blob that stays in its place while the lease is held. A writer uses other places meanwhile, even if the blob was
/// replaced or deleted. See [`Reader::lease`].
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::Store;
///
/// # let mut store = Store::create_new(medium)?;
/// # let mut transaction = store.begin()?;
/// # transaction.put("ram", &[7; 1000])?;
/// # transaction.commit()?;
/// let reader = store.reader();
/// let lease = reader.lease("ram")?;
/// // Until `lease` is dropped these bytes stay, whatever is committed.
/// assert_eq!(lease.info().len, 1000);
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
#[must_use = "dropping it lets the bytes be overwritten"]
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

    /// Returns the medium of the blob.
    #[must_use]
    pub const fn medium(&self) -> &'r R {
        self.reader.medium()
    }
}

impl<R: Readable> Drop for Lease<'_, R> {
    fn drop(&mut self) {
        self.reader.release(&self.info.range());
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
    /// # What holds after return
    /// The blob belonged to the last commit at a moment of the call, and its bytes were verified. The writer of the store
    /// leaves them as they are until the lease is dropped:
    ///
    /// | reader | writer that honours the lease |
    /// |---|---|
    /// | [`Store::reader`](super::Store::reader) | That store. Another store in the same medium does not see the lease. |
    /// | of a [`DaxView`], also of that of the [writer's own file](crate::dax::DaxFile::view) | Every store in that file, in any process, unless [`Options::leases`](super::Options::leases) set another function. A writer whose file has a duplicate of the view's descriptor does not see the lease ([`DaxView::lease`]). |
    /// | of any other medium, a `DaxFile` too | None. The lease is refused. |
    ///
    /// - Each lease ends on its own. Other leases of the same bytes stay, whether they are of this reader, of another
    ///   reader of the same view or of another process.
    /// - A forked child has no lease. Dropping its copy leaves the lease to the parent. A view that was opened before the
    ///   fork refuses leases to the child, which opens the file anew instead.
    /// - If the process ends without dropping the lease, the system releases the lease of a view with the last
    ///   descriptor of the open file. A forked child has such descriptors until it executes a program or ends.
    ///
    /// # Errors
    /// [`ErrorKind::NoLease`], if the medium has no leases ([`Readable::lease_range`]): copy the blob instead.
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotABlob`], [`ErrorKind::Damaged`]; [`ErrorKind::Truncated`], if the medium
    /// ends before the blob does; [`ErrorKind::Replaced`] after 100 attempts. If the medium fails, and the errors of
    /// [`DaxView::lease`]: systems and file systems without such locks refuse a lease, and so does a forked child.
    ///
    /// # Cost
    /// The blob is read once. In a view, taking a lease and dropping it take two system calls each.
    ///
    /// [`DaxView`]: crate::dax::DaxView
    /// [`DaxView::lease`]: crate::dax::DaxView::lease
    pub fn lease(&self, name: &str) -> Result<Lease<'_, R>, Error<R::Error>> {
        until_it_lasts(&self.medium, |commit| {
            let info = commit.find(name)?.ok_or_else(|| Error::not_found(name))?;
            // A view that was opened before the store grew does not have the new bytes.
            let (size, needed) = (self.medium.len(), info.range().end);
            if size < needed {
                return Err(Error(ErrorKind::Truncated { size, needed }));
            }
            self.take(&info.range())?;
            let lease = Lease { reader: self, info };
            if !commit.is_current()? {
                return Err(Error(ErrorKind::Replaced));
            }
            Chunks::new(commit, &info)?.verify(&self.medium, &mut |_| ())?;
            Ok(lease)
        })
    }

    fn take(&self, range: &Range<u64>) -> Result<(), Error<R::Error>> {
        if let Some(leases) = &self.leases {
            leases.list().push(range.clone());
            return Ok(());
        }
        let is_taken = self.medium().lease_range(range.clone()).map_err(Error::medium)?;
        if is_taken { Ok(()) } else { Err(Error(ErrorKind::NoLease)) }
    }

    fn release(&self, range: &Range<u64>) {
        let Some(leases) = &self.leases else {
            return self.medium().release_range(range.clone());
        };
        let mut list = leases.list();
        if let Some(at) = list.iter().position(|lease| lease == range) {
            list.swap_remove(at);
        }
    }
}
