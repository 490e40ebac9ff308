//! Errors that the machine detects, and correct drivers that it lets pass.

#![cfg(not(miri))]
#![expect(unsafe_code, reason = "a driver maintains a range")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

use cachemaint::coherence::{self, Padded};
use cachemaint_device::{Bus, Failure, Machine, Seed, explore, try_explore};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

const SEEDS: std::ops::Range<u64> = 0..200;

/// Lets a device write `bytes` to an address, at a time of the device's choice, and waits for it.
fn device_writes(machine: &Machine<'_>, start: *mut u8, go: &AtomicU64, done: &AtomicBool) {
    go.store(start.expose_provenance() as u64, SeqCst);
    machine.wait_until(|| done.swap(false, SeqCst));
}

/// A device that fills 100 bytes with 7 where the doorbell says.
fn filler<'a>(go: &'a AtomicU64, done: &'a AtomicBool) -> impl FnMut(&Bus<'_>) + Send + 'a {
    move |bus| {
        let address = go.swap(0, SeqCst);
        if address != 0 {
            bus.write(address, &[7; 100]);
            done.store(true, SeqCst);
        }
    }
}

/// Receives into a buffer of the machine, or of the program.
fn receive(seed: Seed, is_boxed: bool, [before, after]: [bool; 2]) {
    let (go, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let machine = Machine::new(64, seed);
    machine.attach(filler(&go, &done));
    // SAFETY: (1) the box lives longer than the device writes.
    unsafe { machine.allow_program_memory() };
    let mut boxed: Box<Padded<[u8; 100], 64>> = Padded::boxed(&machine).unwrap();
    let buffer = if is_boxed { &mut *boxed } else { machine.padded([0; 100]) };
    for round in 1..3 {
        buffer.fill(round);
        if before {
            coherence::release_to_writer(&machine, buffer);
        }
        device_writes(&machine, buffer.as_mut_ptr(), &go, &done);
        if after {
            coherence::acquire(&machine, buffer);
        }
        assert_eq!(**buffer, [7; 100]);
    }
}

#[test]
fn both_calls_around_a_transfer_are_needed_and_suffice() {
    for is_boxed in [false, true] {
        let explored = explore(SEEDS, |seed| receive(seed, is_boxed, [true, true]));
        for operation in ["(release_to_writer)", "(acquire)"] {
            assert!(explored.to_string().contains(operation), "{explored}");
        }
    }
}

/// The message of a failure.
fn failure(scenario: impl Fn(Seed)) -> String {
    let failure = try_explore(SEEDS, scenario).expect_err("the error is not noticed");
    assert!(matches!(failure, Failure::Wrong { .. }), "{failure}");
    failure.to_string()
}

#[test]
fn the_story_names_the_missing_call() {
    let story = failure(|seed| receive(seed, false, [true, false]));
    assert!(story.contains("=> `acquire` after the other side has finished"), "{story}");
    let story = failure(|seed| receive(seed, false, [false, true]));
    assert!(story.contains("=> `release_to_writer` before the other side writes"), "{story}");
}

/// The device writes the next line between the fence and the invalidation of `acquire`.
#[test]
fn an_acquire_drops_the_lines_that_were_written_before_it_while_the_device_writes_on() {
    explore(SEEDS, |seed| {
        let (go, lines) = (AtomicU64::new(0), AtomicU64::new(0));
        let machine = Machine::new(64, seed);
        machine.attach(|bus| {
            let (start, line) = (go.load(SeqCst), lines.load(SeqCst));
            if start != 0 && line < 4 {
                bus.write(start + 64 * line, &[7; 64]);
                lines.store(line + 1, SeqCst);
            }
        });
        let buffer = machine.padded::<_, 64>([[0_u8; 64]; 4]);
        coherence::release_to_writer(&machine, buffer);
        go.store(buffer.as_mut_ptr().expose_provenance() as u64, SeqCst);
        for line in 0..4 {
            machine.wait_until(|| lines.load(SeqCst) > line as u64);
            coherence::acquire(&machine, buffer);
            assert_eq!(buffer[line], [7; 64]);
        }
    });
}

#[test]
fn the_story_of_a_mapping_that_left_dirty_lines_names_no_acquire() {
    let story = failure(|seed| {
        let machine = Machine::new(64, seed);
        let buffer = machine.padded::<_, 64>([0_u8; 128]);
        machine.set_cacheable(std::ptr::NonNull::from(&mut **buffer).cast(), 128, false);
        buffer.fill(7);
        machine.step();
        machine.step();
        assert_eq!(**buffer, [7; 128]);
    });
    assert!(story.contains("=> `release_to_writer`"), "{story}");
    assert!(!story.contains("=> `acquire`"), "{story}");
}

#[test]
fn the_story_names_a_line_beside_the_buffer() {
    let story = failure(|seed| {
        let machine = Machine::new(64, seed);
        let buffer = machine.padded::<_, 64>([0_u8; 64]);
        coherence::release_to_writer(&machine, buffer);
        // SAFETY: the buffer's bytes may be dropped; those behind it are needed: the error.
        unsafe { machine.discard_range(buffer.as_mut_ptr(), 65) };
    });
    assert!(story.contains("The line next to the 64 bytes placed at"), "{story}");
}

/// A driver that resets its device when it is dropped. Without that operation, the run would end by a panic within a
/// panic.
#[test]
fn a_driver_that_stops_its_device_when_it_is_dropped_is_explored() {
    struct Stopping<'a, 'd>(&'a Machine<'d>, &'a AtomicBool);
    impl Drop for Stopping<'_, '_> {
        fn drop(&mut self) {
            let reset = self.0.padded::<_, 64>([1_u8]);
            coherence::release(self.0, &**reset);
            self.0.wait_until(|| self.1.load(SeqCst));
        }
    }
    let (go, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let failure = try_explore(0..20, |seed| {
        let machine = Machine::new(64, seed);
        machine.attach(filler(&go, &done));
        let _stopping = Stopping(&machine, &done);
        assert!(go.load(SeqCst) > 0, "the first panic");
    });
    assert!(failure.expect_err("it fails").to_string().contains("the first panic"));
}

/// Without the acquire the driver calls the machine for ever, while the device writes a heartbeat.
#[test]
fn a_wait_beside_a_heartbeat_ends() {
    let explored = explore(0..50, |seed| {
        let machine = Machine::new(64, seed);
        let heartbeat = machine.padded::<_, 64>([0_u8]);
        let status = machine.padded::<_, 64>([0xff_u8]);
        let (beats, done) = (heartbeat.as_ptr() as u64, status.as_ptr() as u64);
        let mut beat = 0;
        machine.attach(move |bus| {
            beat += 1_u8;
            bus.write(beats, &[beat]);
            if beat == 9 {
                bus.write(done, &[9]);
            }
            beat %= 0xf0;
        });
        status[0] = 0;
        coherence::release_to_writer(&machine, status);
        while status[0] == 0 {
            coherence::acquire(&machine, status);
        }
        assert_eq!(status[0], 9);
    });
    assert!(explored.to_string().contains("(acquire)"), "{explored}");
}
