//! The memory of a guest in vm-memory: its dirty pages are made persistent, and ranges are written back for devices
//! that do not snoop.

use cachemaint::medium::Granularity;
use cachemaint::{Cache, dax};
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use vm_memory::bitmap::AtomicBitmap;
use vm_memory::guest_memory::Error;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vm_memory::{GuestRegionMmap, MmapRegion};

/// RAM of a guest that outlives its monitor: one region over a whole file.
pub(crate) struct Ram {
    /// Makes the mapping of `memory` persistent. It must be dropped first.
    persister: dax::Persister,
    pub(crate) memory: GuestMemoryMmap<AtomicBitmap>,
    /// Holds the lock.
    file: dax::DaxFile,
}

impl Ram {
    /// Maps the file, or a new one of that length, and makes persistent what a killed monitor left.
    ///
    /// # Errors
    /// If the file cannot be opened, mapped or persisted.
    #[expect(unsafe_code, reason = "vouches for the mapping")]
    pub(crate) fn open(path: &Path, len: usize) -> Result<Self, Box<dyn std::error::Error>> {
        const PROTECTION: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);
        let file = dax::Options::new().allow_page_granularity().open_or_create(path, len as u64)?;
        // Line granularity needs a synchronous mapping, which the kernel does not grant for every file.
        let is_synchronous = !matches!(file.granularity(), Granularity::Page(_));
        let flags = if is_synchronous {
            MapFlags::SHARED_VALIDATE | MapFlags::SYNC
        } else {
            MapFlags::SHARED
        };
        let opened = File::options().read(true).write(true).open(path)?;
        let backing = Some(FileOffset::new(opened, 0));
        let [protection, flags] = [PROTECTION.bits(), flags.bits()].map(u32::cast_signed);
        let region = MmapRegion::<AtomicBitmap>::build(backing, len, protection, flags)?;
        let bytes = NonNull::new(region.as_ptr()).ok_or("no RAM")?;
        let bytes = NonNull::slice_from_raw_parts(bytes, len);
        // SAFETY: (1) the region is a shared mapping of the file, for both, and is dropped after the value; (2) its flags say
        // so.
        let persister = unsafe { dax::Persister::new(file.guarantee(), bytes, is_synchronous) }?;
        persister.persist(0..len as u64)?;
        let region = GuestRegionMmap::new(region, GuestAddress(0)).ok_or("no such RAM")?;
        let memory = GuestMemoryMmap::from_regions(vec![region])?;
        Ok(Self { persister, memory, file })
    }

    /// Returns the guarantee of the file.
    pub(crate) fn guarantee(&self) -> &dax::Guarantee {
        self.file.guarantee()
    }

    /// Makes persistent what was stored since the last call: a guest's flush request to virtio-pmem, or the last step before
    /// a live update or a reboot of the host.
    ///
    /// vm-memory tracks the stores of the monitor, including those of emulated devices. `by_cpus` has the stores of
    /// virtual CPUs: KVM's dirty log, or the whole RAM if there is no log.
    ///
    /// # Errors
    /// As [`dax::Persister::persist`]: then answer this request and every later one by an error.
    pub(crate) fn flush(
        &self,
        by_cpus: impl IntoIterator<Item = Range<u64>>,
    ) -> Result<(), dax::Error> {
        let mut ranges = self.memory.iter().flat_map(take_dirty).chain(by_cpus);
        ranges.try_for_each(|range| self.persister.persist(range))
    }
}

/// Writes `len` bytes of the guest back to the point of the handle, with one fence. The range may lie in several regions.
///
/// Stores of virtual CPUs are included if these CPUs have stopped, or if they requested this through a queue that this
/// thread has read.
///
/// # Errors
/// If a part of the range is in no region. Nothing is written back then.
#[expect(unsafe_code, reason = "vm-memory lends memory as pointers")]
pub(crate) fn write_back(
    cache: Cache,
    memory: &impl GuestMemoryBackend,
    start: GuestAddress,
    len: usize,
) -> Result<(), Error> {
    let slices = memory.get_slices(start, len).collect::<Result<Vec<_>, _>>()?;
    cache.order_observed(); // what the virtual CPUs have stored
    cache.batch(|batch| {
        for slice in &slices {
            // SAFETY: (1) the bytes are mapped for reading; (2) the memory is borrowed until the batch has ended.
            unsafe { batch.writeback_range(slice.ptr_guard().as_ptr(), slice.len()) };
        }
    });
    Ok(())
}

/// Returns the ranges of a region that were stored to since the last call, in bytes from its start: whole pages, with
/// adjacent ones joined. A concurrent store is in these ranges or in those of the next call, so call this before the
/// write-back.
pub(crate) fn take_dirty(region: &GuestRegionMmap<AtomicBitmap>) -> Vec<Range<u64>> {
    let (bitmap, len) = (region.bitmap(), region.size());
    // The bitmap does not report the size of a page; the last page can be shorter.
    let page = bitmap.byte_size().div_ceil(bitmap.len().max(1)).next_power_of_two();
    let words = bitmap.get_and_reset();
    let is_dirty = |number: usize| words[number / 64] >> (number % 64) & 1 != 0;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for number in (0..bitmap.len()).filter(|number| is_dirty(*number)) {
        let (start, end) = ((number * page) as u64, ((number + 1) * page).min(len) as u64);
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::{Ram, take_dirty, write_back};
    use cachemaint_test_support::refused::host_or_refused;
    use vm_memory::bitmap::AtomicBitmap;
    use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

    const PAGE: u64 = 4096;

    /// Two adjacent regions.
    fn memory() -> GuestMemoryMmap<AtomicBitmap> {
        let regions = [(GuestAddress(0), 16 << 12), (GuestAddress(16 * PAGE), 16 << 12)];
        GuestMemoryMmap::from_ranges(&regions).unwrap()
    }

    #[test]
    fn a_range_over_two_regions_is_written_back_and_one_beyond_them_is_refused() {
        let Some(cache) = host_or_refused() else { return };
        let memory = memory();
        memory.write_slice(&[7; 8192], GuestAddress(15 * PAGE)).unwrap();
        write_back(cache, &memory, GuestAddress(15 * PAGE), 8192).unwrap();
        write_back(cache, &memory, GuestAddress(31 * PAGE), 8192).unwrap_err();
    }

    #[test]
    fn pages_that_were_stored_to_are_taken_once() {
        let memory = memory();
        let [first, second] = [0, 16].map(|page| memory.find_region(GuestAddress(page * PAGE)));
        let (first, second) = (first.unwrap(), second.unwrap());
        memory.write_slice(&[7; 5000], GuestAddress(2 * PAGE + 100)).unwrap();
        memory.write_slice(&[7], GuestAddress(5 * PAGE)).unwrap();
        memory.write_slice(&[7; 2], GuestAddress(16 * PAGE - 1)).unwrap();
        assert_eq!(
            take_dirty(first),
            [2 * PAGE..4 * PAGE, 5 * PAGE..6 * PAGE, 15 * PAGE..16 * PAGE]
        );
        assert_eq!(take_dirty(second).as_slice(), core::slice::from_ref(&(0..PAGE)));
        assert_eq!(take_dirty(first), []);
    }

    #[test]
    fn a_flush_takes_what_is_dirty_and_the_next_monitor_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ram");
        let ram = Ram::open(&path, 1 << 20).unwrap();
        ram.memory.write_slice(&[7; 5000], GuestAddress(3 * PAGE)).unwrap();
        ram.flush([]).unwrap();
        assert_eq!(ram.memory.iter().flat_map(take_dirty).next(), None);
        Ram::open(&path, 1 << 20).map(drop).unwrap_err(); // one monitor at a time
        drop(ram);
        let next = Ram::open(&path, 1 << 20).unwrap();
        let mut found = [0; 5000];
        next.memory.read_slice(&mut found, GuestAddress(3 * PAGE)).unwrap();
        assert_eq!(found, [7; 5000]);
    }

    /// For example in an image whose length is not a multiple of the page size.
    #[test]
    fn the_last_page_of_a_region_can_be_shorter() {
        let regions = [(GuestAddress(0), (3 << 12) + 1)];
        let memory = GuestMemoryMmap::<AtomicBitmap>::from_ranges(&regions).unwrap();
        let end = 3 * PAGE + 1;
        for at in [2 * PAGE - 1, end - 1] {
            memory.write_slice(&[7], GuestAddress(at)).unwrap();
        }
        let region = memory.find_region(GuestAddress(0)).unwrap();
        assert_eq!(take_dirty(region), [PAGE..2 * PAGE, 3 * PAGE..end]);
    }
}
