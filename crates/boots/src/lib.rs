//! Tells what has happened since a program last ran, and whether its memory is still in the same place.
//!
//! A program keeps a [`Stamp`] of its boot and process as a blob of its [`Store`](cachemaint_store::Store). When it
//! starts again, it compares the stamp with the present. The [`Verdict`] names the event in between, the evidence, and
//! the medium's promise to survive it.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cachemaint::dax;
//! use cachemaint_store::Store;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("state");
//! let options = dax::Options::new().allow_page_granularity();
//! let (mut store, _) = Store::open_or_create(options.open_or_create(&path, 1 << 20)?)?;
//! match cachemaint_boots::renew(&mut store, "started")? {
//!     None => println!("this is the first start"),
//!     Some(verdict) => println!("{}: {}", verdict.origin, verdict.evidence.join("; ")),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Bytes stored in a region
//! After a crash, a [`Region`](cachemaint_store::Region) has all bytes that were stored if the machine did not reboot.
//! Otherwise those that were not written back may be lost. To know which, keep a stamp for the region with [`put`] in
//! each use: at once if the region is not [dirty](cachemaint_store::Info::is_dirty), or else once it is recovered. At
//! the next start, every byte stored during the last use is there if
//!
//! - the stamp has a higher [commit](cachemaint_store::Info::commit) than the region's entry, and
//! - [`since`] returns a verdict of the [same boot](Verdict::is_same_boot).
//!
//! Only the program that uses the region may replace this stamp.
//!
//! # Physical addresses
//! A program that passes on physical addresses of a region gets them from [`placement`]. It keeps their [`digest`], and
//! asks [`is_in_place`] before anything relies on them again.
//!
//! # The format
//! [FORMAT.md](https://docs.rs/crate/cachemaint-boots/latest/source/FORMAT.md) specifies the 48
//! bytes of a stamp.
//!
//! # Limits
//! - A stamp is copied with its file. A copy, a snapshot of a virtual disk or a restored backup has the stamp of the
//!   original, and gets its verdict. The bytes of the copy may be older, or from different moments.
//! - A reset or a power loss before a kexec cannot be detected. If a boot loader that is itself a Linux kernel starts
//!   each boot with a kexec, renew the stamp there, too.
//! - Hibernation cannot be detected. Linux does not save DAX-mapped memory (`kernel/power/snapshot.c`, `saveable_page`).
//! - A container with a boot id of its own has no boot that is known, and neither has a system other than Linux.
//! - Linux shows physical addresses only to root. A digest that was made by root differs from one that was not.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod stamp;
mod verdict;

// Files can be mapped there.
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod host;
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod place;

#[cfg(any(target_os = "linux", target_os = "macos", windows))]
pub use host::{put, renew, since};
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
pub use place::{digest, is_in_place, placement};
pub use stamp::{STAMP, Stamp};
pub use verdict::{Origin, Verdict};
