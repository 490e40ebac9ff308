//! The steps of EL1.

use core::arch::asm;
use core::hint::black_box;

use cachemaint::Cache;
use cachemaint_lab_freestanding::{Buffer, Outcome, Step};

/// What the library may rely on at EL1, executed by the image itself: that it executes is the truth of this
/// machine, whatever the library makes of it.
pub(super) const STEPS: [Step; 2] =
    [Step { name: "dc ivac", run: dc_ivac }, Step { name: "dc cisw", run: dc_cisw }];

/// On a clean line it loses nothing; on a dirty one it may drop what was stored.
fn dc_ivac(cache: Cache) -> Outcome {
    let buffer = Buffer::filled(1);
    cache.writeback_invalidate(&buffer);
    let line = &raw const buffer;
    // SAFETY: EL1; the line is this buffer's alone and was written back.
    unsafe { asm!("dc ivac, {}", "dsb sy", in(reg) line, options(nostack, preserves_flags)) };
    buffer.assert_intact("dc ivac");
    Outcome::Passed
}

/// The first way of the first set of the first level.
fn dc_cisw(_cache: Cache) -> Outcome {
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    // SAFETY: EL1; it writes back what it drops.
    unsafe { asm!("dc cisw, {}", "dsb sy", in(reg) 0_u64, options(nostack, preserves_flags)) };
    buffer.assert_intact("dc cisw");
    Outcome::Passed
}
