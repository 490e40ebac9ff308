//! The physical places of a file's bytes: its extents, and the addresses of the device under them.

use crate::Unknown;
use alloc::string::String;
use alloc::vec::Vec;
use cachemaint::dax::{DaxView, Error};

/// The places of a mapping's bytes on their device, and in physical memory if the device is memory.
///
/// With feature `serde` it is an object: `extents`, a list of objects with the names of [`Extent`];
/// `device`; `base`, which is the number, or an object with `reason` and `advice`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Placement {
    /// The extents in ascending order; none is empty. Bytes outside any extent are a hole.
    pub extents: Vec<Extent>,
    /// The kernel's name of the block device, which can be a partition, or of the device DAX; empty if the device is
    /// not known.
    pub device: String,
    /// The physical address of the device's byte 0, or the reason why it is unknown. The kernel shows it only to root,
    /// and only for persistent memory.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::answers::number_or_reason"))]
    pub base: Result<u64, Unknown>,
}

impl Placement {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(extents: Vec<Extent>, device: String, base: Result<u64, Unknown>) -> Self {
        Self { extents, device, base }
    }
}

/// Bytes that are contiguous both in the mapping and on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Extent {
    /// The place of the bytes in the mapping, in bytes.
    pub offset: u64,
    /// The place of the bytes on the device, in bytes.
    pub on_device: u64,
    /// The number of bytes. If the mapping ends within a block, the last extent ends with the mapping.
    pub len: u64,
    /// The physical address of the first byte; `None` if the [base](Placement::base) is unknown, or the extent does not
    /// end within the memory that it begins in.
    pub physical: Option<u64>,
}

impl Extent {
    /// Returns bytes whose physical address is not known yet.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(offset: u64, on_device: u64, len: u64) -> Self {
        Self { offset, on_device, len, physical: None }
    }
}

/// Returns the places of the mapping's bytes: to aim a fault at one of them, to find the DIMM that holds them, or
/// to see how fragmented a file is.
///
/// The extents are those of FIEMAP (Linux `Documentation/filesystems/fiemap.rst`), cut to the mapping and joined
/// where they touch. A device of device DAX is one extent. The physical addresses are those of the *medium*: a file
/// that is not mapped directly has its bytes in the page cache as well, at other addresses. They are the addresses
/// of this kernel: in a guest, the guest's.
///
/// The answer holds at the time of the call. A file system may move blocks, for example when a file grows or is
/// defragmented, and when a block that is shared with another file is written. On device mapper and md the places
/// are those on the mapped device: `device` names it, and `base` is unknown.
///
/// # Errors
/// [`ErrorKind::Unknown`](cachemaint::dax::ErrorKind::Unknown) with the question and its answer: always on systems other than Linux. On Linux, if the
/// file system is not ext2, ext4 or xfs, whose extents give the place on the device, or if it has a realtime
/// device. Also if an extent does not give its place, as for bytes that are kept in the inode. Unknown physical
/// addresses are not an error.
///
/// # Cost
/// Some files of `/proc` and `/sys`, one `ioctl(2)` for 64 extents, and a sync of the file, which FIEMAP
/// is asked for so that it knows of all blocks. 32 bytes of memory for each extent.
#[doc(alias("FIEMAP", "filefrag", "physical address", "extents"))]
pub fn placement(view: &DaxView) -> Result<Placement, Error> {
    #[cfg(target_os = "linux")]
    let found = linux::of_view(view)?;
    #[cfg(not(target_os = "linux"))]
    let found: Result<_, Unknown> = {
        let system = cachemaint::family::calls::System::host().name;
        let answer = "this system does not report the place of bytes";
        Err(Unknown::new(system, answer, "ask under Linux, on ext4 or xfs"))
    };
    found.map_err(|why| Error::unknown(view.path(), "the place of its bytes", &why))
}

#[cfg(target_os = "linux")]
mod linux {
    use super::super::{descriptor, extents};
    use super::{DaxView, Error, Extent, Placement, Unknown};
    use crate::system::{disks, mounts, physical};
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use cachemaint::family::file::extents::{FiemapExtent, for_each};
    use cachemaint::family::file::facts_of;
    use cachemaint::family::region;
    use cachemaint::family::tree::Tree;
    use core::ops::Range;
    use std::fs::File;

    const ON_DEVICE_ALONE: &str = "the places on the device are all that is known";

    /// Returns the places of the bytes of a view.
    pub(super) fn of_view(view: &DaxView) -> Result<Result<Placement, Unknown>, Error> {
        let tree = &Tree::host();
        let file = descriptor(view);
        let facts = facts_of(view.path(), file)?;
        let mapping = view.offset()..view.offset().saturating_add(view.len());
        if let Some(device) = &facts.device_dax {
            let name = region::name_of(&device.path);
            return Ok(Ok(in_memory(tree, &name, in_device(&mapping))));
        }
        let mount = mounts::of_file(tree, &facts);
        let extents = extents::require_places(&mount).and_then(|()| in_file(file, &mapping));
        let device = disks::name(tree, facts.device, &mount);
        Ok(extents.map(|extents| in_memory(tree, &device, extents)))
    }

    /// The bytes of a device are in the order of its addresses (`drivers/dax/device.c`, `dax_pgoff_to_phys`).
    pub(super) fn in_device(mapping: &Range<u64>) -> Vec<Extent> {
        alloc::vec![Extent::new(0, mapping.start, mapping.end - mapping.start)]
    }

    /// Returns the same extents, with the physical addresses that the device has.
    pub(super) fn in_memory(tree: &Tree, device: &str, mut extents: Vec<Extent>) -> Placement {
        let memory = physical::of_device(tree, device, ON_DEVICE_ALONE);
        if let Ok(memory) = &memory {
            for extent in &mut extents {
                extent.physical = address(memory, extent);
            }
        }
        let base = memory.map(|memory| memory.start);
        Placement { extents, device: device.to_string(), base }
    }

    fn in_file(file: &File, mapping: &Range<u64>) -> Result<Vec<Extent>, Unknown> {
        let (mut found, mut failure) = (Vec::new(), None);
        for_each(file, mapping.start, mapping.end - mapping.start, |extent| {
            if failure.is_none() {
                failure = add(extent, mapping, &mut found).err();
            }
        })
        .map_err(extents::unknown)?;
        failure.map_or(Ok(found), Err)
    }

    /// Adds the mapped part of an extent, joined to the previous one if they are contiguous.
    pub(super) fn add(
        extent: &FiemapExtent,
        mapping: &Range<u64>,
        into: &mut Vec<Extent>,
    ) -> Result<(), Unknown> {
        let start = extent.logical.max(mapping.start);
        let end = extent.logical.saturating_add(extent.length).min(mapping.end);
        if start >= end {
            return Ok(());
        }
        if !extent.tells_its_place() {
            return Err(extents::placeless());
        }
        let (offset, len) = (start - mapping.start, end - start);
        let on_device = extent.physical.checked_add(start - extent.logical);
        let Some(on_device) = on_device.filter(|place| place.checked_add(len).is_some()) else {
            return Err(Unknown::new(
                "FIEMAP",
                "an extent that ends beyond any device",
                "check the file system",
            ));
        };
        match into.last_mut() {
            Some(last)
                if last.offset + last.len == offset && last.on_device + last.len == on_device =>
            {
                last.len += len;
            }
            _ => into.push(Extent::new(offset, on_device, len)),
        }
        Ok(())
    }

    /// Returns the physical address of an extent on a device with these addresses.
    pub(super) fn address(memory: &Range<u64>, extent: &Extent) -> Option<u64> {
        let start = memory.start.checked_add(extent.on_device)?;
        let end = start.checked_add(extent.len)?;
        (end <= memory.end).then_some(start)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::Extent;
    use super::linux::{add, address, in_device, in_memory};
    use crate::tests::{Fixture, tree_of};
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use cachemaint::family::file::extents;
    use core::ops::Range;

    /// Returns the result for extents of (place in the file, place on the device, length): places in the mapping and on
    /// the device, and lengths.
    fn placed(
        given: &[(u64, u64, u64)],
        mapping: Range<u64>,
    ) -> Result<Vec<(u64, u64, u64)>, String> {
        let mut found = Vec::new();
        for &(logical, physical, length) in given {
            let extent = extents::FiemapExtent::at(logical, physical, length);
            add(&extent, &mapping, &mut found).map_err(|why| why.to_string())?;
        }
        Ok(found.iter().map(|extent| (extent.offset, extent.on_device, extent.len)).collect())
    }

    #[test]
    fn extents_that_touch_in_both_are_one() {
        let file = 0..65536;
        // The third one touches in the file alone, the fourth on the device alone.
        let given =
            [(0, 8192, 4096), (4096, 12288, 4096), (8192, 40960, 4096), (20480, 45056, 4096)];
        let placed_in_file = [(0, 8192, 8192), (8192, 40960, 4096), (20480, 45056, 4096)];
        assert_eq!(placed(&given, file).unwrap(), placed_in_file);
    }

    /// A mapping of 12288..26000 of a file: an extent before it, one across its start, one across its end.
    #[test]
    fn a_mapping_shows_its_own_part_counted_from_its_start() {
        let given = [(0, 1 << 20, 4096), (8192, 2 << 20, 8192), (20480, 4 << 20, 8192)];
        let placed_in_file = [(0, (2 << 20) + 4096, 4096), (8192, 4 << 20, 26000 - 20480)];
        assert_eq!(placed(&given, 12288..26000).unwrap(), placed_in_file);
        assert_eq!(placed(&given, 4096..8192).unwrap(), [], "a hole");
    }

    #[test]
    fn an_absurd_extent_is_an_error() {
        for absurd in [(0, u64::MAX - 4095, 8192), (0, u64::MAX, 1)] {
            let why = placed(&[absurd], 0..65536).unwrap_err();
            assert!(why.contains("ends beyond any device"), "{why}");
        }
        assert_eq!(placed(&[(u64::MAX - 4095, 0, 8192)], 0..65536).unwrap(), []);
    }

    /// Bytes in the inode, or compressed: the reported address is not theirs.
    #[test]
    fn an_extent_that_does_not_tell_its_place_is_an_error_if_it_is_mapped() {
        // `FIEMAP_EXTENT_DATA_INLINE`, `FIEMAP_EXTENT_ENCODED` (`include/uapi/linux/fiemap.h`).
        for flag in [0x200, 0x8] {
            let extent = extents::FiemapExtent::at(0, 4096, 100).with_flags(flag);
            let why = add(&extent, &(0..100), &mut Vec::new()).unwrap_err();
            assert!(why.to_string().contains("whose place on the device is not reported"), "{why}");
            assert_eq!(add(&extent, &(4096..8192), &mut Vec::new()), Ok(()));
        }
    }

    const REGION: &str = "sys/devices/platform/ndbus0/region0";

    /// 2 MiB from 4 MiB on, of a device that begins at 1 GiB and 4 MiB and ends at 1.25 GiB.
    #[test]
    fn device_dax_is_one_extent() {
        let device = format!("{REGION}/dax0.1/dax0.0");
        let host = Fixture::new()
            .file(&format!("{device}/resource"), "0x40400000\n")
            .file(&format!("{device}/size"), "264241152\n")
            .link("sys/bus/dax/devices/dax0.0", &device);
        let (start, len) = (0x40_0000, 0x20_0000);
        let placement = in_memory(&tree_of(&host), "dax0.0", in_device(&(start..start + len)));
        let physical = Some(0x4080_0000);
        let extents = [Extent { offset: 0, on_device: start, len, physical }];
        assert_eq!(placement.extents, extents);
        assert_eq!((placement.device.as_str(), placement.base), ("dax0.0", Ok(0x4040_0000)));
    }

    /// Finds the same extents, whether the kernel shows the addresses or not.
    #[test]
    fn extents_are_found_even_with_hidden_addresses() {
        let disk = format!("{REGION}/pfn0.0/block/pmem0");
        let host = Fixture::new()
            .file(&format!("{disk}/size"), "512000\n")
            .link("sys/class/block/pmem0", &disk);
        let extents = || alloc::vec![Extent::new(0, 8192, 4096), Extent::new(4096, 40960, 4096)];
        let hidden = in_memory(&tree_of(&host), "pmem0", extents());
        assert_eq!(hidden.extents, extents());
        assert!(hidden.base.unwrap_err().reason.contains("pfn0.0/resource: absent"));

        let host = host
            .file(&format!("{REGION}/pfn0.0/resource"), "0x40600000\n")
            .file(&format!("{REGION}/pfn0.0/size"), "262144000\n");
        let shown = in_memory(&tree_of(&host), "pmem0", extents());
        let addresses: Vec<_> = shown.extents.iter().map(|extent| extent.physical).collect();
        // 0x40600000 and 0x2000; 0x40600000 and 0xa000.
        assert_eq!(addresses, [Some(0x4060_2000), Some(0x4060_a000)]);
    }

    /// A partition whose byte 0 is at 1 GiB and 1 MiB, and whose memory ends at 1.25 GiB.
    #[test]
    fn an_address_is_the_devices_and_within_its_memory() {
        let memory = 0x4010_0000..0x5000_0000;
        let at = |on_device, len| address(&memory, &Extent::new(0, on_device, len));
        assert_eq!(at(0, 4096), Some(0x4010_0000));
        assert_eq!(at(0x20_0000, 4096), Some(0x4030_0000));
        assert_eq!(at(0x0fef_f000, 4096), Some(0x4fff_f000), "the last page");
        assert_eq!(at(0x0fef_f000, 8192), None, "leaves the memory");
        assert_eq!(at(u64::MAX, 1), None);
    }
}
