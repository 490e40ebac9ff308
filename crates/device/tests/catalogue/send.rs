//! Bytes that the CPU has stored, but a device does not read.

use crate::{RELEASE, RELEASE_TO_WRITER, Registers, WRITTEN_BACK_FIRST, compare};
use cachemaint::coherence::{self, Maintain};
use cachemaint_device::Machine;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::SeqCst;

/// The data are written back; the blocks of the chain that point to them are not.
#[test]
fn a_chain_of_blocks_that_is_not_written_back() {
    compare(RELEASE, |seed, is_mended| {
        let dma = Registers::default();
        let machine = Machine::new(64, seed);
        dma.attach(&machine, |bus, mut block, _| {
            while block != 0 {
                let source = u64::from_le_bytes(bus.load(block));
                assert_eq!(bus.load(source), [7; 64], "the device sends other data");
                block = u64::from_le_bytes(bus.load(block + 8));
            }
        });
        let data = machine.padded::<_, 64>([7_u8; 64]);
        let blocks = machine.padded::<_, 64>([[0_u64; 2]; 2]);
        let source = data.as_mut_ptr().expose_provenance() as u64;
        blocks[1] = [source, 0];
        blocks[0] = [source, blocks[1].as_mut_ptr().expose_provenance() as u64];
        coherence::release(&machine, data);
        if is_mended {
            coherence::release(&machine, blocks);
        }
        dma.run(&machine, blocks.as_mut_ptr());
    });
}

/// The packet and the mark that it is valid leave the cache by one call, in any order.
#[test]
fn a_valid_mark_that_is_stored_before_the_packet_is_written_back() {
    compare(RELEASE, |seed, is_mended| {
        let device = Registers::default();
        let machine = Machine::new(64, seed);
        machine.attach(|bus| {
            let slot = device.job.load(SeqCst);
            if slot != 0 && bus.load(slot) != [0] {
                assert_eq!(bus.load(slot + 64), [7; 64], "the device reads another packet");
                device.job.store(0, SeqCst);
                device.is_done.store(true, SeqCst);
            }
        });
        let slot = machine.padded::<_, 64>([[0_u8; 64]; 2]);
        coherence::release(&machine, slot);
        device.start(slot.as_mut_ptr());
        slot[1] = [7; 64];
        if is_mended {
            coherence::release(&machine, &slot[1]);
        }
        slot[0][0] = 1;
        coherence::release(&machine, slot);
        machine.wait_until(|| device.is_done.load(SeqCst));
    });
}

/// A guest starts with its caches off, like another core, and reads what the invalidation has dropped.
#[test]
fn an_image_that_is_discarded_where_it_should_be_written_back() {
    compare(WRITTEN_BACK_FIRST, |seed, is_mended| {
        let guest = Registers::default();
        let machine = Machine::new(64, seed);
        guest.attach(&machine, |bus, image, _| {
            assert_eq!(bus.load(image), [7; 128], "the guest runs other code");
        });
        let image = machine.padded::<_, 64>([7_u8; 128]);
        if is_mended {
            coherence::release_to_writer(&machine, image);
        } else {
            // SAFETY: nobody refers to the bytes, although somebody needs them: the bug.
            unsafe { machine.discard_range(image.as_mut_ptr(), 128) };
        }
        guest.run(&machine, image.as_mut_ptr());
    });
}

/// The stores that zeroed the memory are still in the cache, and are written over those of the new mapping.
#[test]
fn memory_that_is_mapped_uncached_while_its_lines_are_dirty() {
    compare(RELEASE_TO_WRITER, |seed, is_mended| {
        let gpu = Registers::default();
        let machine = Machine::new(64, seed);
        gpu.attach(&machine, |bus, from, _| {
            assert_eq!(bus.load(from), [7; 128], "the device reads other commands");
        });
        let commands = machine.padded::<_, 64>([0_u8; 128]);
        machine.set_cacheable(NonNull::from(&mut **commands).cast(), 128, false);
        if is_mended {
            coherence::release_to_writer(&machine, commands);
        }
        commands.fill(7);
        gpu.run(&machine, commands.as_mut_ptr());
    });
}

/// Steps of a line from an unaligned start do not reach the object's last line. The fix starts at the line's start.
#[test]
fn a_write_back_in_steps_of_a_line_from_an_unaligned_start() {
    compare(RELEASE, |seed, is_mended| {
        let display = Registers::default();
        let machine = Machine::new(64, seed);
        display.attach(&machine, |bus, from, _| {
            assert_eq!(bus.load(from), [7; 64], "the device reads other bytes");
        });
        let object = machine.place([7_u8; 64]).as_mut_ptr();
        let before = if is_mended { object.addr() % 64 } else { 0 };
        let first = object.wrapping_byte_sub(before);
        for step in (0..64 + before).step_by(64) {
            // SAFETY: (1) the line holds a byte of the object; (2) it is completed below.
            unsafe { machine.issue_writeback(first.wrapping_byte_add(step), 1) };
        }
        machine.complete();
        display.run(&machine, object);
    });
}

/// The write-back of an image is issued, but nothing waits for it before another core fetches the image.
#[test]
fn a_write_back_that_is_not_completed() {
    compare(RELEASE, |seed, is_mended| {
        let other_core = Registers::default();
        let machine = Machine::new(64, seed);
        other_core.attach(&machine, |bus, image, _| {
            assert_eq!(bus.load(image), [7; 128], "the other core runs other code");
        });
        let image = machine.padded::<_, 64>([7_u8; 128]);
        // SAFETY: (1) the bytes are the image's; (2) without the completion that is the bug.
        unsafe { machine.issue_writeback(image.as_ptr(), 128) };
        if is_mended {
            machine.complete();
        }
        other_core.run(&machine, image.as_mut_ptr());
    });
}
