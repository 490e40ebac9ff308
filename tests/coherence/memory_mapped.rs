//! The trait on a cache that is maintained by stores to registers, as a crate for a microcontroller
//! would implement it: the Cortex-M7, whose registers are an array here.
//!
//! Expected sequences are those of Arm's Cortex-M7 Devices Generic User Guide (DUI 0646C), 4.8.7. A DSB comes before
//! the operations, so that they observe preceding stores. The operations complete in order. A DSB completes them all,
//! and an ISB follows. Register offsets are those of CMSIS `core_cm7.h`.

use cachemaint::coherence::{self, Maintain, Padded, hand_over};
use std::cell::{Cell, RefCell};

const LINE: usize = 32;

/// Offsets from `SCB`, in bytes.
const DCIMVAC: usize = 0x25c;
const DCCMVAC: usize = 0x268;
const DCCIMVAC: usize = 0x270;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Executed {
    Store { register: usize, value: u32 },
    Dsb,
    Isb,
}

/// The registers, and the executed operations, in order.
struct CortexM7 {
    registers: [Cell<u32>; 0x280 / 4],
    executed: RefCell<Vec<Executed>>,
}

impl CortexM7 {
    fn new() -> Self {
        Self { registers: [const { Cell::new(0) }; 0x280 / 4], executed: RefCell::default() }
    }

    fn store(&self, register: usize, value: u32) {
        self.registers[register / 4].set(value);
        self.executed.borrow_mut().push(Executed::Store { register, value });
    }

    fn barrier(&self, barrier: Executed) {
        self.executed.borrow_mut().push(barrier);
    }

    fn take_executed(&self) -> Vec<Executed> {
        self.executed.take()
    }

    /// Stores the address of each line of the range to a register: `whole` for lines that lie in the
    /// range, `partly` for those that begin before it or end behind it.
    fn issue(&self, start: *const u8, len: usize, whole: usize, partly: usize) {
        hand_over(start);
        self.barrier(Executed::Dsb);
        let (start, end) = (start.addr(), start.addr() + len);
        for line in (start - start % LINE..end).step_by(LINE) {
            let register = if start <= line && line + LINE <= end { whole } else { partly };
            self.store(register, register_value(line));
        }
    }
}

/// Returns an address as the registers take it: of 32 bits, as the target's addresses are.
#[expect(clippy::cast_possible_truncation, reason = "the buffers of a host can lie higher")]
fn register_value(address: usize) -> u32 {
    address as u32
}

// SAFETY: (1) lines are of 32 bytes; (2), (3), (5) by the operations between DSBs; (4) lines that are
// covered in part are cleaned too; (6) the range is handed over; (7) nothing can fail.
unsafe impl Maintain for CortexM7 {
    fn granule(&self) -> usize {
        LINE
    }

    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        self.issue(start, len, DCCMVAC, DCCMVAC);
    }

    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        self.issue(start, len, DCIMVAC, DCCIMVAC);
    }

    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        self.issue(start, len, DCCIMVAC, DCCIMVAC);
    }

    fn complete(&self) {
        self.barrier(Executed::Dsb);
        self.barrier(Executed::Isb);
    }
}

fn store(register: usize, value: u32) -> Executed {
    Executed::Store { register, value }
}

#[test]
fn a_release_cleans_each_line_between_the_barriers_that_the_manual_demands() {
    let cache = CortexM7::new();
    // 49 bytes from 2000_0010H: the last byte is at 2000_0040H, in the third line.
    let start = core::ptr::without_provenance(0x2000_0010);
    // SAFETY: nothing is accessed at the addresses.
    unsafe { coherence::release_range(&cache, start, 49) };
    let expected = [
        Executed::Dsb,
        store(DCCMVAC, 0x2000_0000),
        store(DCCMVAC, 0x2000_0020),
        store(DCCMVAC, 0x2000_0040),
        Executed::Dsb,
        Executed::Isb,
    ];
    assert_eq!(cache.take_executed(), expected);
    assert_eq!(cache.registers[DCCMVAC / 4].get(), 0x2000_0040);
}

/// Several ranges need one DSB at the end (4.8.7: operations complete in order).
#[test]
fn several_ranges_are_completed_by_one_fence() {
    let cache = CortexM7::new();
    for start in [0x2000_0000, 0x2000_0100] {
        // SAFETY: nothing is accessed at the addresses.
        unsafe { cache.issue_writeback(core::ptr::without_provenance(start), LINE) };
    }
    cache.complete();
    let expected = [
        Executed::Dsb,
        store(DCCMVAC, 0x2000_0000),
        Executed::Dsb,
        store(DCCMVAC, 0x2000_0100),
        Executed::Dsb,
        Executed::Isb,
    ];
    assert_eq!(cache.take_executed(), expected);
}

/// `DCIMVAC` discards: on a line that the range shares with other data it would lose their stores.
#[test]
fn an_acquire_discards_whole_lines_and_cleans_those_it_shares() {
    let cache = CortexM7::new();
    let start = core::ptr::without_provenance_mut(0x2000_0010);
    // SAFETY: nothing is accessed at the addresses.
    unsafe { coherence::acquire_range(&cache, start, 64) };
    let expected = [
        Executed::Dsb,
        store(DCCIMVAC, 0x2000_0000),
        store(DCIMVAC, 0x2000_0020),
        store(DCCIMVAC, 0x2000_0040),
        Executed::Dsb,
        Executed::Isb,
    ];
    assert_eq!(cache.take_executed(), expected);
}

/// A padded buffer has whole lines, so all of them can be discarded; through a trait object, as a driver
/// has it.
#[test]
fn a_padded_buffer_is_handed_over_and_taken_back_by_whole_lines() {
    let m7 = CortexM7::new();
    let cache: &dyn Maintain = &m7;
    let mut buffer: Padded<[u8; 40], 32> = Padded::new([0; 40], cache).unwrap();
    coherence::release_to_writer(cache, &mut buffer);
    coherence::acquire(cache, &mut buffer);

    let registers: Vec<_> = m7
        .take_executed()
        .into_iter()
        .filter_map(|executed| match executed {
            Executed::Store { register, value } => Some((register, value % 32)),
            Executed::Dsb | Executed::Isb => None,
        })
        .collect();
    let expected = [(DCCIMVAC, 0), (DCCIMVAC, 0), (DCIMVAC, 0), (DCIMVAC, 0)];
    assert_eq!(registers, expected, "40 bytes in two lines, which begin on multiples of 32");
}
