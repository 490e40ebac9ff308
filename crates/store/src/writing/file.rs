//! Stores in files: the circumstances of their commits, and their physical location.

use super::open::Circumstances;
use super::origin::{Verdict, judge};
use super::region::Region;
use super::store::Store;
use crate::error::{Error, ErrorKind};
use crate::reader::Reader;
use crate::stamp::{Boot, Stamp};
use alloc::sync::Arc;
use cachemaint::dax::{DaxFile, DaxView, Error as FileError, Extent, Placement};
use cachemaint::family::boot;
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::tag::Running;
use core::borrow::Borrow;
use core::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock before 1970 is not set.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Stamp {
    /// Returns the circumstances of this process with a file.
    ///
    /// # Cost
    /// Reads some small files of `/proc` and `/sys`, and the file's extents.
    #[must_use]
    pub fn host(file: &DaxView) -> Self {
        Self::of_store(file, file.len())
    }

    /// Returns the event between these circumstances, of a commit in the file, and now, as far as it can be known, with its
    /// evidence. [`Opened::verdict`](crate::Opened::verdict) is the same for a store opened for writing.
    ///
    /// # Cost
    /// As [`host`](Self::host).
    #[must_use]
    pub fn verdict(&self, file: &DaxView) -> Verdict {
        judge(self, &Self::host(file), boot::is_by_kexec())
    }

    /// Returns the circumstances of this process with a store of `size` bytes.
    fn of_store(file: &DaxView, size: u64) -> Self {
        let guarantee = file.guarantee();
        let (process, process_start) = boot::process();
        Self {
            seconds: seconds(),
            boot_id: boot::id(),
            process,
            process_start,
            backing: guarantee.backing,
            granularity: guarantee.granularity.bytes() as u32,
            placement: placement(file, size).unwrap_or(0),
            unsafe_shutdowns: guarantee.unsafe_shutdowns().ok(),
            ..Self::UNKNOWN
        }
        .with_kernel(&boot::release())
    }
}

/// Returns a digest of the physical location of a file's first `size` bytes, or `None` if the location is unknown.
fn placement(file: &DaxView, size: u64) -> Option<u64> {
    file.placement().ok().map(|placement| digest(&placement, size))
}

/// Returns a digest of the place of the first `size` bytes, which is never 0.
///
/// A device of memory can begin elsewhere after a boot, and can have another name. Only the physical addresses show if the
/// bytes have moved. The system shows these only to root.
fn digest(placement: &Placement, size: u64) -> u64 {
    let mut digest = Running::new(0);
    for mut extent in placement.extents.iter().copied() {
        if !cut(&mut extent, &(0..size)) {
            continue;
        }
        let at = extent.physical.unwrap_or(extent.on_device);
        let is_physical = extent.physical.is_some();
        for number in [extent.offset, extent.len, u64::from(is_physical), at] {
            digest.append(&number.to_le_bytes());
        }
        if !is_physical {
            digest.append(placement.device.as_bytes());
        }
    }
    digest.finish().max(1)
}

/// Returns the circumstances of this process with a store of `size` bytes in a file, or `None` with another medium.
pub(super) fn circumstances<M: Readable>(medium: &M, size: u64) -> Option<Circumstances> {
    let stamp = Stamp::of_store(DaxView::of(medium)?, size);
    Some(Circumstances { stamp, is_by_kexec: boot::is_by_kexec(), seconds: Some(seconds) })
}

/// Returns true if the physical location of a store is the same as at its last commit, or `None` if one of them is not
/// known. It is known of files alone.
pub(super) fn is_in_place<M: Readable>(last: &Reader<&M>) -> Option<bool> {
    let (before, now) =
        (last.stamp().placement, placement(DaxView::of(*last.medium())?, last.size())?);
    (before != 0).then_some(now == before)
}

impl Store<DaxFile> {
    /// Extends the file to `len` bytes, and the store with it. Readers and regions of this process must have ended, and
    /// the store must hold the only reference to the file. The [circumstances](crate::Options::stamp) of its
    /// commits stay as they were, but for the [placement](Stamp::placement).
    ///
    /// The view of a reader elsewhere keeps its length. For that reader blobs and the log in the new space are
    /// [`FormatError::Truncated`](crate::FormatError::Truncated), and it must open a new view.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`]; the errors of [`DaxFile::grow`]. Such an error leaves the store as it was, and on Windows a
    /// file that may be longer. Those of
    /// [`commit`](crate::Transaction::commit), after which the store is longer.
    ///
    /// # Crashes
    /// A crash meanwhile may leave the file longer, and leaves the blobs as they were. The file can be opened again as
    /// [`DaxFile::grow`] describes, and the store can grow again.
    pub fn grow(&mut self, len: u64) -> Result<(), Error<FileError>> {
        let file = Arc::get_mut(&mut self.medium).ok_or(Error(ErrorKind::InUse { name: None }))?;
        file.grow(len).map_err(Error::medium)?;
        let len = Readable::len(file) / self.unit() * self.unit();
        self.space.extend_to(len);
        let Some(last) = self.table.boots.last().copied() else { return Ok(()) };
        // There are more bytes now, whose place the next opening may require.
        let placement = placement(self.medium.view(), len).unwrap_or(0);
        let stamp = Stamp { placement, ..self.state.stamp };
        (self.state.stamp, self.state.size) = (stamp, len);
        let is_sealed = self.state.is_sealed;
        self.append_opening(&Boot { stamp, ..last }, is_sealed)?;
        if is_sealed {
            self.deep_persist_log().map_err(Error::medium)?;
        }
        Ok(())
    }
}

impl<M: Medium + Borrow<DaxFile>> Region<M> {
    /// Returns the address of a byte of the region in this process. The mapping stays where it is as long as the region
    /// exists.
    ///
    /// Accesses through it are not seen here, so all of them must have ended before the last [`Region`] is dropped. The
    /// methods of a medium access whole words as atomics. A plain access that races with them, or with another plain one, is
    /// a data race, unless both load. A virtual machine or a device accesses the memory as another process does.
    ///
    /// # Panics
    /// If the offset is out of range.
    #[must_use]
    #[track_caller]
    pub fn as_ptr(&self, at: u64) -> *mut u8 {
        self.file().as_ptr(self.on_medium(&(at..at.saturating_add(1))).start)
    }

    /// Returns the place of the region's bytes on their device and in memory, as [`DaxView::placement`] does for the
    /// whole file. Offsets are those in the region.
    /// [`Options::require_in_place`](crate::Options::require_in_place) requires at the next opening that it
    /// is the same.
    ///
    /// # Errors
    /// As [`DaxView::placement`].
    ///
    /// # Cost
    /// As [`DaxView::placement`], for the whole file.
    pub fn placement(&self) -> Result<Placement, FileError> {
        let mut placement = self.file().view().placement()?;
        let region = self.info().range();
        placement.extents.retain_mut(|extent| cut(extent, &region));
        Ok(placement)
    }

    fn file(&self) -> &DaxFile {
        self.medium().borrow()
    }
}

/// Cuts an extent to a range, from whose beginning its offset counts then. Returns false if nothing of it is in the range.
fn cut(extent: &mut Extent, range: &Range<u64>) -> bool {
    let start = extent.offset.max(range.start);
    let end = (extent.offset + extent.len).min(range.end);
    if start >= end {
        return false;
    }
    let skipped = start - extent.offset;
    extent.offset = start - range.start;
    extent.on_device += skipped;
    extent.len = end - start;
    extent.physical = extent.physical.map(|physical| physical + skipped);
    true
}

/// Views need a 64-bit CPU.
#[cfg(test)]
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
mod tests {
    use super::digest;
    use crate::{Options, Origin, Reader, Stamp, Verdict};
    use alloc::vec;
    use cachemaint::dax::{self, Extent, Placement};
    use cachemaint::survival::{Backing, Survival};

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
        Reader::open(&view).unwrap().stamp().verdict(&view)
    }

    /// After a kexec `pmem1` can be `pmem0`, and a file can be elsewhere on another device.
    #[test]
    fn a_place_in_memory_is_its_physical_address() {
        let place = |device: &str, on_device, physical: Option<u64>| {
            let mut extent = Extent::new(0, on_device, 4096);
            extent.physical = physical;
            digest(&Placement::new(vec![extent], device.into(), Ok(0)), 4096)
        };
        let known = place("pmem1", 8192, Some(1 << 32));
        assert_eq!(place("pmem0", 8192, Some(1 << 32)), known);
        assert_eq!(place("pmem0", 4096, Some(1 << 32)), known);
        assert_ne!(place("pmem1", 8192, Some(1 << 33)), known);
        let unknown = place("pmem1", 8192, None);
        assert_ne!(place("pmem0", 8192, None), unknown);
        assert_ne!(place("pmem1", 4096, None), unknown);
        assert_ne!(place("pmem1", 0, Some(8192)), unknown);
    }

    #[test]
    fn a_reader_gets_the_verdict_since_the_last_commit() {
        if cachemaint::family::boot::id() == [0; 16] {
            let test = "a_reader_gets_the_verdict_since_the_last_commit";
            return cachemaint_test_support::skip::skip(test, "the boot is not known here");
        }
        assert_eq!(verdict(|here| here).origin, Origin::SameProcess);
        let is_other = |here: Stamp| Stamp { process: here.process + 1, ..here };
        assert_eq!(verdict(is_other).origin, Origin::SameBoot);
        assert_eq!(verdict(|_| Stamp::UNKNOWN).origin, Origin::Unknown);

        let before = |here| Stamp { boot_id: [1; 16], backing: Backing::Ram, ..here };
        let after = verdict(before);
        assert!(!after.is_same_boot(), "{after:?}");
        assert_ne!(after.origin, Origin::Unknown);
        assert_eq!(after.promise.map(|promise| promise.answer), Some(Survival::No));
    }
}
