//! Stores in files: under which circumstances they are written, who else reads them, and where they lie.

use super::error::Error;
use super::lease::{Held, Leases, Locks};
use super::open::{Opened, Options};
use super::origin::{Evidence, Verdict, judge};
use super::reader::{Reader, Snapshot};
use super::stamp::Stamp;
use super::store::{Store, Ways};
use crate::dax::{DaxFile, DaxView, Error as FileError, ErrorKind};
use crate::format::tag::Running;
use crate::medium::Readable;
use crate::system::boot;
use alloc::sync::Arc;
use core::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

const WAYS: Ways<DaxFile> =
    Ways { deep_persist: |file, range| file.deep_persist(range), leased, seconds: Some(seconds) };

/// What cannot be given up now is when the file is closed.
const LOCKS: Locks<DaxView> = Locks {
    take: |view, range| view.lease(range),
    give: |view, range| view.release(range).unwrap_or(()),
};

/// Where there are no such locks, no reader holds one.
fn leased(file: &DaxFile, range: Range<u64>) -> Result<Option<Range<u64>>, FileError> {
    match file.leased(range) {
        Err(error) if matches!(error.kind(), ErrorKind::NoLeases { .. }) => Ok(None),
        leased => leased,
    }
}

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

impl Options<'_, DaxFile> {
    /// Demands that the file lies where it lay when it was last written: so that who was told its physical
    /// addresses, an IOMMU or a hypervisor, still finds it there.
    #[must_use]
    pub fn require_in_place(self) -> Self {
        self.in_place()
    }

    /// Creates a store in a file. Its commits tell of this machine, this boot and this process.
    ///
    /// With a reference of its own to the file, a caller can guard what the store does against SIGBUS:
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cachemaint::dax::{self, FaultGuard};
    /// use cachemaint::preserve::{Attributes, Options};
    /// use std::sync::Arc;
    ///
    /// # let Ok(guard) = FaultGuard::install() else { return Ok(()) };
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("state");
    /// let file = Arc::new(dax::Options::new().allow_page_granularity().create(&path, 1 << 20)?);
    /// let mut store = file.guarded(guard, |_| Options::new().create_file(Arc::clone(&file)))??;
    /// let committed = file.guarded(guard, |_| {
    ///     let mut transaction = store.begin()?;
    ///     transaction.put(Attributes::new("ram"), &[7; 4096])?;
    ///     transaction.commit()
    /// })??; // the file was cut, or a hole has no space: an error, and the store is to be opened again
    /// # let _ = committed;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(target_os = "linux"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_file(
        self,
        file: impl Into<Arc<DaxFile>>,
    ) -> Result<Store<DaxFile>, Error<FileError>> {
        let file = file.into();
        self.of(&file).create_in(file)
    }

    /// Opens a store in a file. Its commits tell of this machine, this boot and this process, and space that
    /// readers of other processes hold leases on is not used again.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Moved`], if that is to be refused.
    pub fn open_file(
        self,
        file: impl Into<Arc<DaxFile>>,
    ) -> Result<(Store<DaxFile>, Opened), Error<FileError>> {
        let file = file.into();
        let is_in_place = self.is_in_place();
        let options = self.of(&file);
        if is_in_place {
            let last = Snapshot::of(&*file)?.stamp().placement;
            if last == 0 || Some(last) != placement(&file) {
                return Err(Error::Moved);
            }
        }
        options.open_in(file)
    }

    fn of(self, file: &DaxFile) -> Self {
        self.with(WAYS, Evidence::host()).stamp(Stamp::host(file))
    }
}

impl Store<DaxFile> {
    /// Makes the file longer, and the store with it: `len` is the file's new length in bytes. Readers of this
    /// process must have ended, and the store must have the only reference to the file.
    ///
    /// # Errors
    /// [`Error::InUse`]; what [`DaxFile::grow`] says. The store is as it was then.
    ///
    /// # Crashes
    /// A crash meanwhile leaves the file longer or not, and the blobs as they were. The file can be opened again as
    /// [`DaxFile::grow`] says, and the store can grow again.
    pub fn grow(&mut self, len: u64) -> Result<(), Error<FileError>> {
        let file = Arc::get_mut(&mut self.medium).ok_or(Error::InUse)?;
        file.grow(len)?;
        self.preamble.stamp = Stamp::host(file);
        let len = Readable::len(file);
        self.extend_to(len);
        Ok(())
    }
}

impl Reader<DaxView> {
    /// A reader of a store in a file that another process may be writing, whose leases that one honours, where
    /// the system has locks for it.
    ///
    /// ```no_run
    /// use cachemaint::dax::{Lock, Options};
    /// use cachemaint::preserve::Reader;
    ///
    /// # fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// let view = Options::new().lock(Lock::None).view("/mnt/pmem/state")?;
    /// let reader = Reader::open_file(view)?;
    /// let ram = reader.lease("ram")?; // verified, and stays where it is
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_file(view: DaxView) -> Result<Self, Error<FileError>> {
        Snapshot::of(&view)?;
        Ok(Self::with(view, Held { leases: Leases::default(), locks: Some(LOCKS) }))
    }
}

impl Snapshot<'_, DaxView> {
    /// What has happened between this commit and now, as far as it can be known, and from which evidence: what
    /// [`Opened::verdict`] says to who opens the store to write it.
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
        let file = file_options().create(&path, 1 << 20).unwrap();
        let stamp = circumstances(Stamp::host(&file));
        drop(Options::new().stamp(stamp).create(file).unwrap());
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
