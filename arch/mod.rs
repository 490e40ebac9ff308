//! The cache maintenance instructions of each architecture, their requirements, and the fences that complete them.
//!
//! A back end holds the instructions and facts about its architecture, but no policy: `src/cache` chooses the
//! instruction for an operation. It uses nothing outside this folder except `core`, so the folder compiles on its own.
//!
//! Every back end is one folder with
//! - `mod.rs`: its documentation and `ARCHITECTURE`, pure data that compiles on every target, so that its
//!   rules are checked on every target;
//! - `instruction.rs`: its instructions, as pure data too, by the names that users may give;
//! - `ops.rs`, on that architecture only: `maintain` executes the instruction of a code on each line, between its
//!   fences; `fence` executes a fence;
//! - `privileged.rs`, on that architecture only: instructions that only privileged code may execute;
//! - `blocks.rs`, on that architecture only: stores that fill blocks of memory;
//! - `registers.rs`, on that architecture only: the registers that `src/cpu` reads.
//!
//! `targets.rs` finds the architecture of the compiler's target, and decides that loom and Miri execute no
//! instructions. [`native`] has the files of that architecture, and stand-ins for those that it lacks.
//!
//! `device.rs` has the barrier that orders memory for devices, which every architecture has. `advice.rs` has the
//! remedies of refusals, by target. `counter.rs` has the timestamp counter.
//!
//! `README.md` in this folder has the table of architectures.

#![cfg_attr(
    any(cachemaint_loom, miri),
    expect(dead_code, reason = "the target's instructions are not executed")
)]

#[macro_use]
mod targets;

pub mod aarch64;
pub(crate) mod advice;
mod architecture;
pub mod arm;
mod blocks;
#[cfg(all(
    any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "linux")),
    not(any(miri, cachemaint_loom))
))]
#[expect(unsafe_code, reason = "a register is read in assembly")]
pub mod counter;
pub mod data_cache;
pub mod device;
mod facts;
mod fence;
mod lines;
pub mod loongarch64;
pub mod modelled;
pub mod native;
mod operation;
pub mod other;
mod point;
pub mod powerpc;
mod refused;
pub mod riscv;
pub mod s390x;
mod unsupported;
pub mod x86;

/// The loop over lines serves architectures with instructions.
macro_rules! line_loop {
    (modelled modelled) => {};
    ($folder:ident no_operation) => {};
    ($folder:ident $reader:ident) => {
        mod maintain;
    };
}
with_native!(line_loop);

#[cfg(test)]
pub use architecture::ALL;
pub use architecture::{Architecture, Sigbus};
pub use blocks::{BLOCK, BlockStore, StoreKind};
pub use data_cache::DataCache;
pub use facts::Facts;
pub use fence::{Fence, Fences};
pub use lines::{LineSize, for_each_line};
pub use native::{blocks as block_ops, instruction, ops};
pub use operation::{Effect, Instruction, WholeCacheOperation};
pub use point::Point;
pub use unsupported::{Missing, Unsupported};
