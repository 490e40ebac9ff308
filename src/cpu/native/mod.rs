//! The reader for the compiler's target.
//!
//! Only this module chooses. Loom and Miri execute no instructions, so they get the modelled CPU on every target.

use super::block_stores::BlockStores;

cfg_if::cfg_if! {
    if #[cfg(any(cachemaint_loom, miri))] {
        mod modelled;
        use modelled as host;
    } else if #[cfg(target_arch = "aarch64")] {
        use super::aarch64::host;
    } else if #[cfg(any(target_arch = "powerpc64", target_arch = "powerpc"))] {
        use super::powerpc::host;
    } else if #[cfg(any(target_arch = "riscv64", target_arch = "riscv32"))] {
        use super::riscv::host;
    } else if #[cfg(any(target_arch = "x86_64", target_arch = "x86"))] {
        use super::x86::host;
    } else {
        mod no_operation;
        use no_operation as host;
    }
}

pub(crate) use host::here;
#[cfg(feature = "privileged")]
pub(crate) use host::here_privileged;

cfg_if::cfg_if! {
    if #[cfg(all(any(target_arch = "x86_64", target_arch = "x86"), not(any(cachemaint_loom, miri))))] {
        pub(crate) use host::here_for_choice;
        #[cfg(all(feature = "dax", target_os = "linux"))]
        pub(crate) use host::is_guest;
    } else {
        pub(crate) use host::here as here_for_choice;

        /// Returns false: no register at this privilege level reveals a hypervisor.
        #[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(cachemaint_loom)))]
        pub(crate) const fn is_guest() -> bool {
            false
        }
    }
}

cfg_if::cfg_if! {
    if #[cfg(not(feature = "privileged"))] {
    } else if #[cfg(all(any(target_arch = "x86_64", target_arch = "x86"), not(any(cachemaint_loom, miri))))] {
        pub(crate) use host::number;
    } else {
        /// Returns 0. The number is not needed where no operation reaches the caches of all CPUs.
        pub(crate) const fn number() -> u32 {
            0
        }
    }
}

cfg_if::cfg_if! {
    if #[cfg(all(target_arch = "x86_64", not(any(cachemaint_loom, miri))))] {
        /// Returns the block stores of the CPU that this program runs on.
        pub(crate) fn block_stores() -> BlockStores {
            super::block_stores::x86_64::here()
        }
    } else {
        /// Returns the block stores of the CPU that this program runs on: all that the architecture has.
        pub(crate) fn block_stores() -> BlockStores {
            let all = crate::arch::block_ops::BLOCK_STORES.iter();
            let present = all.fold(0, |codes, store| codes | store.code);
            BlockStores { present, evicts: false, keeps_lines: false }
        }
    }
}
