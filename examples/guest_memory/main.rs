//! The RAM of a virtual machine that outlives its monitor: vm-memory maps it and knows which pages are dirty, and this crate
//! makes these persistent when the guest asks for it, as its flush requests to virtio-pmem do. `guest.rs` is what a monitor
//! takes over.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example guest_memory -- /mnt/pmem/ram   # and again
//! ```

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod guest;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[expect(unsafe_code, clippy::print_stdout, reason = "lends the guest's RAM; shows the result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use cachemaint::{Cache, dax, medium::Granularity};
    use rustix::mm::{MapFlags, ProtFlags};
    use std::{ptr::NonNull, sync::atomic::Ordering};
    use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, bitmap::AtomicBitmap};
    use vm_memory::{GuestMemoryMmap, GuestRegionMmap, MmapRegion};

    const RAM: usize = 4 << 20;
    const PROTECTION: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);
    const STEPS: GuestAddress = GuestAddress(0);
    let place = |step: u64| GuestAddress(4096 + step * 64 % (RAM as u64 - 4096));

    let path = std::env::args().nth(1).ok_or("usage: guest_memory FILE")?;
    let options = dax::Options::new().allow_page_granularity();
    let opened = options.open_or_create(path, RAM as u64)?; // and holds the lock
    let guarantee = opened.guarantee().clone();
    // Lines are persisted only through a mapping that is synchronous, which the kernel does not grant for every file.
    let is_synchronous = !matches!(opened.granularity(), Granularity::Page(_));
    let flags =
        if is_synchronous { MapFlags::SHARED_VALIDATE | MapFlags::SYNC } else { MapFlags::SHARED };
    let backing = Some(FileOffset::new(opened.file().try_clone()?, 0));
    let [protection, flags] = [PROTECTION.bits(), flags.bits()].map(u32::cast_signed);
    let region = MmapRegion::<AtomicBitmap>::build(backing, RAM, protection, flags)?;
    let bytes = NonNull::new(region.as_ptr()).ok_or("no RAM")?;
    let bytes = NonNull::slice_from_raw_parts(bytes, RAM);
    let region = GuestRegionMmap::new(region, GuestAddress(0)).ok_or("no such RAM")?;
    let memory = GuestMemoryMmap::from_regions(vec![region])?;

    // SAFETY: (1) the region is a shared mapping of the file, for both; `memory` keeps it and is dropped last; (2) its flags
    // say so.
    let ram = unsafe { dax::Persister::new(&guarantee, bytes, is_synchronous) }?;
    ram.persist(0..RAM as u64)?; // what a killed monitor has left, before it is believed
    let steps: u64 = memory.load(STEPS, Ordering::Relaxed)?;
    println!("the guest goes on after {steps} steps ({})", guarantee.reason);
    assert_eq!(
        memory.load::<u64>(place(steps), Ordering::Relaxed)?,
        steps,
        "a step counts once its word is persistent"
    );
    for (word, at) in [(steps + 1, place(steps + 1)), (steps + 1, STEPS)] {
        memory.store(word, at, Ordering::Relaxed)?;
        // The guest's flush request: all that is dirty.
        for dirty in memory.iter().flat_map(guest::take_dirty) {
            ram.persist(dirty)?;
        }
    }
    if let Ok(cache) = Cache::host() {
        guest::write_back(cache, &memory, STEPS, RAM)?; // for a device that does not see the caches
    }
    Ok(())
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn main() {}
