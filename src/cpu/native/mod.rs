//! The reader for the compiler's target.
//!
//! A reader has `host::here` and, for privileged code, `host::here_privileged`. What else is asked, only x86 answers.

use super::block_stores::BlockStores;

macro_rules! host {
    (modelled modelled) => {
        mod modelled;
        use modelled as host;
        host! { @without_registers }
    };
    ($folder:ident no_operation) => {
        mod no_operation;
        use no_operation as host;
        host! { @without_registers }
    };
    (x86 x86) => {
        use super::x86::host;
        pub(crate) use host::here_for_choice;
        #[cfg(all(feature = "dax", target_os = "linux"))]
        pub(crate) use host::is_guest;
    };
    (@without_registers) => {
        pub(crate) use host::here as here_for_choice;

        /// Returns false: no register at this privilege level reveals a hypervisor.
        #[cfg(all(
            feature = "dax",
            target_os = "linux",
            target_has_atomic = "64",
            not(cachemaint_loom)
        ))]
        pub(crate) const fn is_guest() -> bool {
            false
        }
    };
    ($folder:ident $reader:ident) => {
        use super::$reader::host;
        host! { @without_registers }
    };
}
with_native!(host);

pub(crate) use host::here;
#[cfg(feature = "privileged")]
pub(crate) use host::here_privileged;

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
            BlockStores { present, evicts: false }
        }
    }
}
