//! The places of a file's bytes: its extents, and the physical addresses of the device under them.

use super::ask::inode;
use super::extents;
use crate::dax::{Extent, Guarantee, Placement};
use crate::system::backing::mounts;
use crate::system::backing::physical;
use crate::system::tree::{Tree, Unknown};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Range;
use std::fs::File;

const ON_DEVICE_ALONE: &str = "the places on the device are all that is known";

/// Returns the places of the bytes of a mapping, which is a range of the file.
pub(in crate::dax) fn placement(
    file: &File,
    guarantee: &Guarantee,
    mapping: &Range<u64>,
) -> Result<Placement, Unknown> {
    let tree = &Tree::host();
    let extents = if guarantee.is_device_dax {
        in_device(mapping)
    } else {
        let mount = mounts::of_inode(tree, &inode(file)?);
        extents::require_places(&mount)?;
        in_file(file, mapping)?
    };
    Ok(in_memory(tree, &guarantee.device, extents))
}

/// The bytes of a device are in the order of its addresses (`drivers/dax/device.c`, `dax_pgoff_to_phys`).
fn in_device(mapping: &Range<u64>) -> Vec<Extent> {
    alloc::vec![Extent::new(0, mapping.start, mapping.end - mapping.start)]
}

/// Returns the same extents, with the physical addresses that the device has.
fn in_memory(tree: &Tree, device: &str, mut extents: Vec<Extent>) -> Placement {
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
    extents::for_each(file, mapping.start, mapping.end - mapping.start, |extent| {
        if failure.is_none() {
            failure = add(extent, mapping, &mut found).err();
        }
    })
    .map_err(extents::unknown)?;
    failure.map_or(Ok(found), Err)
}

/// Adds the mapped part of an extent, joined to the previous one if they are contiguous.
fn add(
    extent: &extents::FiemapExtent,
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
fn address(memory: &Range<u64>, extent: &Extent) -> Option<u64> {
    let start = memory.start.checked_add(extent.on_device)?;
    let end = start.checked_add(extent.len)?;
    (end <= memory.end).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::{Extent, add, address, in_device, in_memory};
    use crate::dax::system::linux::extents;
    use crate::system::fixture::Fixture;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
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
        let placement = in_memory(&host.tree(), "dax0.0", in_device(&(start..start + len)));
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
        let hidden = in_memory(&host.tree(), "pmem0", extents());
        assert_eq!(hidden.extents, extents());
        assert!(hidden.base.unwrap_err().reason.contains("pfn0.0/resource: absent"));

        let host = host
            .file(&format!("{REGION}/pfn0.0/resource"), "0x40600000\n")
            .file(&format!("{REGION}/pfn0.0/size"), "262144000\n");
        let shown = in_memory(&host.tree(), "pmem0", extents());
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
