//! Lines that are shared with others, or discarded although others need them.

use crate::{LAYOUT, Registers, WRITTEN_BACK_FIRST, compare};
use cachemaint::coherence::{self, Padded};
use cachemaint_device::Machine;
use std::sync::atomic::Ordering::SeqCst;

/// A MAC goes round a ring, and the driver gives each descriptor back when it has read it. In the fix, the stride is a
/// line.
#[test]
fn descriptors_of_16_bytes_in_lines_of_32() {
    const OWN: u32 = 1 << 31;
    const DESCRIPTORS: usize = 4;
    compare(LAYOUT, |seed, is_mended| {
        let stride = if is_mended { 32 } else { 16_usize };
        let mac = Registers::default();
        let (mut next, mut frame) = (0, 0_u32);
        let machine = Machine::new(32, seed);
        machine.attach(|bus| {
            let ring = mac.job.load(SeqCst);
            let descriptor = ring + (next * stride) as u64;
            if ring == 0 || u32::from_le_bytes(bus.load(descriptor + 12)) & OWN == 0 {
                return;
            }
            (next, frame) = ((next + 1) % DESCRIPTORS, frame + 1);
            bus.write(descriptor + 4, &frame.to_le_bytes());
            bus.write(descriptor + 12, &[0; 4]);
        });
        let ring = machine.padded::<_, 32>([0_u32; 32]).as_mut_ptr();
        let word = |n: usize, word| ring.wrapping_byte_add(n * stride).wrapping_add(word);
        let give = |n| {
            // SAFETY: the descriptors lie in the machine's memory, and nobody refers to them.
            unsafe { word(n, 3).write_volatile(OWN) };
            // SAFETY: as above.
            unsafe { coherence::release_range_to_writer(&machine, word(n, 0).cast(), stride) };
        };
        let is_back = |n| {
            // SAFETY: as above.
            unsafe { coherence::acquire_range(&machine, word(n, 0).cast(), stride) };
            // SAFETY: as above.
            unsafe { word(n, 3).read_volatile() & OWN == 0 }
        };
        (0..DESCRIPTORS).for_each(give);
        mac.start(ring);
        for (frame, n) in (1..=12).zip((0..DESCRIPTORS).cycle()) {
            machine.wait_until(|| is_back(n));
            // SAFETY: as above.
            assert_eq!(unsafe { word(n, 1).read_volatile() }, frame);
            give(n);
        }
    });
}

/// The lines at both ends hold other variables. The fix pads the buffer.
#[test]
fn a_discard_of_a_buffer_that_shares_its_lines() {
    compare(WRITTEN_BACK_FIRST, |seed, is_mended| {
        let device = Registers::default();
        let machine = Machine::new(64, seed);
        device.attach(&machine, |bus, to, _| bus.write(to, &[7; 100]));
        let padded = |bytes| &mut **machine.padded::<[u8; 100], 64>(bytes);
        let buffer = if is_mended { padded([0; 100]) } else { machine.place([0; 100]) };
        let start = buffer.as_mut_ptr();
        // SAFETY: the bytes are the buffer's, and every bit pattern is a value.
        unsafe { coherence::release_range_to_writer(&machine, start, 100) };
        device.run(&machine, start);
        // SAFETY: as above; the bytes beside them are dropped too: the bug.
        unsafe { machine.discard_range(start, 100) };
        assert_eq!(*buffer, [7; 100]);
    });
}

/// The same interrupt handler ends transfers by DMA and copies by the CPU, and discards after both.
#[test]
fn a_discard_after_the_cpu_has_stored_the_data_itself() {
    compare(WRITTEN_BACK_FIRST, |seed, is_mended| {
        let host = Registers::default();
        let machine = Machine::new(32, seed);
        host.attach(&machine, |bus, to, _| bus.write(to, &[7; 64]));
        let block = machine.padded::<_, 32>([0_u8; 64]);
        for by_dma in [true, false] {
            if by_dma {
                coherence::release_to_writer(&machine, block);
                host.run(&machine, block.as_mut_ptr());
            } else {
                block.fill(8);
            }
            if by_dma || !is_mended {
                // SAFETY: nobody refers to the bytes. After a copy somebody needs them: the bug.
                unsafe { machine.discard_range(block.as_mut_ptr(), 64) };
            }
            assert_eq!(**block, [if by_dma { 7 } else { 8 }; 64]);
        }
    });
}

/// The interrupt handler invalidates one line more than the buffer has.
#[test]
fn a_discard_of_the_line_behind_the_buffer() {
    compare(WRITTEN_BACK_FIRST, |seed, is_mended| {
        let flash = Registers::default();
        let machine = Machine::new(32, seed);
        flash.attach(&machine, |bus, to, _| bus.write(to, &[7; 64]));
        let buffer = machine.padded::<_, 32>([0_u8; 64]);
        coherence::release_to_writer(&machine, buffer);
        flash.run(&machine, buffer.as_mut_ptr());
        let len = if is_mended { 64 } else { 96 };
        // SAFETY: the buffer's bytes may be dropped; those behind it are needed: the bug.
        unsafe { machine.discard_range(buffer.as_mut_ptr(), len) };
        assert_eq!(**buffer, [7; 64]);
    });
}

/// A transfer's buffer is an array on the stack, next to variables. The fix pads it.
#[test]
fn a_buffer_on_the_stack_beside_variables() {
    compare("pad the buffer or use a bounce buffer", |seed, is_mended| {
        let controller = Registers::default();
        let machine = Machine::new(64, seed);
        // SAFETY: (1) both buffers live longer than the device writes.
        unsafe { machine.allow_program_memory() };
        controller.attach(&machine, |bus, to, _| bus.write(to, &[7; 100]));
        let mut array = [0_u8; 100];
        let mut padded = Padded::<_, 64>::for_granule([0_u8; 100], 64);
        let (start, len): (*mut u8, _) =
            if is_mended { ((&raw mut padded).cast(), 128) } else { (array.as_mut_ptr(), 100) };
        // SAFETY: the bytes are the buffer's, and every bit pattern is a value.
        unsafe { coherence::release_range_to_writer(&machine, start, len) };
        controller.run(&machine, start);
        // SAFETY: as above.
        unsafe { coherence::acquire_range(&machine, start, len) };
        assert_eq!(if is_mended { *padded } else { array }, [7; 100]);
    });
}
