//! Cache maintenance, the persistence guarantees of this machine, and files and logs that survive crashes.
//!
//! A store reaches a CPU cache, not memory. [A table](#calls-that-make-data-durable) lists the calls that take it farther.
//!
//! | task | start with |
//! |---|---|
//! | write back or invalidate lines: DMA, CXL, kernels (feature `privileged`) | [`Cache`], [`coherence`] |
//! | persist data in a file at the true granularity of its medium | `DaxFile` (feature `dax`) |
//! | write a structure of your own | [`Medium`] |
//! | ask what this machine promises | [`report`], [`survival`] |
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
//! file.persist(0..13)?; // survives what the guarantee names, from here on
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "dax"))]
//! # fn main() {}
//! ```
//!
//! Crates of the family are written against [`Medium`]: `cachemaint-journal` is a log that loses nothing acknowledged,
//! `cachemaint-recorder` keeps the last events of each thread, `cachemaint-store` keeps named blobs over kexec and
//! reboots, and `cachemaint-sim` crashes a structure of your own in every way that the medium allows.
//! `cachemaint-platforms` has caches that registers maintain, for [`coherence`].
//!
//! # Calls that make data durable
//! ```text
//! store ──▶ CPU caches ──▶ memory controller ──▶ medium (NVDIMM, CXL memory, a file's drive)
//!                    persist              deep_persist
//! ```
//!
//! An event takes the bytes that had not got far enough: [`survival`] has the table. `file` is a `DaxFile`. A `Region` of a
//! store has its calls too, except `persist_fill`, `persist_copy_within` and `batch`. Costs are those of a mapping that is
//! persisted by lines. By pages each range is a system call that waits for the drive, and a fence is free.
//!
//! | call | durable when it returns | cost |
//! |---|---|---|
//! | a store, `file.write`, `file.store` | nothing | none |
//! | `file.persist` | the range, for the events that the file's `Guarantee` names. **If in doubt, this one** | one instruction a line, one fence |
//! | `file.persist_copy`, `persist_copy_to`, `persist_fill`, `persist_copy_within` | the bytes that it stores, likewise | the faster of streaming stores and stores with write-back; one or two fences for all parts |
//! | `file.issue_writeback`, then `file.fence` | nothing after the first; after a success of the second as `persist` | as `persist` |
//! | `file.batch` | all of its ranges, likewise | one instruction a line, one fence for all ranges |
//! | `file.deep_persist` | the range, without the platform's stored energy | as `persist`, and a system call that waits for the medium |
//! | [`Cache::writeback`], [`Cache::batch`], [`Cache::copy_writeback`] | nothing that this crate could promise: the bytes are at the handle's [`Point`] | one instruction a line, the fences of the CPU |
//! | [`Cache::writeback_range_unfenced`], then [`Cache::fence`] | the same, and nothing before the fence | the same, with the last fence apart |
//! | [`Medium::persist`] | the range, as far as the medium goes: `DaxFile` as above, [`Memory`](medium::Memory) to the point of its cache | that of the medium |
//! | [`coherence::release`] | **nothing**: another observer of the memory sees the bytes | one instruction a line, one fence |
//! | `Journal::append`, `append_within`, `append_group` | the record and all before it | one write-back of the record, one fence, more for a long record; waits for records before it |
//! | `recorder::Writer::record` | as its `Durability` says: nothing, all but the newest sub-buffer, or the event | stores alone: some ten nanoseconds |
//! | `Recorder::write_back_all` | all events that this opening recorded before it | one instruction for each new line |
//! | `Transaction::commit` | all changes of the transaction, together | write-backs of the changes; one fence, two for a blob above 64 KiB or a new region; now and then two more |
//! | `Store::seal` | all bytes in use, as by `deep_persist` | a write-back of these bytes |
//! | the command `cachemaint guard` | the stores of other programs before a pass, when the pass ends | a pass over the files, again and again |
//!
//! [`Cache::host`] aims at the point of coherency: RAM. For persistence take [`Cache::persistent`], or a `DaxFile`, which
//! knows its medium. A range is durable, not the order of two: persist a record, then store and persist what publishes it.
//!
//! # Features
//! `std` and `dax` are on by default. Without them the crate is `no_std`, without allocation.
//!
//! | feature | brings |
//! |---|---|
//! | `std` | the report on the host, waiting |
//! | `dax` | files |
//! | `alloc` | an `Arc` of a medium is a medium; `WriterLock::new`; `Padded::boxed`, `boxed_slice` |
//! | `serde` | reports as JSON and other formats |
//! | `privileged` | `Cache::privileged`, discards and whole caches, for ring 0, EL1 and M-mode |
//! | `embedded-dma` | a [`Padded`](coherence::Padded) slice is a buffer for drivers that are written against that crate |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod aliasing;
#[path = "../arch/mod.rs"]
#[expect(unreachable_pub, reason = "the folder also compiles alone, where these are its interface")]
#[cfg_attr(
    not(any(feature = "std", test)),
    expect(dead_code, reason = "the report on the host has the facts about aliases")
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
pub mod survival;
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

/// The items that other crates of the family use, and no user does. Nothing here is promised to stay.
#[doc(hidden)]
pub mod family {
    #[cfg(all(
        any(target_arch = "x86_64", all(target_arch = "aarch64", target_os = "linux")),
        feature = "std",
        not(any(miri, cachemaint_loom))
    ))]
    pub use crate::arch::counter;
    #[cfg(target_has_atomic = "64")]
    pub use crate::medium::words::{WORD, out_of_range};
    #[cfg(feature = "std")]
    pub use crate::process::Process;
    #[cfg(all(
        feature = "dax",
        target_os = "linux",
        target_has_atomic = "64",
        not(cachemaint_loom)
    ))]
    pub use crate::system::{limits, naming};
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
