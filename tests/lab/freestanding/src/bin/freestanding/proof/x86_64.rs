//! The steps of ring 0.

use core::arch::asm;
use core::hint::black_box;

use cachemaint::Cache;
use cachemaint_lab_freestanding::{Buffer, Outcome, Step};
use raw_cpuid::{CpuId, CpuIdReaderNative, ProcessorCapacityAndFeatureInfo as Capacity};

/// What the library may rely on in ring 0, executed by the image itself: that it executes is the truth of
/// this machine, whatever the library makes of it.
pub(super) const STEPS: [Step; 2] =
    [Step { name: "wbinvd", run: wbinvd }, Step { name: "wbnoinvd", run: wbnoinvd }];

fn wbinvd(_cache: Cache) -> Outcome {
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    // SAFETY: ring 0; it writes all dirty lines back (Intel SDM vol. 2D, WBINVD).
    unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
    buffer.assert_intact("wbinvd");
    Outcome::Passed
}

/// A CPU that does not show it executes WBINVD in its place, as its prefix is ignored then: that would
/// prove nothing.
fn wbnoinvd(_cache: Cache) -> Outcome {
    let capacity =
        CpuId::with_cpuid_reader(CpuIdReaderNative).get_processor_capacity_feature_info();
    if !capacity.as_ref().is_some_and(Capacity::has_wbnoinvd) {
        return Outcome::Skipped("CPUID.80000008:EBX[9] is 0");
    }
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    // SAFETY: ring 0; it writes all dirty lines back (Intel SDM vol. 2D, WBNOINVD).
    unsafe { asm!("wbnoinvd", options(nostack, preserves_flags)) };
    buffer.assert_intact("wbnoinvd");
    Outcome::Passed
}
