//! The physical place of a region.

use cachemaint::dax::{DaxFile, Error};
use cachemaint::medium::Medium;
use cachemaint_format::tag::Running;
use cachemaint_inspect::{Extent, Placement};
use cachemaint_store::Region;
use core::borrow::Borrow;
use core::ops::Range;

/// Returns the place of a region's bytes on their device and in memory, as [`cachemaint_inspect::placement`] does for a
/// whole file. Offsets are relative to the region.
///
/// # Errors
/// Same as [`cachemaint_inspect::placement`]: always for a memfd and a file on tmpfs.
///
/// # Cost
/// That of [`cachemaint_inspect::placement`], for the whole file.
pub fn placement<M: Medium + Borrow<DaxFile>>(region: &Region<M>) -> Result<Placement, Error> {
    let mut placement = cachemaint_inspect::placement(region.medium().borrow().view())?;
    let range = region.info().range();
    placement.extents.retain_mut(|extent| cut(extent, &range));
    Ok(placement)
}

/// Returns a digest of a place, to be kept.
///
/// After a boot, a memory device can begin at another address or have another name. Only the physical addresses show
/// whether the bytes have moved, and Linux shows these only to root. Without them the digest is of the device's name and
/// the places on it.
#[must_use]
pub fn digest(placement: &Placement) -> u64 {
    let mut digest = Running::new(0);
    for extent in &placement.extents {
        let at = extent.physical.unwrap_or(extent.on_device);
        let is_physical = extent.physical.is_some();
        for number in [extent.offset, extent.len, u64::from(is_physical), at] {
            digest.append(&number.to_le_bytes());
        }
        if !is_physical {
            digest.append(placement.device.as_bytes());
        }
    }
    digest.finish()
}

/// Returns true if a region is still in the place with this [`digest`]. If not, nothing may rely on the addresses: give
/// the new ones to their users.
///
/// # Errors
/// Same as [`placement`].
///
/// # Cost
/// That of [`placement`].
pub fn is_in_place<M: Medium + Borrow<DaxFile>>(
    region: &Region<M>,
    before: u64,
) -> Result<bool, Error> {
    Ok(digest(&placement(region)?) == before)
}

/// Clips an extent to a range and makes its offset relative to the range. Returns false if nothing of it is in the
/// range.
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

#[cfg(test)]
mod tests {
    use super::{cut, digest};
    use cachemaint_inspect::{Extent, Placement};

    /// After a kexec, `pmem1` can be `pmem0`, or a file can be elsewhere on another device.
    #[test]
    fn a_place_in_memory_is_its_physical_address() {
        let place = |device: &str, on_device, physical: Option<u64>| {
            let mut extent = Extent::new(0, on_device, 4096);
            extent.physical = physical;
            digest(&Placement::new(vec![extent], device.into(), Ok(0)))
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
    fn an_extent_is_clipped_to_the_region() {
        let mut extent = Extent::new(4096, 1 << 20, 16_384);
        extent.physical = Some(1 << 32);
        assert!(cut(&mut extent, &(8192..12_288)));
        let places = (extent.offset, extent.on_device, extent.len, extent.physical);
        assert_eq!(places, (0, (1 << 20) + 4096, 4096, Some((1 << 32) + 4096)));
        assert!(!cut(&mut extent, &(4096..8192)));
    }
}
