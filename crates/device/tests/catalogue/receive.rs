//! Bytes that a device has written, but the CPU does not read.

use crate::{ACQUIRE, RELEASE_TO_WRITER, Registers, compare};
use cachemaint::coherence::{self, Maintain};
use cachemaint_device::{Machine, Seed};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// A card's sectors arrive in lines that were fetched again meanwhile.
#[test]
fn a_buffer_that_is_invalidated_only_before_the_transfer() {
    compare(ACQUIRE, |seed, is_mended| {
        let card = Registers::default();
        let machine = Machine::new(32, seed);
        card.attach(&machine, |bus, to, sector| bus.write(to, &[sector; 64]));
        let buffer = machine.padded::<_, 32>([0_u8; 64]);
        for sector in 1..=3 {
            coherence::release_to_writer(&machine, buffer);
            card.run(&machine, buffer.as_mut_ptr());
            if is_mended {
                coherence::acquire(&machine, buffer);
            }
            assert_eq!(**buffer, [sector; 64]);
        }
    });
}

/// The program stores to a packet's buffer before it gives the buffer back.
#[test]
fn a_buffer_that_is_invalidated_only_after_the_transfer() {
    compare(RELEASE_TO_WRITER, |seed, is_mended| {
        let mac = Registers::default();
        let machine = Machine::new(32, seed);
        mac.attach(&machine, |bus, to, _| bus.write(to, &[7; 64]));
        let packet = machine.padded::<_, 32>([0_u8; 64]);
        for round in 1..=3 {
            packet.fill(round);
            if is_mended {
                coherence::release_to_writer(&machine, packet);
            }
            mac.run(&machine, packet.as_mut_ptr());
            coherence::acquire(&machine, packet);
            assert_eq!(**packet, [7; 64]);
        }
    });
}

/// A frame lies in buffers of a pool, which are not contiguous once the pool was used. The driver treats them as one
/// range.
#[test]
fn a_frame_in_scattered_buffers_that_is_invalidated_as_one_range() {
    const SLOTS: [usize; 3] = [0, 5, 2];
    compare(ACQUIRE, |seed, is_mended| {
        let mac = Registers::default();
        let machine = Machine::new(32, seed);
        mac.attach(&machine, |bus, pool, frame| {
            for slot in SLOTS {
                bus.write(pool + 32 * slot as u64, &[frame; 32]);
            }
        });
        let pool = machine.padded::<_, 32>([[0_u8; 32]; 8]);
        coherence::release_to_writer(&machine, pool);
        for frame in 1..=3 {
            mac.run(&machine, pool.as_mut_ptr());
            let ranges = if is_mended { SLOTS.map(|slot| (slot, 1)) } else { [(0, 3); 3] };
            for (slot, slots) in ranges {
                let start = pool.as_mut_ptr().wrapping_add(slot).cast();
                // SAFETY: the bytes are the pool's, and every bit pattern is a value.
                unsafe { coherence::acquire_range(&machine, start, 32 * slots) };
            }
            assert_eq!(SLOTS.map(|slot| pool[slot]), [[frame; 32]; 3]);
        }
    });
}

/// The slot is invalidated before its number is computed: always the first one.
#[test]
fn a_slot_that_is_invalidated_by_the_number_of_another() {
    compare(ACQUIRE, |seed, is_mended| {
        let other_core = Registers::default();
        let machine = Machine::new(32, seed);
        other_core.attach(&machine, |bus, ring, number| {
            bus.write(ring + 32 * u64::from(number - 1), &[7; 32]);
        });
        let ring = machine.padded::<_, 32>([[0_u8; 32]; 4]);
        coherence::release_to_writer(&machine, ring);
        for slot in 0..4 {
            other_core.run(&machine, ring.as_mut_ptr());
            let start = ring[if is_mended { slot } else { 0 }].as_mut_ptr();
            // SAFETY: the bytes are the ring's, and every bit pattern is a value.
            unsafe { coherence::acquire_range(&machine, start, 32) };
            assert_eq!(ring[slot], [7; 32]);
        }
    });
}

/// The ring is invalidated when a part is complete. Bytes that arrive later, by the device's position, are read too.
#[test]
fn a_ring_that_is_invalidated_before_the_position_is_read() {
    compare(ACQUIRE, |seed, is_mended| {
        let (uart, position) = (Registers::default(), AtomicUsize::new(0));
        let machine = Machine::new(32, seed);
        machine.attach(|bus| {
            let (ring, part) = (uart.job.load(SeqCst), position.load(SeqCst));
            if ring != 0 && part < 4 {
                bus.write(ring + 32 * part as u64, &[7; 32]);
                position.store(part + 1, SeqCst);
            }
        });
        let ring = machine.padded::<_, 32>([[0_u8; 32]; 4]);
        coherence::release_to_writer(&machine, ring);
        uart.start(ring.as_mut_ptr());
        for part in 0..4 {
            if !is_mended {
                coherence::acquire(&machine, ring);
            }
            machine.wait_until(|| position.load(SeqCst) > part);
            if is_mended {
                coherence::acquire(&machine, ring);
            }
            assert_eq!(ring[part], [7; 32]);
        }
    });
}

/// The receiver notes something in a message's header, and returns the buffer. The line is evicted over the next message.
#[test]
fn a_header_that_the_receiver_stores_to_and_does_not_write_back() {
    compare(RELEASE_TO_WRITER, |seed, is_mended| {
        let other_core = Registers::default();
        let machine = Machine::new(64, seed);
        other_core.attach(&machine, |bus, to, message| bus.write(to, &[message; 64]));
        let buffer = machine.padded::<_, 64>([0_u8; 64]);
        coherence::release_to_writer(&machine, buffer);
        for message in 1..=3 {
            other_core.run(&machine, buffer.as_mut_ptr());
            coherence::acquire(&machine, buffer);
            assert_eq!(**buffer, [message; 64]);
            buffer[8] = 0x80;
            if is_mended {
                coherence::release(&machine, buffer);
            }
        }
    });
}

/// An accelerator's results are read after an invalidation, with or without a fence on each side of it.
fn results(seed: Seed, [before, after]: [bool; 2]) {
    let npu = Registers::default();
    let machine = Machine::new(64, seed);
    npu.attach(&machine, |bus, to, _| bus.write(to, &[7; 128]));
    let buffer = machine.padded::<_, 64>([0_u8; 128]);
    coherence::release_to_writer(&machine, buffer);
    npu.run(&machine, buffer.as_mut_ptr());
    if before {
        machine.order_observed();
    }
    // SAFETY: (1), (3) the bytes are the buffer's; (2) without the completion that is the bug.
    unsafe { machine.issue_invalidate(buffer.as_mut_ptr(), 128) };
    if after {
        machine.complete();
    }
    assert_eq!(**buffer, [7; 128]);
}

#[test]
fn an_invalidation_without_fences() {
    compare(ACQUIRE, |seed, is_mended| results(seed, [is_mended; 2]));
}

#[test]
fn an_invalidation_without_a_fence_before_it() {
    compare("`order_observed` comes first", |seed, is_mended| results(seed, [is_mended, true]));
}
