//! The back end of the compiler's target.
//!
//! Only this module chooses. Loom and Miri execute no instructions, so they get the modelled back end on every target.

cfg_if::cfg_if! {
    if #[cfg(any(cachemaint_loom, miri))] {
        pub mod modelled;
        pub use super::modelled::{ARCHITECTURE, instruction};
        pub use modelled as ops;
    } else if #[cfg(target_arch = "aarch64")] {
        pub use super::aarch64::{ARCHITECTURE, instruction, ops};
    } else if #[cfg(any(target_arch = "powerpc64", target_arch = "powerpc"))] {
        pub use super::powerpc::{ARCHITECTURE, instruction, ops};
    } else if #[cfg(any(target_arch = "riscv64", target_arch = "riscv32"))] {
        pub use super::riscv::{ARCHITECTURE, instruction, ops};
    } else if #[cfg(any(target_arch = "x86_64", target_arch = "x86"))] {
        pub use super::x86::{ARCHITECTURE, instruction, ops};
    } else {
        pub mod no_operation;
        pub use no_operation::{ARCHITECTURE, instruction, ops};
    }
}

cfg_if::cfg_if! {
    if #[cfg(all(target_arch = "x86_64", not(any(cachemaint_loom, miri))))] {
        pub use super::x86::blocks;
    } else if #[cfg(all(target_arch = "aarch64", not(any(target_os = "none", cachemaint_loom, miri))))] {
        // Kernels may forbid unaligned accesses; the compiler respects that, the loops do not.
        pub use super::aarch64::blocks;
    } else {
        #[expect(unsafe_code, reason = "writes to addresses")]
        pub mod word_blocks;
        pub use word_blocks as blocks;
    }
}

#[expect(unsafe_code, reason = "writes to addresses")]
pub mod word_store;

#[cfg(feature = "privileged")]
cfg_if::cfg_if! {
    if #[cfg(all(target_arch = "aarch64", not(any(cachemaint_loom, miri))))] {
        #[expect(unsafe_code, reason = "the instructions are written in assembly")]
        #[path = "../aarch64/privileged.rs"]
        pub mod privileged;
    } else if #[cfg(all(any(target_arch = "riscv64", target_arch = "riscv32"), not(any(cachemaint_loom, miri))))] {
        #[expect(unsafe_code, reason = "the instructions are written in assembly")]
        #[path = "../riscv/privileged.rs"]
        pub mod privileged;
    } else if #[cfg(all(any(target_arch = "x86_64", target_arch = "x86"), not(any(cachemaint_loom, miri))))] {
        #[expect(unsafe_code, reason = "the instructions are written in assembly")]
        #[path = "../x86/privileged.rs"]
        pub mod privileged;
    } else {
        #[expect(unsafe_code, reason = "the signatures are those of the back ends that have instructions")]
        #[path = "no_privileged.rs"]
        pub mod privileged;
    }
}
