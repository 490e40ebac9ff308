//! Ranges of a file that a reader asks a writer in another process to leave alone.
//!
//! A lease is a shared lock of bytes of the file. Dropping the view releases its leases. When a reader ends
//! without dropping the view, the kernel releases them with its open file.

use super::system::{Host, Mapper};
use super::{DaxFile, DaxView, Error};
use core::ops::Range;
use core::sync::atomic::{Ordering, fence};

impl DaxView {
    /// Asks whoever writes the file to leave these bytes as they are, as long as this view is open or until
    /// they are [released](Self::release): a writer that asks [`DaxFile::leased`] finds them. It never waits,
    /// and whatever was stored before and after is not changed by it.
    ///
    /// It binds a writer that asks, and no other. Who takes a lease of what another process may be about to
    /// reuse needs an order, in which one of the two sees the other in time:
    ///
    /// | the reader | the writer |
    /// |---|---|
    /// | 1. loads where the bytes are | 1. stores that they are not to be read any more |
    /// | 2. takes the lease | 2. asks `leased` |
    /// | 3. loads again whether they still are to be read, and gives up if not | 3. reuses them if nobody has them |
    ///
    /// Taking one and asking are full barriers between the steps before and after, and giving one up is a
    /// barrier that follows all loads before it.
    ///
    /// # What it is
    /// On Linux an open file description lock (fcntl(2), `F_OFD_SETLK`, `F_RDLCK`; since Linux 3.15):
    /// - It belongs to the open file. Another view of the same file, in this process too, is another holder.
    ///   Dropping the view releases its leases, even if a duplicated descriptor or a forked child has the file
    ///   open. If the process ends without dropping the view, the kernel releases them with the last
    ///   descriptor, as it does with the [`Lock`](super::Lock).
    /// - The leases of one view merge: a range that was leased twice is leased once, and one release ends it
    ///   for all threads that use the view. Who needs to count counts, or opens a view for each.
    /// - It is apart from the [`Lock`](super::Lock) of the whole file, which is one by `flock`, on file systems
    ///   of this machine. On NFS, and on SMB from Linux 5.5 on, it is not: there `flock` is a lock of all
    ///   bytes of the file (flock(2), "NFS details", "CIFS details"). So a lease is refused there while
    ///   another open file has the exclusive lock, and a shared lock looks like a lease of everything.
    /// - On device DAX it is a lock on the node that was opened, as the `Lock` is.
    ///
    /// # Errors
    /// [`ErrorKind::NoLeases`](super::ErrorKind::NoLeases), if the file system takes no such locks, and on
    /// other systems than Linux always. [`ErrorKind::Locked`](super::ErrorKind::Locked), if another open file
    /// has an exclusive lock of some of these bytes, which nothing of this crate takes but on NFS and SMB.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// A system call, whose work grows with the number of locks of the file. A range of no bytes is none.
    #[doc(alias("F_OFD_SETLK", "record lock", "byte-range lock"))]
    #[track_caller]
    pub fn lease(&self, range: Range<u64>) -> Result<(), Error> {
        let Some(bytes) = self.in_file(&range) else { return Ok(()) };
        self.file.expect_leases();
        Host::lease(&self.file, &bytes).map_err(|kind| Error::new(&self.path, kind))?;
        // The next load is not to be done before the lock is there, which the kernel does not see to
        // (`fs/locks.c`: it unlocks a spin lock, before which a later load may be done).
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Gives up the leases of these bytes that this view has, for all who use the view. What of them was not
    /// leased is no error.
    ///
    /// # Errors
    /// [`ErrorKind::NoLeases`](super::ErrorKind::NoLeases), if the file system takes no such locks, or the
    /// kernel has no memory to split one; then what was leased stays so.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// As [`lease`](Self::lease).
    #[track_caller]
    pub fn release(&self, range: Range<u64>) -> Result<(), Error> {
        let Some(bytes) = self.in_file(&range) else { return Ok(()) };
        // No load of the bytes is to be done after somebody else may store to them.
        fence(Ordering::SeqCst);
        Host::release(&self.file, &bytes).map_err(|kind| Error::new(&self.path, kind))
    }

    /// A range of the mapping as one of the file; `None` if it has no bytes, which for the kernel would be all
    /// up to the end of the file.
    #[track_caller]
    fn in_file(&self, range: &Range<u64>) -> Option<Range<u64>> {
        self.mapping.checked_range(range);
        let place = |at: u64| self.offset.saturating_add(at);
        (!range.is_empty()).then(|| place(range.start)..place(range.end))
    }
}

impl DaxFile {
    /// The first of these bytes that another open file has [leased](DaxView::lease), up to where its lease
    /// ends or the range does; `None` if there are none, as far as this moment goes: a reader may take a lease
    /// right afterwards. The table at `lease` says how the two meet.
    ///
    /// Its own leases are not among them, nor those of a duplicate of its descriptor. Byte-range locks that
    /// others have taken by fcntl(2) count as leases, exclusive ones too. On other systems than Linux nobody
    /// has a lease.
    ///
    /// # Errors
    /// [`ErrorKind::NoLeases`](super::ErrorKind::NoLeases), if the file system cannot tell: it has no such
    /// locks, or its server does not answer. Then nothing is known of the readers on other machines.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// A system call, and another one for each lease that begins before the one that was found first. Their
    /// work grows with the number of locks of the file.
    #[doc(alias("F_OFD_GETLK"))]
    #[track_caller]
    pub fn leased(&self, range: Range<u64>) -> Result<Option<Range<u64>>, Error> {
        let Some(bytes) = self.view.in_file(&range) else { return Ok(None) };
        // What was stored before is to be seen before the kernel looks: where a file has no locks it does so
        // without taking a lock of its own (`fs/locks.c`, `posix_test_lock`).
        fence(Ordering::SeqCst);
        let DaxView { file, path, offset, .. } = &self.view;
        let held = Host::leased(file, &bytes).map_err(|kind| Error::new(path, kind))?;
        fence(Ordering::SeqCst);
        // All of it lies within what was asked for, which begins after the offset.
        Ok(held.map(|held| held.start - offset..held.end - offset))
    }
}
