//! Stores in files: the circumstances of opening them, and their physical location.

use super::{Circumstances, Stamp, Verdict, judge};
use cachemaint::dax::DaxView;
use cachemaint::medium::{Backing, Readable};
use cachemaint_format::boot;
use cachemaint_format::tag::Running;
use cachemaint_inspect::{Extent, FileReport, Placement};
use core::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock before 1970 counts as not set.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Stamp {
    /// Returns the circumstances of this process and a file.
    ///
    /// # Cost
    /// Reads some small files in `/proc` and `/sys`, and the file's extents.
    #[must_use]
    pub fn host(file: &DaxView) -> Self {
        Self::of_store(file, file.len())
    }

    /// Returns the event between a commit in the file, with these circumstances, and now, as far as it can be known,
    /// with its evidence. For a store opened for writing, use [`Opened::verdict`](crate::Opened::verdict).
    ///
    /// # Cost
    /// Same as [`host`](Self::host).
    #[must_use]
    pub fn verdict(&self, file: &DaxView) -> Verdict {
        judge(self, &Self::host(file), boot::is_by_kexec())
    }

    /// Returns the circumstances of this process and a store of `size` bytes.
    fn of_store(file: &DaxView, size: u64) -> Self {
        let report = FileReport::of(file).ok();
        let report = report.as_ref();
        let (process, process_start) = boot::process();
        Self {
            seconds: seconds(),
            boot_id: boot::id(),
            process,
            process_start,
            backing: report.map_or(Backing::Unknown, |report| report.backing),
            granularity: file.granularity().bytes() as u32,
            placement: placement(file, size).unwrap_or(0),
            unsafe_shutdowns: report.and_then(|report| report.unsafe_shutdowns().ok()),
            ..Self::UNKNOWN
        }
        .with_kernel(&boot::release())
    }
}

/// Returns a digest of the physical location of a file's first `size` bytes, or `None` if it is unknown.
pub(crate) fn placement(file: &DaxView, size: u64) -> Option<u64> {
    cachemaint_inspect::placement(file).ok().map(|placement| digest(&placement, size))
}

/// Returns a digest of the place of the first `size` bytes, which is never 0.
///
/// After a boot, a memory device can begin at another address or have another name. Only the physical addresses show
/// whether the bytes have moved, and the system shows these only to root.
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

/// Returns the circumstances of this process and a store of `size` bytes in a file, or `None` with another medium.
pub(crate) fn circumstances<M: Readable>(medium: &M, size: u64) -> Option<Circumstances> {
    let stamp = Stamp::of_store(DaxView::of(medium)?, size);
    Some(Circumstances { stamp, is_by_kexec: boot::is_by_kexec(), seconds: Some(seconds) })
}

/// Returns true if the physical location of a store is the same as at its last commit, or `None` if either is unknown.
/// It can be known only for files.
pub(crate) fn is_in_place<M: Readable>(medium: &M, last: &Stamp, size: u64) -> Option<bool> {
    let (before, now) = (last.placement, placement(DaxView::of(medium)?, size)?);
    (before != 0).then_some(now == before)
}

/// Clips an extent to a range and makes its offset relative to the range. Returns false if nothing of it is in the
/// range.
pub(crate) fn cut(extent: &mut Extent, range: &Range<u64>) -> bool {
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
    use cachemaint::dax;
    use cachemaint::medium::Backing;
    use cachemaint_inspect::survival::Survival;
    use cachemaint_inspect::{Extent, Placement};

    fn file_options() -> dax::Options {
        dax::Options::new().allow_page_granularity()
    }

    /// The verdict of a reader on a store with a last commit under these circumstances.
    fn verdict(circumstances: impl FnOnce(Stamp) -> Stamp) -> Verdict {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let file = file_options().create_new(&path, 1 << 20).unwrap();
        let stamp = circumstances(Stamp::host(file.view()));
        drop(Options::new().stamp(stamp).create_new(file).unwrap());
        let view = file_options().view(&path).unwrap();
        Reader::open(&view).unwrap().stamp().verdict(&view)
    }

    /// After a kexec, `pmem1` can be `pmem0`, or a file can be elsewhere on another device.
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
        if cachemaint_format::boot::id() == [0; 16] {
            let test = "a_reader_gets_the_verdict_since_the_last_commit";
            return cachemaint_test_support::skip::skip(test, "the boot is unknown here");
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
