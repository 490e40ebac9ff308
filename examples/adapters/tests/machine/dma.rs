//! A device that copies memory, below dma-api.

use crate::kernel;
use cachemaint_device::{Failure, Machine, Seed, explore, try_explore};
use core::alloc::Layout;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use dma_api::{
    DeviceDma, DmaAddr, DmaAllocHandle, DmaCoherency, DmaConstraints, DmaDeviceInfo, DmaDirection,
    DmaDomainId, DmaError, DmaMapHandle, DmaOp,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bytes of a buffer.
const LEN: usize = 100;
/// The number of bytes that the device copies; the rest stays.
const COPIED: usize = 70;

/// The words of a job: the source, the destination, its number, and the number of the last finished job.
const FROM: usize = 0;
const TO: usize = 1;
const NUMBER: usize = 2;
const FINISHED: usize = 3;

/// The register that starts the job at an address.
#[derive(Clone, Default)]
struct Engine(Arc<AtomicU64>);

impl Engine {
    fn attach(machine: &Machine<'static>) -> Self {
        let engine = Self::default();
        let behind = engine.clone();
        machine.attach(move |bus| {
            let job = behind.0.swap(0, Relaxed);
            if job == 0 {
                return;
            }
            let word = |number: usize| job + 8 * number as u64;
            let read = |number| u64::from_le_bytes(bus.load(word(number)));
            bus.write(read(TO), &bus.load::<COPIED>(read(FROM)));
            bus.write(word(FINISHED), &read(NUMBER).to_le_bytes());
        });
        engine
    }
}

/// Runs a scenario with a device that does not snoop, below these operations.
fn with<D: DmaOp>(operations: D, scenario: impl FnOnce(&DeviceDma)) {
    /// dma-api borrows the operations forever, but a run ends.
    struct Lent<D>(NonNull<D>);
    impl<D> Drop for Lent<D> {
        fn drop(&mut self) {
            // SAFETY: it was a box, and all that has borrowed it was dropped in the scenario.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
    let lent = Lent(NonNull::from(Box::leak(Box::new(operations))));
    // SAFETY: it lives as long as the scenario.
    let operations: &'static D = unsafe { lent.0.as_ref() };
    let reaches = DmaConstraints::new(u64::MAX);
    let info = DmaDeviceInfo::new(DmaDomainId::Direct, DmaCoherency::NonCoherent, reaches);
    scenario(&DeviceDma::new(info, operations));
}

/// Has buffers copied: one that shares lines, one of whole lines, and one of dma-api for both directions.
fn copies(dma: &DeviceDma, machine: &Machine<'static>) -> Result<(), DmaError> {
    let engine = Engine::attach(machine);
    let mut job = dma.coherent_array_zero::<u64>(4)?;
    let mut run = |from: DmaAddr, to: DmaAddr, number| {
        job.copy_from_slice_cpu(&[from.as_u64(), to.as_u64(), number]);
        engine.0.store(job.dma_addr().as_u64(), Relaxed);
        machine.wait_until(|| job.read_cpu(FINISHED) == Some(number));
    };
    let mut own = dma.contiguous_array_zero::<u8>(LEN, DmaDirection::Bidirectional)?;
    let source = machine.place([0; LEN]);
    let target = machine.place([0; LEN]);
    let whole = machine.padded::<_, 64>([0; 128]);
    for round in 1..4_u8 {
        source.fill(round);
        target.fill(0xaa);
        whole.fill(0xbb);
        let align = if round == 2 { 64 } else { 1 };
        let from = dma.map_streaming_slice_for_device(source, align, DmaDirection::ToDevice)?;
        for (number, target) in [(1, &mut target[..]), (2, &mut whole[..])] {
            let to = dma.map_streaming_slice_for_device(target, 1, DmaDirection::FromDevice)?;
            run(from.dma_addr(), to.dma_addr(), u64::from(round) * 3 + number);
            to.complete_for_cpu(0..to.bytes_len());
        }
        assert_eq!((&target[..COPIED], &target[COPIED..]), (&[round; COPIED][..], &[0xaa; 30][..]));
        assert_eq!((&whole[..COPIED], &whole[COPIED..]), (&[round; COPIED][..], &[0xbb; 58][..]));
        own.write_for_device(LEN, |bytes| bytes.fill(0xcc));
        run(from.dma_addr(), own.dma_addr(), u64::from(round) * 3 + 3);
        own.read_from_device(COPIED, |bytes| assert_eq!(bytes, [round; COPIED]));
    }
    Ok(())
}

#[test]
fn copies_need_each_operation_of_the_adapter() {
    let explored = explore(0..40, |seed| {
        kernel::run(seed, |machine| {
            with(kernel::machine(), |dma| copies(dma, machine).unwrap());
        });
    });
    // The page of the job; to a reader; to a writer; back.
    assert!(explored.needed.len() >= 4, "{explored}");
}

/// The operations of dma-api 0.10.2 on arm64, for a kernel that maps every buffer in place.
struct Published;

impl DmaOp for Published {
    fn page_size(&self) -> usize {
        4096
    }

    unsafe fn alloc_contiguous(&self, _: DmaConstraints, _: Layout) -> Option<DmaAllocHandle> {
        None
    }

    unsafe fn dealloc_contiguous(&self, _: DmaAllocHandle) {}

    unsafe fn alloc_coherent(&self, _: DmaConstraints, _: Layout) -> Option<DmaAllocHandle> {
        None
    }

    unsafe fn dealloc_coherent(&self, _: DmaAllocHandle) -> Result<(), DmaError> {
        Ok(())
    }

    unsafe fn map_streaming(
        &self,
        _: DmaConstraints,
        addr: NonNull<u8>,
        size: NonZeroUsize,
        _: DmaDirection,
    ) -> Result<DmaMapHandle, DmaError> {
        let device = addr.as_ptr().expose_provenance() as u64;
        let layout = Layout::from_size_align(size.get(), 1)?;
        // SAFETY: the buffer outlives the mapping, and is where the device writes.
        Ok(unsafe { DmaMapHandle::new(addr, device.into(), layout, None) })
    }

    unsafe fn unmap_streaming(&self, _: DmaMapHandle) {}

    /// `src/op/aarch64.rs:9` calls `dcache_range` of aarch64-cpu-ext 0.1.4, `src/cache.rs:52`: DC IVAC for each line that
    /// the range touches, and DSB SY.
    fn invalidate(&self, addr: NonNull<u8>, size: usize) {
        // SAFETY: it is not sound: the lines at the ends have bytes of others. The machine notices.
        unsafe { kernel::current().discard_range(addr.as_ptr(), size) };
    }
}

/// Maps a buffer that shares its lines, and unmaps it before the device has written anything.
fn cancel<D: DmaOp>(seed: impl Into<Seed>, operations: impl FnOnce() -> D) {
    kernel::run(seed.into(), |machine| {
        let buffer = machine.place([0_u8; LEN]);
        with(operations(), |dma| {
            drop(dma.map_streaming_slice_for_device(buffer, 1, DmaDirection::FromDevice).unwrap());
        });
        machine.step();
    });
}

#[test]
fn the_published_invalidation_on_arm64_discards_what_neighbours_have_stored() {
    let failure = try_explore(0..40, |seed| cancel(seed, || Published)).unwrap_err();
    let Failure::Wrong { message, .. } = &failure else { panic!("{failure}") };
    assert!(message.starts_with("bytes next to the 100 bytes"), "{failure}");
    for seed in 0..40 {
        cancel(seed, kernel::machine);
    }
}
