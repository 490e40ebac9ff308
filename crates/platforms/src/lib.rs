//! Maintenance of data caches through registers, CP15, or a vendor's instructions or functions, for sharing memory with
//! devices.
//!
//! Each type implements [`Maintain`](cachemaint::coherence::Maintain). Drivers are written against that trait, and the
//! board chooses one of these:
//!
//! | platform | item | run on |
//! |---|---|---|
//! | Cortex-M7, M55 and M85 | [`CortexM`] | an emulated MPS2 with a Cortex-M7 |
//! | Cortex-A and Cortex-R with Armv7, or Armv8 in `AArch32`, at PL1 | [`Armv7`] | an emulated Zynq-7000 with a Cortex-A9 |
//! | an L2C-310 (PL310) behind these: Cortex-A5, A9 | [`Pl310`] | the same |
//! | T-Head C906, C910 and C920, in M- or S-mode | [`XTheadCmo`] | an emulated C906 |
//! | a SiFive CCACHE: StarFive JH7100 | [`SifiveCcache`] | never run; written from Linux and the sources of the cache |
//! | CVA6 with a write-back cache, and other cores that flush the whole cache | [`WholeCache`] | never run; written from the sources of the core |
//! | the XIP cache of an RP2350, before its boot ROM drops it | [`WholeCache::writeback_only`] | never run; written from the datasheet |
//! | functions of a ROM, a HAL or an RTOS: ESP32-P4, Zephyr | [`Functions`] | never run |
//!
//! The first three exist only for the target architecture `arm`, the next two only for `riscv64`. An emulator has no
//! caches: it only shows that the registers and instructions exist. Tests check their order against the manuals and
//! against a model of two levels of cache.
//!
//! # Limits
//! No operation discards: `acquire` cleans a line before it drops it. Instruction caches are not maintained. Memory
//! without a cache between the CPU and it needs only [`Coherent`](cachemaint::coherence::Coherent): what the MPU or MMU
//! maps non-cacheable, and tightly coupled memory. A core without a data cache does not suffice: STM32H5 has a
//! write-back cache outside its Cortex-M33 (DCACHE), before the external memories.
//!
//! - **Cortex-A5 and A9 with several cores.** Set `ACTLR.SMP` and `ACTLR.FW` on each CPU. Otherwise maintenance stays in
//!   the caches of one CPU.
//! - **RP2350.** The flash functions of its boot ROM drop dirty PSRAM lines from the XIP cache. Before you call them, write
//!   the whole cache back with [`WholeCache::writeback_only`]. A clean by set and way writes lines to wrong addresses
//!   unless it uses the last 16 KiB of the maintenance window (RP2350-E11). Its CPUs have no data cache, so do not use
//!   [`CortexM`].
//! - **T-Head cores without an MMU** (E906, E907) ignore `th.dcache.cva` and `th.dcache.civa`, without an exception.
//! - **The SiFive CCACHE** ignores addresses that it does not serve. On a StarFive JH7100 it is the only way to write lines
//!   back.
//!
//! Each type says if an interrupt handler may use it. A range needs a mapping that is valid and cacheable while an
//! operation is on it.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![allow(unsafe_code, reason = "it implements a trait that is a promise, by registers")]

#[cfg(test)]
extern crate std;

#[cfg(any(target_arch = "arm", doc, test))]
mod armv7;
#[cfg(any(target_arch = "arm", doc, test))]
mod cortex_m;
mod functions;
#[cfg(any(target_arch = "arm", target_arch = "riscv64", doc, test))]
mod hardware;
#[cfg(any(target_arch = "arm", doc, test))]
mod pl310;
#[cfg(any(target_arch = "riscv64", doc, test))]
mod sifive_ccache;
#[cfg(test)]
mod two_levels;
#[cfg(any(target_arch = "riscv64", doc, test))]
mod xtheadcmo;

#[cfg(any(target_arch = "arm", doc, test))]
pub use armv7::Armv7;
#[cfg(any(target_arch = "arm", doc, test))]
pub use cortex_m::CortexM;
pub use functions::{Functions, Refused, WholeCache};
#[cfg(any(target_arch = "arm", doc, test))]
pub use pl310::Pl310;
#[cfg(any(target_arch = "riscv64", doc, test))]
pub use sifive_ccache::SifiveCcache;
#[cfg(any(target_arch = "riscv64", doc, test))]
pub use xtheadcmo::XTheadCmo;

/// Calls `operate` with the address of each line that a range touches.
#[cfg(any(target_arch = "arm", target_arch = "riscv64", doc, test))]
#[inline]
fn each_line(line: usize, start: *const u8, len: usize, operate: impl FnMut(usize)) {
    let Some(last) = len.checked_sub(1) else { return };
    // The caller vouches that the range does not wrap; the number after the last line may.
    let (first, last) = (start.addr() / line, (start.addr() + last) / line);
    (first..=last).map(|number| number * line).for_each(operate);
}
