//! Stores in files: under which circumstances they are written, who else reads them, and where they lie.

use super::error::{Error, ErrorKind};
use super::open::Circumstances;
use super::origin::{Evidence, Verdict, judge};
use super::snapshot::Snapshot;
use super::stamp::Stamp;
use super::store::Store;
use crate::dax::{DaxFile, DaxView, Error as FileError};
use crate::format::tag::Running;
use crate::medium::Readable;
use crate::system::boot;
use alloc::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock before 1970 is not set.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Evidence {
    fn host() -> Self {
        Self { is_by_kexec: boot::is_by_kexec() }
    }
}

impl Stamp {
    /// The circumstances of this process, with a file.
    ///
    /// # Cost
    /// Some small files of `/proc` and `/sys` are read, and the file's extents.
    #[must_use]
    pub fn host(file: &DaxView) -> Self {
        let guarantee = file.guarantee();
        let (process, process_start) = boot::process();
        Self {
            seconds: seconds(),
            boot_id: boot::id(),
            process,
            process_start,
            backing: guarantee.backing(),
            granularity: guarantee.granularity().bytes() as u32,
            placement: placement(file).unwrap_or(0),
            unsafe_shutdowns: guarantee.unsafe_shutdowns().ok(),
            ..Self::UNKNOWN
        }
        .with_kernel(&boot::release())
    }
}

/// Returns a digest of the places where the bytes of a file lie, which is never 0; `None` if they are not known.
fn placement(file: &DaxView) -> Option<u64> {
    let placement = file.placement().ok()?;
    let mut digest = Running::new(0);
    digest.append(placement.device.as_bytes());
    for extent in &placement.extents {
        for number in [extent.offset, extent.on_device, extent.len] {
            digest.append(&number.to_le_bytes());
        }
    }
    Some(digest.finish().max(1))
}

/// Returns the circumstances of this process with a medium that is a file, or `None` with another.
pub(super) fn circumstances<M: Readable>(medium: &M) -> Option<Circumstances> {
    let stamp = Stamp::host(view(medium)?);
    Some(Circumstances { stamp, evidence: Evidence::host(), seconds: Some(seconds) })
}

/// Returns true if a medium lies where a commit left it, which is known of files alone.
pub(super) fn is_in_place<M: Readable>(medium: &M, last: &Stamp) -> bool {
    let now = view(medium).and_then(placement);
    now.is_some_and(|now| now == last.placement)
}

fn view<M: Readable>(medium: &M) -> Option<&DaxView> {
    medium.as_any_view()?.downcast_ref()
}

impl Store<DaxFile> {
    /// Makes the file longer, and the store with it: `len` is the file's new length in bytes. Readers of this
    /// process must have ended, and the store must have the only reference to the file.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`]; what [`DaxFile::grow`] says. The store is as it was then.
    ///
    /// # Crashes
    /// A crash meanwhile leaves the file longer or not, and the blobs as they were. The file can be opened again as
    /// [`DaxFile::grow`] says, and the store can grow again.
    pub fn grow(&mut self, len: u64) -> Result<(), Error<FileError>> {
        let file = Arc::get_mut(&mut self.medium).ok_or(Error(ErrorKind::InUse))?;
        file.grow(len).map_err(Error::medium)?;
        self.preamble.stamp = Stamp::host(file.view());
        let len = Readable::len(file);
        self.extend_to(len);
        Ok(())
    }
}

impl Snapshot<'_, DaxView> {
    /// What has happened between this commit and now, as far as it can be known, and from which evidence: what
    /// [`Opened::verdict`](super::Opened::verdict) says to who opens the store to write it.
    ///
    /// # Cost
    /// As [`Stamp::host`].
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        judge(self.stamp(), &Stamp::host(self.medium()), Evidence::host())
    }
}

/// Views are for CPUs of 64 bits.
#[cfg(test)]
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
mod tests {
    use crate::dax;
    use crate::preserve::{Options, Origin, Snapshot, Stamp, Verdict};
    use crate::survival::{Backing, Survival};

    fn file_options() -> dax::Options {
        dax::Options::new().allow_page_granularity()
    }

    /// The verdict of a reader on a store whose last commit was made under these circumstances.
    fn verdict(circumstances: impl FnOnce(Stamp) -> Stamp) -> Verdict {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let file = file_options().create_new(&path, 1 << 20).unwrap();
        let stamp = circumstances(Stamp::host(file.view()));
        drop(Options::new().stamp(stamp).create_new(file).unwrap());
        let view = file_options().view(&path).unwrap();
        Snapshot::of(&view).unwrap().verdict()
    }

    #[test]
    fn a_reader_is_told_what_happened_since_the_last_commit() {
        assert_eq!(verdict(|here| here).origin, Origin::SameProcess);
        let is_other = |here: Stamp| Stamp { process: here.process + 1, ..here };
        assert_eq!(verdict(is_other).origin, Origin::SameBoot);
        assert_eq!(verdict(|_| Stamp::UNKNOWN).origin, Origin::Unknown);

        let before = |here| Stamp { boot_id: [1; 16], backing: Backing::Ram, ..here };
        let after = verdict(before);
        assert!(!after.is_same_boot(), "{after:?}");
        assert_ne!(after.origin, Origin::Unknown);
        assert_eq!(after.promise.map(|promise| promise.is), Some(Survival::No));
    }
}
