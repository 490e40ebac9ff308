//! The two classic errors, and the order that avoids both: a CPU hands a buffer to a device, which
//! writes it, and reads it when it has come back.

use crate::model::{Interference, Issued, Machine};

const CPU: usize = 0;
/// The buffer: one line of two words.
const BUFFER: std::ops::Range<usize> = 0..2;
const OLD: u32 = 1;
const NEW: u32 = 2;

/// The steps of the CPU besides its accesses.
#[derive(Clone, Copy)]
struct Driver {
    release_to_writer_before: bool,
    acquire_after: bool,
}

/// Runs the exchange with an interference before one of its steps. Returns the value that the CPU
/// reads in the end.
fn exchange(driver: Driver, at: usize, interference: Interference) -> u32 {
    let mut machine = Machine::new(BUFFER.end, [2, 2]);
    let invalidate = |machine: &mut Machine| {
        machine.issue(CPU, BUFFER, Issued::Invalidate { discard: false });
        machine.fence(CPU);
    };
    for step in 0..4 {
        if step == at {
            machine.interfere(interference);
        }
        match step {
            0 => machine.store(CPU, BUFFER.start, OLD),
            1 if driver.release_to_writer_before => invalidate(&mut machine),
            2 => machine.memory()[BUFFER].fill(NEW),
            3 if driver.acquire_after => invalidate(&mut machine),
            _ => {}
        }
    }
    machine.load(CPU, BUFFER.start)
}

/// Returns true if the CPU reads the device's bytes at every interference of its cache.
fn is_right(driver: Driver) -> bool {
    let line = (CPU, BUFFER.start);
    [
        Interference::Evict { cpu: line.0, word: line.1 },
        Interference::Fetch { cpu: line.0, word: line.1 },
    ]
    .into_iter()
    .all(|interference| (0..4).all(|at| exchange(driver, at, interference) == NEW))
}

#[test]
fn invalidated_before_and_after_the_cpu_reads_what_the_device_wrote() {
    assert!(is_right(Driver { release_to_writer_before: true, acquire_after: true }));
}

#[test]
fn a_line_that_was_dirty_at_the_hand_over_is_written_over_the_devices_data() {
    assert!(!is_right(Driver { release_to_writer_before: false, acquire_after: true }));
}

#[test]
fn a_line_that_was_fetched_by_speculation_hides_the_devices_data() {
    assert!(!is_right(Driver { release_to_writer_before: true, acquire_after: false }));
}
