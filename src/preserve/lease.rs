//! Leases: what a reader still looks at is not used again.
//!
//! A reader takes the lease first and then looks whether its blob is still there; the writer looks for leases
//! after the commit that replaced it. So one of the two sees the other.

#[cfg(feature = "std")]
pub use held::Lease;
#[cfg(all(feature = "std", feature = "dax", not(loom)))]
pub(super) use held::Locks;
#[cfg(feature = "std")]
pub(super) use held::{Held, Leases};

/// Without an operating system there are none.
#[cfg(not(feature = "std"))]
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {}

#[cfg(not(feature = "std"))]
#[expect(clippy::unused_self, reason = "there are some elsewhere")]
impl Leases {
    pub(super) const fn reader<R: crate::medium::Readable>(
        &self,
        medium: R,
    ) -> super::reader::Reader<R> {
        super::reader::Reader::without_leases(medium)
    }

    pub(super) const fn first_in(
        &self,
        _: &core::ops::Range<u64>,
    ) -> Option<core::ops::Range<u64>> {
        None
    }
}

#[cfg(feature = "std")]
mod held {
    use crate::medium::Readable;
    use crate::preserve::error::Error;
    use crate::preserve::reader::{Blob, Info, Reader, Snapshot};
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::fmt;
    use core::ops::Range;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// The leases of a process on a store.
    #[derive(Clone, Debug, Default)]
    pub(in crate::preserve) struct Leases(Arc<Mutex<Vec<Range<u64>>>>);

    impl Leases {
        /// What panics elsewhere leaves the list whole.
        fn list(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
            #[cfg(all(feature = "sim", debug_assertions))]
            crate::sim::sync::preemptible();
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// A reader whose leases are among them.
        pub(in crate::preserve) fn reader<R: Readable>(&self, medium: R) -> Reader<R> {
            let locks = Locks { take: |_, _| Ok(()), give: |_, _| () };
            Reader::with(medium, Held { leases: self.clone(), locks: Some(locks) })
        }

        /// The first part of a range that a lease is on.
        pub(in crate::preserve) fn first_in(&self, range: &Range<u64>) -> Option<Range<u64>> {
            let list = self.list();
            let parts = list
                .iter()
                .map(|lease| lease.start.max(range.start)..lease.end.min(range.end))
                .filter(|part| !part.is_empty());
            parts.min_by_key(|part| part.start)
        }
    }

    /// How a lease is told to writers in other processes.
    pub(in crate::preserve) struct Locks<R: Readable> {
        pub(in crate::preserve) take: fn(&R, Range<u64>) -> Result<(), R::Error>,
        pub(in crate::preserve) give: fn(&R, Range<u64>),
    }

    /// The leases of a reader.
    pub(in crate::preserve) struct Held<R: Readable> {
        pub(in crate::preserve) leases: Leases,
        /// None, if nobody would honour them.
        pub(in crate::preserve) locks: Option<Locks<R>>,
    }

    impl<R: Readable> Default for Held<R> {
        fn default() -> Self {
            Self { leases: Leases::default(), locks: None }
        }
    }

    impl<R: Readable> fmt::Debug for Held<R> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Held").field("leases", &self.leases).finish_non_exhaustive()
        }
    }

    /// A blob that stays where it is while this is held: what is written meanwhile goes elsewhere, also if the
    /// blob was replaced or deleted. See [`Reader::lease`].
    #[derive(Debug)]
    pub struct Lease<'r, R: Readable> {
        reader: &'r Reader<R>,
        info: Info,
    }

    impl<'r, R: Readable> Lease<'r, R> {
        /// What the table says of it.
        #[must_use]
        pub const fn info(&self) -> &Info {
            &self.info
        }

        /// Its bytes in the medium.
        #[must_use]
        pub const fn range(&self) -> Range<u64> {
            self.info.range()
        }

        /// What it lies in.
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
        /// Verifies a blob, and keeps it where it is for as long as the lease is held: so it can be read in
        /// place, without a copy and without verifying it again.
        ///
        /// The bytes can be read through the medium, as words and copies. A slice of them is `unsafe`
        /// ([`DaxView::as_slice`](crate::dax::DaxView::as_slice)): that no other program writes into the file
        /// without asking, and that nobody cuts it off, is nothing that a lease can see to.
        ///
        /// # Errors
        /// [`Error::NoLease`], if nobody would honour it: then copy the blob. [`Error::NotFound`],
        /// [`Error::Damaged`]; if the medium fails.
        ///
        /// # Cost
        /// The blob is read once. In a file one or two system calls.
        pub fn lease(&self, name: &str) -> Result<Lease<'_, R>, Error<R::Error>> {
            if self.held.locks.is_none() {
                return Err(Error::NoLease);
            }
            loop {
                let snapshot = Snapshot::of(self.medium())?;
                let info = match snapshot.find(name) {
                    Ok(info) => info.ok_or(Error::NotFound)?,
                    Err(Error::Replaced) => continue,
                    Err(error) => return Err(error),
                };
                self.take(&info.range())?;
                let lease = Lease { reader: self, info };
                if !snapshot.is_current()? {
                    continue;
                }
                match Blob::new(&snapshot, &info).and_then(|blob| blob.verify(&mut |_| ())) {
                    Ok(()) => return Ok(lease),
                    Err(Error::Replaced) => {}
                    Err(error) => return Err(error),
                }
            }
        }

        fn take(&self, range: &Range<u64>) -> Result<(), Error<R::Error>> {
            let mut list = self.held.leases.list();
            // A lock of no bytes would be one of all that follow.
            if let Some(Locks { take, .. }) = self.held.locks.as_ref().filter(|_| !range.is_empty())
            {
                take(self.medium(), range.clone())?;
            }
            list.push(range.clone());
            Ok(())
        }

        /// Locks are not counted, so the last one gives it up.
        fn release(&self, range: &Range<u64>) {
            let mut list = self.held.leases.list();
            if let Some(at) = list.iter().position(|lease| lease == range) {
                list.swap_remove(at);
            }
            if let Some(Locks { give, .. }) = &self.held.locks
                && !list.contains(range)
                && !range.is_empty()
            {
                give(self.medium(), range.clone());
            }
        }
    }
}
