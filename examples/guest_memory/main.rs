//! The RAM of a virtual machine that outlives its monitor: vm-memory maps it and tracks dirty pages, and this crate
//! makes these persistent when the guest asks for it, for example by a flush request to virtio-pmem. A monitor can copy
//! `guest.rs`.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example guest_memory -- /mnt/pmem/ram   # and again
//! ```

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod guest;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[expect(clippy::print_stdout, reason = "shows the result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::{path::Path, sync::atomic::Ordering};
    use vm_memory::{Bytes, GuestAddress};

    const RAM: usize = 4 << 20;
    const STEPS: GuestAddress = GuestAddress(0);
    let place = |step: u64| GuestAddress(4096 + step * 64 % (RAM as u64 - 4096));

    let path = std::env::args().nth(1).ok_or("usage: guest_memory FILE")?;
    let ram = guest::Ram::open(Path::new(&path), RAM)?;
    let steps: u64 = ram.memory.load(STEPS, Ordering::Relaxed)?;
    println!("the guest goes on after {steps} steps ({})", ram.guarantee().reason);
    assert_eq!(
        ram.memory.load::<u64>(place(steps), Ordering::Relaxed)?,
        steps,
        "a step counts once its word is persistent"
    );
    for (word, at) in [(steps + 1, place(steps + 1)), (steps + 1, STEPS)] {
        ram.memory.store(word, at, Ordering::Relaxed)?;
        ram.flush([])?; // the guest's request; no virtual CPU runs
    }
    if let Ok(cache) = cachemaint::Cache::host() {
        guest::write_back(cache, &ram.memory, STEPS, RAM)?; // for a device that does not snoop
    }
    Ok(())
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn main() {}
