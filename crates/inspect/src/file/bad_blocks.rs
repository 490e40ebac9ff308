//! The bytes of a file that are known to be bad: the list of its device, mapped to the file by its extents.

use super::{descriptor, extents};
use crate::Unknown;
use crate::system::Listed;
use crate::system::disks;
use crate::system::mounts::{self, Mount};
use alloc::vec::Vec;
use cachemaint::dax::{DaxView, Error};
use cachemaint::family::file::extents::{FiemapExtent, for_each};
use cachemaint::family::file::facts_of;
use cachemaint::family::tree::Tree;
use core::ops::Range;

/// Bytes of a file that are known to be bad.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadBlocks {
    /// The ranges in bytes of the mapping: ascending, not touching, and not empty.
    pub ranges: Vec<Range<u64>>,
    /// True if the kernel had space for all bad blocks that it knows. It keeps a page of entries and shows a page of
    /// text (`block/badblocks.c`): if either is full, more may be bad than is listed.
    pub is_complete: bool,
}

/// Returns the bytes of the mapping that are known to be bad: a load from them raises SIGBUS. The file is not read.
/// `ndctl clear-errors` makes the blocks usable again; their content is lost.
///
/// The source is the kernel's list for the device (`/sys/block/…/badblocks`), whose sectors of 512 bytes are mapped
/// to the file by its extents (FIEMAP). The result therefore covers all blocks under the file, even those never
/// written. A bad sector can make its whole page inaccessible (Linux `drivers/nvdimm/pmem.c`,
/// `__pmem_direct_access`).
///
/// *None* and *unknown* are different: if the answer is unknown, the result is an error.
///
/// # Errors
/// [`ErrorKind::Unknown`](cachemaint::dax::ErrorKind::Unknown) with the question and its answer, if the file system is not on persistent memory, or
/// device mapper or md is in between. Also if the file system does not give the place of its extents, or the
/// attribute is missing, cannot be read, or is not a list. The list lacks errors that no access has met yet, and
/// those for which the kernel had no space: [`BadBlocks::is_complete`].
///
/// # Cost
/// Some files of `/proc` and `/sys`, one `ioctl(2)` for 64 extents, and a sync of the file, which
/// FIEMAP is asked for so that it knows of all blocks.
#[doc(alias("badblocks", "media error", "poison"))]
pub fn bad_blocks(view: &DaxView) -> Result<BadBlocks, Error> {
    let (tree, file) = (Tree::host(), descriptor(view));
    let facts = facts_of(view.path(), file)?;
    let mapping = view.offset()..view.offset().saturating_add(view.len());
    let found = || {
        let mount = mounts::of_file(&tree, &facts);
        let listed = of_device(&tree, &mount, facts.device, rustix::param::page_size())?;
        let mut found = Vec::new();
        let mut placeless = false;
        for_each(file, mapping.start, mapping.end - mapping.start, |extent| {
            placeless |= !extent.tells_its_place();
            collect(extent, &listed.ranges, &mapping, &mut found);
        })
        .map_err(extents::unknown)?;
        if placeless {
            return Err(extents::placeless());
        }
        Ok(BadBlocks { ranges: joined(found), is_complete: !listed.may_be_cut })
    };
    found().map_err(|why| Error::unknown(view.path(), "which blocks are bad", &why))
}

/// Returns the list of the device that a file system lies on.
fn of_device(
    tree: &Tree,
    mount: &Mount,
    device: (u32, u32),
    page: usize,
) -> Result<Listed, Unknown> {
    let listed = disks::bad_blocks(tree, device, page)?;
    extents::require_places(mount)?;
    Ok(listed)
}

/// Adds the bad bytes of an extent, in bytes of the mapping, which is a range of the file.
fn collect(
    extent: &FiemapExtent,
    bad: &[Range<u64>],
    mapping: &Range<u64>,
    into: &mut Vec<Range<u64>>,
) {
    let extent_end = extent.physical.saturating_add(extent.length);
    for bad in bad {
        let on_device = bad.start.max(extent.physical)..bad.end.min(extent_end);
        if on_device.is_empty() {
            continue;
        }
        let in_file = |place: u64| extent.logical.saturating_add(place - extent.physical);
        let start = in_file(on_device.start).max(mapping.start);
        let end = in_file(on_device.end).min(mapping.end);
        if start < end {
            into.push(start - mapping.start..end - mapping.start);
        }
    }
}

/// Returns the same bytes in ascending order, with touching ranges joined.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::{collect, joined, of_device};
    use crate::system::mounts::{Mount, mount};
    use crate::tests::{Fixture, tree_of};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;
    use cachemaint::family::file::extents::FiemapExtent;
    use core::ops::Range;

    /// Returns the bad bytes of a mapping of a file with these extents.
    fn bad(
        extents: &[(u64, u64, u64)],
        sectors: &[(u64, u64)],
        mapping: Range<u64>,
    ) -> Vec<Range<u64>> {
        let listed: Vec<_> =
            sectors.iter().map(|&(first, count)| first * 512..(first + count) * 512).collect();
        let mut found = Vec::new();
        for &(logical, physical, length) in extents {
            collect(&FiemapExtent::at(logical, physical, length), &listed, &mapping, &mut found);
        }
        joined(found)
    }

    const WHOLE: Range<u64> = 0..u64::MAX;

    /// Each row by hand: extents of (place in the file, place on the device, length) in bytes, bad sectors
    /// of (first, count).
    #[test]
    fn bad_sectors_are_carried_over_by_the_extents() {
        let one = [(0, 40960, 8192)];
        // The device's 40960..49152 are sectors 80..96.
        assert_eq!(bad(&one, &[], WHOLE), []);
        assert_eq!(bad(&one, &[(79, 1), (96, 1)], WHOLE), [], "on either side of it");
        assert_eq!(bad(&one, &[(80, 1)], WHOLE), [0..512]);
        assert_eq!(bad(&one, &[(95, 1)], WHOLE), [7680..8192]);
        assert_eq!(bad(&one, &[(79, 2)], WHOLE), [0..512], "begins before it");
        assert_eq!(bad(&one, &[(95, 9)], WHOLE), [7680..8192], "ends after it");
        assert_eq!(bad(&one, &[(0, 500)], WHOLE), [0..8192], "around it");
        assert_eq!(bad(&one, &[(88, 1), (82, 2)], WHOLE), [1024..2048, 4096..4608]);

        // The second half of the file lies before the first, with a hole between.
        let two = [(0, 40960, 4096), (8192, 4096, 4096)];
        // 4096..8192 of the device are sectors 8..16, and its 40960..45056 are 80..88.
        assert_eq!(bad(&two, &[(8, 1), (87, 1)], WHOLE), [3584..4096, 8192..8704]);
        assert_eq!(bad(&two, &[(16, 64)], WHOLE), [], "what lies between belongs to others");
        assert_eq!(bad(&two, &[(0, 1000)], WHOLE), [0..4096, 8192..12288]);
        // Behind each other in the file, apart on the device, and both bad where they meet.
        let meeting = [(0, 40960, 4096), (4096, 4096, 4096)];
        assert_eq!(bad(&meeting, &[(87, 1), (8, 2)], WHOLE), vec![3584..5120]);
    }

    #[test]
    fn a_mapping_shows_its_own_part_counted_from_its_start() {
        let one = [(0, 40960, 8192)];
        assert_eq!(bad(&one, &[(80, 16)], 4096..8192), [0..4096]);
        assert_eq!(bad(&one, &[(87, 2)], 4096..8192), [0..512]);
        assert_eq!(bad(&one, &[(80, 8)], 4096..8192), []);
        assert_eq!(bad(&one, &[(80, 16)], 4096..4196), [0..100], "ends within a sector");
        // An extent that the kernel gives from its own start, before the mapping's.
        assert_eq!(bad(&[(4096, 0, 8192)], &[(9, 1)], 8192..12288), [512..1024]);
    }

    #[test]
    fn absurd_extents_do_not_overflow() {
        let top = u64::MAX - 511;
        let sectors = [(top / 512 - 1, 1)];
        assert_eq!(bad(&[(0, top - 512, u64::MAX)], &sectors, WHOLE), [0..512]);
        assert_eq!(bad(&[(u64::MAX - 100, 0, 4096)], &[(0, 8)], WHOLE), [u64::MAX - 100..u64::MAX]);
    }

    const PARTITION: &str = "sys/devices/platform/ndbus0/region0/namespace0.0/block/pmem0/pmem0p1";
    const DISK: &str = "sys/devices/platform/ndbus0/region0/namespace0.0/block/pmem0";

    fn host(device: &str) -> Fixture {
        Fixture::new()
            .file(&format!("{DISK}/size"), "524288\n")
            .file(&format!("{PARTITION}/partition"), "1\n")
            .link("sys/dev/block/259:0", device)
    }

    fn mounted(fixture: Fixture, line: &str) -> (Fixture, Mount) {
        let fixture = fixture.file("proc/self/mountinfo", line);
        let mount = mount(&tree_of(&fixture), Some(29), (259, 0), &mut Vec::new());
        (fixture, mount)
    }

    const EXT4: &str = "29 1 259:0 / /mnt rw - ext4 /dev/pmem0 rw,dax=always\n";

    fn listed(fixture: Fixture, line: &str) -> Result<Vec<Range<u64>>, String> {
        let (fixture, mount) = mounted(fixture, line);
        let listed = of_device(&tree_of(&fixture), &mount, (259, 0), 4096);
        listed.map(|listed| listed.ranges).map_err(|unknown| format!("{unknown}"))
    }

    #[test]
    fn a_whole_disk_counts_from_its_start() {
        let host = host(DISK).file(&format!("{DISK}/badblocks"), "2056 8\n");
        assert_eq!(listed(host, EXT4).unwrap(), [1_052_672..1_056_768]);
        let none = host_with_list("");
        assert_eq!(listed(none, EXT4).unwrap(), []);
    }

    fn host_with_list(list: &str) -> Fixture {
        host(DISK).file(&format!("{DISK}/badblocks"), list)
    }

    /// The partition begins at sector 2048: what is bad before it is not its own.
    #[test]
    fn a_partition_counts_from_where_it_begins_on_the_disk() {
        let host = host(PARTITION)
            .file(&format!("{PARTITION}/start"), "2048\n")
            .file(&format!("{DISK}/badblocks"), "0 8\n2040 16\n2056 8\n");
        assert_eq!(listed(host, EXT4).unwrap(), [0..4096, 4096..8192]);
    }

    #[test]
    fn an_unknown_list_is_refused_with_its_reason() {
        let refused = |fixture, line| listed(fixture, line).unwrap_err();
        let without_list = refused(host(DISK), EXT4);
        assert!(without_list.contains("pmem0/badblocks: absent; "), "{without_list}");
        let garbage = refused(host_with_list("8 lots\n"), EXT4);
        assert!(garbage.contains("no list of bad blocks: 8 lots"), "{garbage}");
        let absent = refused(Fixture::new(), EXT4);
        assert!(absent.starts_with("/sys/dev/block/259:0: absent; "), "{absent}");

        let start = host(PARTITION).file(&format!("{DISK}/badblocks"), "");
        assert!(refused(start, EXT4).contains("pmem0p1/start: absent; "));
        let start = host(PARTITION)
            .file(&format!("{DISK}/badblocks"), "")
            .file(&format!("{PARTITION}/start"), "18446744073709551615\n");
        assert!(refused(start, EXT4).contains("pmem0p1/start: 18446744073709551615; "));

        let disk = Fixture::new()
            .file("sys/devices/pci/sda/size", "1\n")
            .file("sys/devices/pci/sda/badblocks", "")
            .link("sys/dev/block/259:0", "sys/devices/pci/sda");
        let disk = refused(disk, EXT4);
        assert!(disk.contains("sda: the device is in no region of persistent memory"), "{disk}");
        let mapper = Fixture::new()
            .file("sys/devices/virtual/block/dm-0/size", "1\n")
            .link("sys/dev/block/259:0", "sys/devices/virtual/block/dm-0")
            .file(&format!("{DISK}/badblocks"), "")
            .link("sys/devices/virtual/block/dm-0/slaves/pmem0", DISK);
        let mapper = refused(mapper, EXT4);
        assert!(mapper.contains("dm-0/slaves: pmem0 is under it"), "{mapper}");

        let other = refused(host_with_list(""), "29 1 259:0 / /mnt rw - btrfs /dev/pmem0 rw\n");
        assert!(other.starts_with("the file system: btrfs; "), "{other}");
        let no_mount = refused(host_with_list(""), "30 1 0:1 / / rw - ext4 none rw\n");
        assert!(no_mount.starts_with("the file system: not found; "), "{no_mount}");
        let line = "29 1 259:0 / /d rw - xfs /dev/pmem0 rw,dax=always,rtdev=/dev/pmem1\n";
        assert!(refused(host_with_list(""), line).starts_with("mount option rtdev: "));
    }
}
