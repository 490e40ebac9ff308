//! The back end of the compiler's target.
//!
//! A folder that lacks `ARCHITECTURE`, `instruction` or `ops` does not compile for its own target. Stand-ins take the
//! place of the other files.

macro_rules! operations {
    (modelled modelled) => {
        pub mod modelled;
        pub use super::modelled::{ARCHITECTURE, instruction};
        pub use modelled as ops;
    };
    ($folder:ident no_operation) => {
        pub mod no_operation;
        pub use super::$folder::ARCHITECTURE;
        pub use no_operation::{instruction, ops};
    };
    ($folder:ident $reader:ident) => {
        pub use super::$folder::{ARCHITECTURE, instruction, ops};
    };
}
with_native!(operations);

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

macro_rules! privileged {
    (x86 x86) => {
        #[expect(unsafe_code, reason = "the instruction is written in assembly")]
        #[path = "../x86/privileged.rs"]
        pub mod privileged;
    };
    ($folder:ident $reader:ident) => {
        #[expect(
            unsafe_code,
            reason = "the signatures are those of the back ends that have instructions"
        )]
        #[path = "no_privileged.rs"]
        pub mod privileged;
    };
}
with_native!(privileged);
