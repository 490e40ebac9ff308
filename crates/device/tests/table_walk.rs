//! A device that walks tables of two levels: the rules of the guide's page on rings, tables, guests and CXL memory.

use cachemaint::coherence;
use cachemaint_device::{Bus, Machine, explore};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

const VALID: u64 = 1;

/// The walker's registers.
#[derive(Default)]
struct Walker {
    root: AtomicU64,
    /// The number of an access, which is the page's in 2 digits, and its result.
    access: AtomicU64,
    result: AtomicU32,
}

/// One access of the device: a walk of two levels of 16 entries, and a write to the page.
fn walk(walker: &Walker, bus: &Bus) {
    let page = walker.access.swap(0, SeqCst);
    if page == 0 {
        return;
    }
    let entry =
        |table: u64, index: u64| u64::from_le_bytes(bus.load((table & !VALID) + 8 * (index & 15)));
    let upper = entry(walker.root.load(SeqCst), page >> 4);
    let lower = if upper & VALID == 0 { 0 } else { entry(upper, page) };
    if lower & VALID != 0 {
        bus.write(lower & !VALID, &[5; 64]);
    }
    walker.result.store(if lower & VALID == 0 { 2 } else { 1 }, SeqCst);
}

#[test]
fn a_page_is_found_through_both_levels() {
    let explored = explore(0..200, |seed| {
        let machine = Machine::new(64, seed);
        let walker = Walker::default();
        machine.attach(|bus| walk(&walker, bus));
        let page = machine.padded::<[u8; 64], 64>([0; 64]);
        let [upper, lower] = [(); 2].map(|()| machine.padded::<[u64; 16], 64>([0; 16]));
        coherence::release(&machine, &**upper); // 1.
        coherence::release(&machine, &**lower);
        walker.root.store(upper.as_ptr() as u64, SeqCst);
        coherence::release_to_writer(&machine, page); // 2.
        lower[3] = page.as_ptr() as u64 | VALID; // 3.
        coherence::release(&machine, &lower[3]);
        upper[2] = lower.as_ptr() as u64 | VALID;
        coherence::release(&machine, &upper[2]);
        for (access, expected) in [(0x23, 1), (0xc3, 2), (0x2d, 2)] {
            walker.result.store(0, SeqCst);
            walker.access.store(access, SeqCst);
            machine.wait_until(|| walker.result.load(SeqCst) != 0);
            assert_eq!(walker.result.load(SeqCst), expected);
        }
        upper[2] = 0; // 4.
        coherence::release(&machine, &upper[2]);
        walker.result.store(0, SeqCst);
        walker.access.store(0x23, SeqCst);
        machine.wait_until(|| walker.result.load(SeqCst) != 0);
        assert_eq!(walker.result.load(SeqCst), 2);
        coherence::acquire(&machine, page);
        assert_eq!(**page, [5; 64]);
    });
    assert_eq!(explored.needed.len(), 7); // each of the calls
}
