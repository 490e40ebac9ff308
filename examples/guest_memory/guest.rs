//! The memory of a guest, as vm-memory has it: written back to a point, over all regions of a range, and by what is dirty.

use cachemaint::Cache;
use std::ops::Range;
use vm_memory::bitmap::AtomicBitmap;
use vm_memory::guest_memory::Error;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestRegionMmap};

/// Writes `len` bytes of the guest back to the point of the handle, with one fence. The range may lie in several regions.
///
/// The stores of virtual CPUs count if they have stopped, or if they asked for this through a queue that this thread has read.
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

/// Returns the ranges of a region that were stored to since the last call, in bytes from its start: whole pages, and those that
/// follow each other as one. A store meanwhile is in these ranges or in those of the next call, so take them before they are
/// written back.
pub(crate) fn take_dirty(region: &GuestRegionMmap<AtomicBitmap>) -> Vec<Range<u64>> {
    let (bitmap, len) = (region.bitmap(), region.size());
    // The size of a page is not shown; the last page can be shorter.
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
    use super::{take_dirty, write_back};
    use cachemaint::Cache;
    use vm_memory::bitmap::AtomicBitmap;
    use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

    const PAGE: u64 = 4096;

    /// Two regions that follow each other.
    fn memory() -> GuestMemoryMmap<AtomicBitmap> {
        let regions = [(GuestAddress(0), 16 << 12), (GuestAddress(16 * PAGE), 16 << 12)];
        GuestMemoryMmap::from_ranges(&regions).unwrap()
    }

    #[test]
    fn a_range_over_two_regions_is_written_back_and_one_beyond_them_is_refused() {
        let Ok(cache) = Cache::host() else { return };
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

    /// As that of an image whose length is no multiple of pages.
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
