//! Errors that the machine detects, their messages, and correct drivers that it lets pass.

use crate::{ACQUIRE, LAYOUT, RELEASE, RELEASE_TO_WRITER, Registers};
use cachemaint::coherence::{self, Coherent, Maintain, Padded};
use cachemaint_device::{Bus, Failure, Machine, Seed, explore, try_explore};
use std::alloc::Layout;
use std::ptr::without_provenance;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

const SEEDS: std::ops::Range<u64> = 0..100;

type Work = fn(&Bus<'_>, u64);

/// Runs a driver of a device that does `work` at the address of each job.
fn run(seed: Seed, work: Work, driver: impl FnOnce(&Machine<'_>, &Registers)) {
    let machine = Machine::new(64, seed);
    let registers = Registers::default();
    // SAFETY: (1) the boxes of the drivers live longer than the device writes.
    unsafe { machine.allow_program_memory() };
    registers.attach(&machine, move |bus, at, _| work(bus, at));
    driver(&machine, &registers);
}

fn fill(bus: &Bus<'_>, at: u64) {
    bus.write(at, &[9; 64]);
}

fn check(bus: &Bus<'_>, at: u64) {
    assert_eq!(bus.load(at), [7; 2]);
}

/// Returns the message of the failure that a scenario must have.
#[track_caller]
fn failure(scenario: impl Fn(Seed)) -> String {
    let failure = try_explore(SEEDS, scenario).expect_err("the error is not noticed");
    assert!(matches!(failure, Failure::Wrong { .. }), "{failure}");
    failure.to_string()
}

#[track_caller]
fn contains_all(message: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn both_calls_around_a_transfer_are_needed_and_suffice() {
    for is_boxed in [false, true] {
        let receive = |machine: &Machine<'_>, registers: &Registers| {
            let mut boxed: Box<Padded<[u8; 64], 64>> = Padded::boxed(machine).expect("64 bytes");
            let buffer = if is_boxed { &mut *boxed } else { machine.padded([0; 64]) };
            for round in 1..3 {
                buffer.fill(round);
                coherence::release_to_writer(machine, buffer);
                registers.run(machine, buffer.as_mut_ptr());
                coherence::acquire(machine, buffer);
                assert_eq!(**buffer, [9; 64]);
            }
        };
        let explored = explore(SEEDS, |seed| run(seed, fill, receive)).to_string();
        contains_all(&explored, &["(release_to_writer)", "(acquire)"]);
    }
}

/// The device can write both lines after the flag's line was dropped, and before the flag is read.
#[test]
fn data_behind_a_polled_flag_are_not_taken_without_order_observed() {
    let work = |bus: &Bus<'_>, to| {
        bus.write(to + 64, &[9; 64]);
        bus.write(to, &[1]);
    };
    let poll = |is_ordered: bool| {
        move |machine: &Machine<'_>, registers: &Registers| {
            let both = machine.padded::<_, 64>([0_u8; 128]);
            coherence::release_to_writer(machine, both);
            let start = both.as_mut_ptr();
            registers.start(start);
            machine.wait_until(|| {
                // SAFETY: the bytes are the buffer's, and every bit pattern is a value.
                unsafe { coherence::acquire_range(machine, start, 1) };
                // SAFETY: as above.
                (unsafe { start.read_volatile() }) == 1
            });
            if is_ordered {
                machine.order_observed();
            }
            // SAFETY: as above; it is completed below.
            unsafe { machine.issue_invalidate(start.wrapping_add(64), 64) };
            machine.complete();
            assert_eq!(both[64..], [9; 64]);
        }
    };
    let message = failure(|seed| run(seed, work, poll(false)));
    contains_all(&message, &["=> `order_observed` after the load of the flag"]);
    assert!(!message.contains(ACQUIRE), "{message}");
    explore(SEEDS, |seed| run(seed, work, poll(true)));
}

/// The line can be written back between the issue and the store that follows it.
#[test]
fn a_store_behind_the_issue_of_a_write_back_is_not_written_back_by_it() {
    let send = |machine: &Machine<'_>, registers: &Registers| {
        let bytes = machine.padded::<_, 64>([7_u8, 0]);
        // SAFETY: (1) the bytes are the buffer's; (2) it is completed below.
        unsafe { machine.issue_writeback(bytes.as_ptr(), 2) };
        bytes[1] = 7;
        machine.complete();
        registers.run(machine, bytes.as_mut_ptr());
    };
    failure(|seed| run(seed, check, send));
}

#[test]
fn an_operation_on_memory_that_is_not_the_buffers_fails() {
    type Maker<'a> = &'a dyn Fn(&Machine<'_>) -> (*const u8, usize);
    let message = |range: Maker<'_>| {
        failure(|seed| {
            let machine = Machine::with_cpus(2, 64, seed);
            let (start, len) = range(&machine);
            // SAFETY: it is not sound: the error. The machine reads nothing there.
            unsafe { coherence::release_range(&machine, start, len) };
        })
    };
    let buffer = |machine: &Machine<'_>| machine.padded::<_, 64>([7_u8; 64]).as_mut_ptr();
    let freed = message(&|machine| {
        let freed = machine.alloc(Layout::new::<[u8; 256]>());
        machine.dealloc(freed);
        (freed.as_ptr(), 256)
    });
    let named = "is on bytes 0..256 of the 256 bytes placed at ";
    contains_all(&freed, &["the write-back (release) in ", named, ": the driver has freed it"]);
    for len in [65, 1 << 20, usize::MAX] {
        let long = message(&|machine| (buffer(machine), len));
        contains_all(&long, &["of the 64 bytes placed at ", "bytes beyond the buffer"]);
    }
    let foreign = message(&|machine| (machine.cpu(1).view(buffer(machine)), 64));
    contains_all(&foreign, &["CPU 1 sees it there"]);
    if cfg!(target_os = "linux") {
        let unmapped = message(&|_| (without_provenance(64), 64));
        contains_all(&unmapped, &["nothing is mapped at 0x40"]);
    }
}

#[test]
fn a_device_that_accesses_bytes_past_the_length_fails() {
    let write: Work = |bus, at| bus.write(at, &[9; 20]);
    let read: Work = |bus, at| bus.read(at, &mut [0; 20]);
    for kind in 0..4 {
        let driver = |machine: &Machine<'_>, registers: &Registers| {
            let mut boxed: Box<Padded<[u8; 18], 64>> = Padded::boxed(machine).expect("64 bytes");
            coherence::release_to_writer(machine, &mut *boxed);
            registers.run(
                machine,
                match kind {
                    0 => machine.place([1_u8; 18]).as_mut_ptr(),
                    1 => machine.padded::<_, 64>([1_u8; 18]).as_mut_ptr(),
                    2 => machine.padded_slice::<u8, 64>(18).as_mut_ptr(),
                    _ => boxed.as_mut_ptr(),
                },
            );
        };
        let origin = if kind == 3 { "of the program handed over by the " } else { "placed at " };
        let named = format!("20 bytes, 0..20 of the 18 bytes {origin}");
        for (work, verb) in [(write, "writes"), (read, "reads")] {
            let message = failure(|seed| run(seed, work, driver));
            contains_all(&message, &[verb, &named, "that is 2 bytes beyond the buffer"]);
        }
    }
}

#[test]
fn calls_of_another_cache_did_not_reach_the_machine() {
    for is_one_of_two in [false, true] {
        let send = |machine: &Machine<'_>, registers: &Registers| {
            let sent = machine.padded::<_, 64>([7_u8; 2]);
            let other = machine.padded::<_, 64>([0_u8; 2]);
            if is_one_of_two {
                coherence::release(machine, other);
            }
            coherence::release(&Coherent, sent);
            registers.run(machine, sent.as_mut_ptr());
        };
        let message = failure(|seed| run(seed, check, send));
        contains_all(&message, &[RELEASE, "this call did not reach the machine"]);
    }
}

#[test]
fn a_store_before_the_acquire_is_advised_to_come_after_it() {
    let receive = |is_late: bool| {
        move |machine: &Machine<'_>, registers: &Registers| {
            let buffer = machine.padded::<_, 64>([1_u8; 64]);
            coherence::release_to_writer(machine, buffer);
            registers.run(machine, buffer.as_mut_ptr());
            if is_late {
                coherence::acquire(machine, buffer);
            }
            buffer[0] = 7; // marks the frame as seen
            if !is_late {
                coherence::acquire(machine, buffer);
            }
            assert!(buffer[0] == 7 && buffer[1..] == [9; 63]);
        }
    };
    let message = failure(|seed| run(seed, fill, receive(false)));
    contains_all(&message, &["=> `acquire` before the first store", "Tried: all seeds pass"]);
    explore(SEEDS, |seed| run(seed, fill, receive(true)));
}

/// A call that the driver makes, or that would not help, is not advised.
#[test]
fn stores_while_the_device_writes_are_advised_to_move_if_they_are_other_data() {
    let fill_half: Work = |bus, to| bus.write(to, &[9; 32]);
    for (is_flag, work) in [(true, fill_half), (false, fill)] {
        let receive = |machine: &Machine<'_>, registers: &Registers| {
            let buffer = machine.padded::<_, 64>([1_u8; 64]);
            coherence::release_to_writer(machine, buffer);
            registers.start(buffer.as_mut_ptr());
            buffer[if is_flag { 63..64 } else { 0..64 }].fill(7);
            machine.wait_until(|| registers.is_done.load(SeqCst));
            coherence::acquire(machine, buffer);
            assert!(buffer[..32] == [9; 32]);
        };
        let message = failure(|seed| run(seed, work, receive));
        assert!(message.contains("written by the other side"), "{message}");
        assert_eq!(
            message.contains(LAYOUT) && message.contains("was not tried"),
            is_flag,
            "{message}"
        );
        assert_eq!(message.matches("=>").count(), usize::from(is_flag), "{message}");
    }
}

/// Each of the two by itself fails when it is tried.
#[test]
fn two_missing_calls_are_both_advised() {
    let receive = |machine: &Machine<'_>, registers: &Registers| {
        let buffer = machine.padded::<_, 64>([1_u8; 64]);
        registers.run(machine, buffer.as_mut_ptr());
        assert_eq!(**buffer, [9; 64]);
    };
    contains_all(&failure(|seed| run(seed, fill, receive)), &[RELEASE_TO_WRITER, ACQUIRE]);
}

#[test]
fn a_store_while_the_device_reads_has_a_story() {
    let send = |machine: &Machine<'_>, registers: &Registers| {
        let sent = machine.padded::<_, 64>([7_u8; 2]);
        coherence::release(machine, sent);
        registers.start(sent.as_mut_ptr());
        sent.fill(8);
        machine.wait_until(|| registers.is_done.load(SeqCst));
    };
    let message = failure(|seed| run(seed, check, send));
    contains_all(&message, &["NEW bytes, which no call has released"]);
    assert!(!message.contains("=>"), "{message}");
}

/// One hand-over suffices for two rounds, since the driver stores nothing between them.
#[test]
fn an_operation_that_is_not_needed_is_named_with_what_would_need_it() {
    let rounds = |machine: &Machine<'_>, registers: &Registers| {
        let buffer = machine.padded::<_, 64>([1_u8; 64]);
        coherence::release_to_writer(machine, buffer);
        registers.run(machine, buffer.as_mut_ptr());
        coherence::release_to_writer(machine, buffer);
        registers.run(machine, buffer.as_mut_ptr());
        coherence::acquire(machine, buffer);
        assert_eq!(**buffer, [9; 64]);
    };
    let failure =
        try_explore(SEEDS, |seed| run(seed, fill, rounds)).expect_err("one is not needed");
    let Failure::Unneeded { operations } = failure else { panic!("{failure}") };
    let [first, second, ..] = &operations[..] else { panic!("{operations:?}") };
    contains_all(first, &["(release_to_writer) in ", "store to it before"]);
    // Calls are told apart by their lines, or by numbers if the program has none.
    assert!(
        second.contains("number 2 of 2 such calls") || second.contains("model.rs:"),
        "{second}"
    );
    assert_ne!(first, second);
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
    let message = failure(|seed| {
        run(seed, fill, |machine, registers| {
            let _stopping = Stopping(machine, &registers.is_done);
            assert!(registers.job.load(SeqCst) > 0, "the first panic");
        });
    });
    contains_all(&message, &["the first panic"]);
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
