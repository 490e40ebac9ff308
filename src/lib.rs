//! CPU cache maintenance, and files that survive crashes, on x86, arm64, RISC-V and PowerPC.
//!
//! A store reaches a CPU cache, not memory. The [table below](#calls-that-make-data-durable) lists the calls that take
//! it further.
//!
//! | task | start with |
//! |---|---|
//! | write back or invalidate cache lines: DMA, CXL memory, kernels (feature `privileged`) | [`Cache`], [`coherence`] |
//! | persist data in a file: line by line on DAX, in whole pages elsewhere | `DaxFile` (feature `dax`) |
//! | write a crash-safe structure of your own | [`Medium`] |
//! | find out what this CPU offers | [`report`] |
//! | find out what this machine and a file promise, and why | the crate `cachemaint-inspect` |
//!
//! ```no_run
//! # #[cfg(feature = "dax")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cachemaint::dax;
//!
//! let options = dax::Options::new().allow_page_granularity();
//! let file = options.open_or_create("state", 1 << 20)?;
//! println!("{}", file.guarantee().reason);
//! file.write(0, b"paid 3 to Ada");
//! file.persist(0..13)?; // persisted, as `file.guarantee()` states
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "dax"))]
//! # fn main() {}
//! ```
//!
//! The other crates of the family are written against [`Medium`]: `cachemaint-journal` is a log that keeps every
//! acknowledged record, `cachemaint-recorder` keeps the last events of each thread, `cachemaint-store` keeps named
//! blobs across kexec and reboots, and `cachemaint-sim` crashes your own structure in every way that the medium allows.
//! `cachemaint-inspect` explains what survives and why.
//! `cachemaint-platforms` implements [`coherence`] for caches that are maintained through registers.
//!
//! # Calls that make data durable
//! ```text
//! store ──▶ CPU caches ──▶ memory controller ──▶ medium (NVDIMM, CXL memory, a file's drive)
//!                    persist              deep_persist
//! ```
//!
//! `cachemaint_inspect::survival` says which of these bytes survive a power cut or another event. `file` is a
//! `DaxFile`; a `Region` of a store has the same calls, except `persist_fill` and `persist_copy_within`. The
//! costs are those of a mapping that is persisted line by line. Where whole pages are persisted, each range costs a
//! system call that waits for the drive, and a fence is free.
//!
//! | call | durable when it returns | cost |
//! |---|---|---|
//! | a store, `file.write`, `file.store` | nothing | none |
//! | `file.persist` | the range, against the events that `cachemaint-inspect` names for the file. **When in doubt, use this** | one instruction a line, one fence |
//! | `file.persist_copy`, `persist_copy_to`, `persist_fill`, `persist_copy_within` | the stored bytes, likewise | the faster of streaming stores and stores with write-back; one or two fences for all parts |
//! | `file.issue_writeback`, then `file.fence` | nothing after the first call; the ranges issued, once the second has succeeded | as `persist`, with one fence for several ranges |
//! | `file.deep_persist` | the range, without relying on the platform's stored energy | as `persist`, and a system call that waits for the medium |
//! | [`Cache::writeback`], [`Cache::batch`], [`Cache::copy_writeback`] | nothing that this crate can promise: the bytes are at the handle's [`Point`] | one instruction a line, the fences of the CPU |
//! | [`Cache::writeback_range_unfenced`], then [`Cache::fence`] | the same after the fence, nothing before it | the same; the last fence is a call of its own |
//! | [`Medium::persist`] | the range, as far as the medium goes: `DaxFile` as above, [`Memory`](medium::Memory) to the point of its cache | that of the medium |
//! | [`coherence::release`] | **nothing**: a device that does not see the cache sees the bytes | one instruction a line, one fence |
//! | `Journal::append`, `append_within`, `append_group` | the record and all records before it | one write-back of the record, one fence, more for a long record; waits for earlier records |
//! | `recorder::Writer::record` | depends on its `Durability`: nothing, all but the newest sub-buffer, or the event | by default only stores: about ten nanoseconds |
//! | `Recorder::write_back_all` | all events that this opening recorded before the call | one instruction for each new line |
//! | `Transaction::commit` | all changes of the transaction, together | write-backs of the changes; one fence, two with a blob of more than 256 bytes or a new region; occasionally two more |
//! | `Store::seal` | all bytes in use, as by `deep_persist` | a write-back of these bytes |
//! | the command `cachemaint guard` | the stores that other programs made before a pass, once the pass ends | repeated passes over the files |
//!
//! [`Cache::host`] aims at the point of coherency: RAM. For persistence use [`Cache::persistent`], or a `DaxFile`,
//! which knows its medium. Each call makes a range durable; it does not order two ranges. Persist a record first, then
//! store and persist whatever publishes it.
//!
//! # Features
//! `std` and `dax` are on by default. Without them the crate is `no_std` and does not allocate.
//!
//! | feature | brings |
//! |---|---|
//! | `std` | waiting, forked processes |
//! | `dax` | files on Linux, macOS and Windows; nothing on other systems, or without 64-bit atomics |
//! | `alloc` | `Medium` for an `Arc` of a medium; `WriterLock::new`; `Padded::boxed`, `boxed_slice` |
//! | `serde` | reports as JSON and other formats |
//! | `privileged` | `Cache::privileged` and whole caches, for ring 0, EL1 and M-mode |
//! | `embedded-dma` | a [`Padded`](coherence::Padded) slice is a buffer for drivers written against `embedded-dma` 0.2 |

#![cfg_attr(docsrs, feature(doc_cfg), doc(auto_cfg(hide(cachemaint_loom))))]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

/// Prints errors by `{:?}` as by `{}`, so that a `main` that returns one, or an `unwrap`, shows the remedy.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_is_display {
    ($($error:ty),*) => {
        $(
            impl ::core::fmt::Debug for $error {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Display::fmt(self, f)
                }
            }
        )*
    };
}

pub mod aliasing;
#[macro_use]
#[path = "../arch/mod.rs"]
#[expect(unreachable_pub, reason = "the folder also compiles alone, where these are its interface")]
#[cfg_attr(
    not(all(
        feature = "dax",
        feature = "privileged",
        target_os = "linux",
        target_has_atomic = "64"
    )),
    expect(dead_code, reason = "the facts of every feature and system are in it")
)]
mod arch;
#[expect(unsafe_code, reason = "the contract of these operations defines the valid ranges")]
pub mod cache;
#[expect(unsafe_code, reason = "its contract is about ranges and implementations")]
pub mod coherence;
mod cpu;
#[cfg(target_has_atomic = "64")]
pub mod medium;
#[cfg(feature = "std")]
#[cfg_attr(
    all(unix, not(miri)),
    expect(unsafe_code, reason = "maps a page that forked children find cleared")
)]
mod process;
pub mod report;
#[cfg(all(test, cachemaint_loom))]
#[path = "dax/rounds.rs"]
mod rounds;
#[cfg(all(test, cachemaint_loom))]
#[path = "dax/slot.rs"]
mod slot;
mod statement;
#[cfg(feature = "std")]
mod system;
mod virtualization;

#[cfg(all(
    feature = "dax",
    any(target_os = "linux", target_os = "macos", windows),
    target_has_atomic = "64",
    not(cachemaint_loom)
))]
pub mod dax;

#[cfg(all(feature = "privileged", target_has_atomic = "ptr"))]
#[expect(unsafe_code, reason = "instructions that only privileged code may execute")]
pub mod whole_cache;

pub mod instruction;
pub mod prelude;

/// Items for the other crates of the family, not for users. They may change at any time.
#[doc(hidden)]
pub mod family {
    #[cfg(all(
        any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "linux")),
        not(any(miri, cachemaint_loom))
    ))]
    pub use crate::arch::counter;
    #[cfg(target_has_atomic = "64")]
    pub use crate::medium::words::{WORD, out_of_range};
    #[cfg(feature = "std")]
    pub use crate::process::Process;
    #[cfg(feature = "serde")]
    pub use crate::report::json::SCHEMA;
    pub use crate::report::screen::{GuestOf, row, row_at};
    #[cfg(all(feature = "std", target_has_atomic = "64"))]
    pub use crate::system::region;
    #[cfg(feature = "std")]
    pub use crate::system::{boot, calls, clock, tree};
    #[cfg(all(
        feature = "dax",
        target_os = "linux",
        target_has_atomic = "64",
        not(cachemaint_loom)
    ))]
    pub use crate::system::{limits, naming};

    /// Returns true if the CPU reports a guest.
    #[cfg(all(
        feature = "dax",
        target_os = "linux",
        target_has_atomic = "64",
        not(cachemaint_loom)
    ))]
    #[must_use]
    pub fn is_guest() -> bool {
        crate::cpu::is_guest()
    }

    /// The facts and the decision about a file.
    #[cfg(all(
        feature = "dax",
        any(target_os = "linux", target_os = "macos", windows),
        target_has_atomic = "64",
        not(cachemaint_loom)
    ))]
    pub mod file {
        pub use crate::dax::decide::{
            ADVICE_VIRTIO, IS_FAMFS, LEAVE_RAM, NEWER, USE_MEMORY, decide,
        };
        pub use crate::dax::options::{facts_of, guarantee_of, look};
        pub use crate::dax::reach::Reach;
        #[cfg(target_os = "linux")]
        pub use crate::dax::system::linux::{device, extents};
        pub use crate::dax::system::{DeviceDax, FileFacts, Unusable};
    }
}

pub use arch::{Point, Unsupported};
#[doc(inline)]
pub use cache::Cache;
#[cfg(all(target_has_atomic = "64", not(cachemaint_loom)))]
#[doc(inline)]
pub use cache::OnceCache;
#[cfg(all(
    feature = "dax",
    any(target_os = "linux", target_os = "macos", windows),
    target_has_atomic = "64",
    not(cachemaint_loom)
))]
#[doc(inline)]
pub use dax::DaxFile;
#[cfg(target_has_atomic = "64")]
#[doc(inline)]
pub use medium::Medium;
