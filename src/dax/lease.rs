//! Ranges of a file that a reader asks a writer to leave alone.
//!
//! A lease is a shared lock of bytes of the file. Dropping the view releases its leases. When a reader ends
//! without dropping the view, the kernel releases them with its open file.

use super::held::Held;
use super::system::{Host, Mapper};
use super::{DaxFile, DaxView, Error, ErrorKind, NotSupported};
use core::ops::Range;
use core::sync::atomic::{Ordering, fence};

impl DaxView {
    /// Asks the writer of the file to leave these bytes as they are, until this view is closed or they are
    /// [released](Self::release). A writer finds the lease with [`DaxFile::leased`]. Taking a lease never waits, and it
    /// changes nothing about the stores before and after it.
    ///
    /// Only a writer that asks is bound by it. If another process may be about to reuse the bytes, reader and writer
    /// need an order in which one of the two sees the other in time:
    /// | the reader | the writer |
    /// |---|---|
    /// | 1. loads where the bytes are | 1. stores that they are not to be read any more |
    /// | 2. takes the lease | 2. asks `leased` |
    /// | 3. loads again whether they still are to be read, and releases them if not | 3. reuses them if they are not leased |
    ///
    /// Taking a lease and asking for leases are full barriers between the steps before and after. Releasing a lease is
    /// a barrier that follows all loads before it.
    ///
    /// # What holds after return
    /// The view has the lease until its bytes are [released](Self::release) or the view is dropped, even if a duplicated
    /// descriptor or a forked child has the file open then. If the process ends without dropping the view, the kernel
    /// releases the lease with the last descriptor, as it does with the [`Lock`](super::Lock).
    ///
    /// | beside the view | holds |
    /// |---|---|
    /// | a writer that opened the file by itself, in any process | [`DaxFile::leased`] returns the lease. |
    /// | the [`DaxFile`] of which this is the [view](DaxFile::view) | `leased` does not return the lease. A [`Store`](../preserve/struct.Store.html) in that file honours it all the same. |
    /// | another view that opened the file by itself, in any process | Each has its own leases, and neither ends the other's. |
    /// | other users of this view | They share the leases of this call, which merge: a range that was leased twice is leased once, and one release ends it for all. A caller that needs a count keeps one, or opens a view for each lease. |
    /// | a [`Reader`](../preserve/struct.Reader.html) of this view | Its leases are apart from those of this call, and each of them ends on its own. Bytes are free when none of both kinds is left. |
    /// | a forked child | It has no lease. This call is refused there, a release does nothing, and dropping the copy of the view leaves the leases to the parent. A child that needs a lease opens the file anew. |
    /// | a file or view of a duplicate of the descriptor, in any process | The kernel takes both for the same holder, and each knows only its own leases. A writer there does not find the lease. A release there, or dropping that file or view, ends it. Open the file anew instead ([`Options::open_file`](super::Options::open_file)). |
    ///
    /// # What it is
    /// On Linux an open file description lock (fcntl(2), `F_OFD_SETLK`, `F_RDLCK`; since Linux 3.15):
    /// - It belongs to the open file, whose locks merge.
    /// - It is independent of the [`Lock`](super::Lock) of the whole file, which is one by `flock`, on file systems of
    ///   this machine. On NFS, and on SMB from Linux 5.5 on, it is not: there `flock` is a lock of all bytes of the
    ///   file (flock(2), "NFS details", "CIFS details"). So a lease is refused there while another open file has the
    ///   exclusive lock, and a shared lock looks like a lease of everything.
    /// - On device DAX it is a lock on the node that was opened, as the `Lock` is.
    ///
    /// # Errors
    /// [`ErrorKind::NoLeases`], if the file system does not support such locks, and on other systems than Linux always.
    /// [`ErrorKind::Locked`], if another open file has an exclusive lock of some of these bytes. This crate takes such a
    /// lock on NFS and SMB only. [`NotSupported::ForkedChild`] in a child of the process that opened the file. After an
    /// error the leases are as before.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// One system call, whose work grows with the number of locks of the file, and one for the number of this process.
    /// An empty range needs no call.
    #[doc(alias("F_OFD_SETLK", "record lock", "byte-range lock"))]
    #[track_caller]
    pub fn lease(&self, range: Range<u64>) -> Result<(), Error> {
        self.take(&range, Held::merge)
    }

    /// Takes a lease that [`release_counted`](Self::release_counted) ends, and nothing else before the view is dropped.
    #[track_caller]
    pub(super) fn lease_counted(&self, range: &Range<u64>) -> Result<(), Error> {
        self.take(range, Held::push)
    }

    #[track_caller]
    fn take(&self, range: &Range<u64>, add: fn(&mut Held, &Range<u64>)) -> Result<(), Error> {
        let Some(bytes) = self.in_file(range) else { return Ok(()) };
        if !self.file.is_of_this_process() {
            // The lease would be a lock of the parent's open file, which the child could not end.
            return Err(Error::new(&self.path, ErrorKind::NotSupported(NotSupported::ForkedChild)));
        }
        let mut held = self.file.leases();
        held.expect();
        Host::lease(&self.file, &bytes).map_err(|kind| Error::new(&self.path, kind))?;
        add(&mut held, &bytes);
        drop(held);
        // The next load is not to be done before the lock is there, which the kernel does not see to
        // (`fs/locks.c`: it unlocks a spin lock, before which a later load may be done).
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Releases the leases of these bytes that [`lease`](Self::lease) has taken, for all users of the view. Bytes that
    /// were not leased are not an error. In a forked child it does nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NoLeases`], if the file system does not support such locks, or the kernel has no memory to split one.
    /// Other open files may find the bytes leased then, until they are released again or the view is dropped.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// As [`lease`](Self::lease). If a [`Reader`](../preserve/struct.Reader.html) has leases of some of the bytes, one
    /// call for each part between them.
    #[track_caller]
    pub fn release(&self, range: Range<u64>) -> Result<(), Error> {
        self.give_up(&range, Held::cut)
    }

    /// Releases a lease of [`lease_counted`](Self::lease_counted).
    ///
    /// # Errors
    /// As [`release`](Self::release).
    #[track_caller]
    pub(super) fn release_counted(&self, range: &Range<u64>) -> Result<(), Error> {
        self.give_up(range, Held::remove)
    }

    #[track_caller]
    fn give_up(&self, range: &Range<u64>, remove: fn(&mut Held, &Range<u64>)) -> Result<(), Error> {
        let Some(bytes) = self.in_file(range) else { return Ok(()) };
        // A forked child has a copy of the list, which another thread may have locked. The locks are its parent's.
        if !self.file.is_of_this_process() {
            return Ok(());
        }
        // No load of the bytes may be performed after another process may store to them.
        fence(Ordering::SeqCst);
        let mut held = self.file.leases();
        remove(&mut held, &bytes);
        let mut done = Ok(());
        for part in held.uncovered(&bytes) {
            done = done.and(Host::release(&self.file, &part));
        }
        done.map_err(|kind| Error::new(&self.path, kind))
    }

    /// Returns a range of the mapping as one of the file; `None` if it has no bytes, which for the kernel would be all
    /// up to the end of the file.
    #[track_caller]
    fn in_file(&self, range: &Range<u64>) -> Option<Range<u64>> {
        self.mapping.checked_range(range);
        let place = |at: u64| self.offset.saturating_add(at);
        (!range.is_empty()).then(|| place(range.start)..place(range.end))
    }
}

impl DaxFile {
    /// Returns the first of these bytes that another open file has [leased](DaxView::lease), up to the end of its lease
    /// or of the range. Returns `None` if no byte is leased at this moment: a reader may take a lease right afterwards.
    /// The table at `lease` shows how reader and writer meet.
    ///
    /// Leases of this file's own [view](Self::view) are not among them, nor those of a duplicate of its descriptor.
    /// Byte-range locks that others have taken by fcntl(2) count as leases, exclusive ones too. On other systems than Linux
    /// there are no leases.
    ///
    /// # Errors
    /// [`ErrorKind::NoLeases`](super::ErrorKind::NoLeases), if the file system cannot answer: it has no such locks, or
    /// its server does not answer. Then nothing is known of the readers on other machines.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// One system call, and another one for each lease that begins before the one that was found first. Their work
    /// grows with the number of locks of the file.
    #[doc(alias("F_OFD_GETLK"))]
    #[track_caller]
    pub fn leased(&self, range: Range<u64>) -> Result<Option<Range<u64>>, Error> {
        let Some(bytes) = self.view.in_file(&range) else { return Ok(None) };
        // Earlier stores must be visible before the kernel looks. For a file without locks the kernel looks without
        // taking a lock of its own (`fs/locks.c`, `posix_test_lock`).
        fence(Ordering::SeqCst);
        let DaxView { file, path, .. } = &self.view;
        let held = Host::leased(file, &bytes).map_err(|kind| Error::new(path, kind))?;
        fence(Ordering::SeqCst);
        Ok(held.map(|held| self.view.in_mapping(&held)))
    }

    /// Returns the first of these bytes that is leased by this open file or another one.
    ///
    /// A file system without such locks has no leases. One whose server does not answer can have some. A lease through
    /// this open file can be taken after the look at its list: then its reader sees the stores before the look, as both
    /// lock the list.
    #[track_caller]
    pub(super) fn leased_by_any(&self, range: &Range<u64>) -> Result<Option<Range<u64>>, Error> {
        let view = &self.view;
        let ours = view.in_file(range).and_then(|bytes| view.file.leases().first_in(&bytes));
        let ours = ours.map(|held| view.in_mapping(&held));
        // A lease of another open file counts where it begins before ours.
        let before = range.start..ours.as_ref().map_or(range.end, |held| held.start);
        match self.leased(before) {
            Err(error) if has_no_locks(error.kind()) => Ok(ours),
            theirs => Ok(theirs?.or(ours)),
        }
    }
}

/// Returns true if the system, or the file system, does not have such locks. Only Linux has them.
fn has_no_locks(error: &ErrorKind) -> bool {
    match error {
        ErrorKind::NoLeases { errno: None } => true,
        // ENOLCK is different: the server of an NFS mount cannot be reached, or has no locks left (Linux
        // `fs/lockd/clntproc.c`, `nlmclnt_call` and `nlm_stat_to_errno`). Readers elsewhere can have leases then.
        #[cfg(target_os = "linux")]
        ErrorKind::NoLeases { errno: Some(errno) } => {
            matches!(*errno, libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::has_no_locks;
    use crate::dax::ErrorKind;

    #[test]
    fn a_system_without_locks_has_no_leases() {
        assert!(has_no_locks(&ErrorKind::NoLeases { errno: None }));
        assert!(!has_no_locks(&ErrorKind::Locked));
    }

    /// fcntl(2), "Errors".
    #[test]
    #[cfg(target_os = "linux")]
    fn a_server_that_does_not_answer_may_know_of_leases() {
        let is_without = |errno| has_no_locks(&ErrorKind::NoLeases { errno: Some(errno) });
        assert!([libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP].into_iter().all(is_without));
        assert!(!is_without(libc::ENOLCK));
    }
}
