//! Mapped files on DAX and other file systems, with the guarantee and the granularity of their medium.
//!
//! On a DAX file system over persistent memory a mapped store reaches the medium without the page cache, and under
//! Linux writing cache lines back makes it persistent (`MAP_SYNC`). Everywhere else the operating system must write
//! whole pages back (`msync`, or the system's equivalent). A [`DaxFile`] determines which of the two applies and says
//! why ([`Guarantee`]). A file that cannot be persisted line by line is refused unless
//! [`Options::allow_page_granularity`] was called.
//!
//! ```
//! use cachemaint::dax::Options;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("records");
//! let file = Options::new().allow_page_granularity().open_or_create(&path, 1 << 20)?;
//! println!("{}: {}", file.granularity(), file.guarantee().reason);
//!
//! file.write(64, b"eight by eight");
//! file.persist(64..78)?; // durable at return, as far as the guarantee goes
//! # Ok(())
//! # }
//! ```
//!
//! New files are filled with zeros on the medium before they durably get their name, existing ones are synced with
//! their names before they are mapped, and a file is locked while it is open. The guide's chapter *Files* goes through
//! the calls, errors and refusals; *Platforms and limits* lists file systems, kernels and other systems.
//!
//! # Limits
//! - After the first failed write-back every call returns that [failure](DaxView#failures) until the file is reopened.
//! - A file that shrinks while it is mapped, a page with a media error, and a store to a hole for which there is no space
//!   raise SIGBUS (on Windows an in-page error) at the next access, which ends the process. A store behind the new end,
//!   in the same page, raises no signal and is lost. On Linux:
//!
//!   | task | use | cost |
//!   |---|---|---|
//!   | find bad blocks before they are accessed | `bad_blocks` of `cachemaint-inspect` | some files of `/sys`, and a FIEMAP that syncs the file |
//!   | read bytes that may be bad | `PreadFile`, or [`Readable::pread`](crate::medium::Readable::pread) of an open file | a system call for each read |
//!   | fail the file instead of the process | `FaultHandler` | a SIGBUS handler for the whole process |
//! - A file with shared extents, holes or unwritten extents is not persisted line by line: each first store would commit
//!   the file system's journal (Linux `fs/dax.c`, `dax_finish_sync_fault`).
//! - A forked child cannot use the file, and must open it itself. Private mappings are not offered.
//! - Device DAX has no page granularity. The lock is taken on the device's node, not on its memory.
//! - The persistence domain is the claim of firmware ([`Domain`](crate::medium::Domain)), which cannot be verified. A
//!   drive that does not promise whole sectors can lose any sector of the page that it was writing; [`Guarantee`] does
//!   not know about that.
//!
//! # Pages of the page cache, on Linux
//! A write-back of 64 bytes writes a block or two in a file that this crate made or grew, even where the page cache of
//! ext4 (from Linux 6.16) and xfs has folios of up to 2 MiB, each of which a store dirties as a whole: the pages of a
//! mapping are faulted in one by one, and [reads](DaxView::read) in order ask for what is ahead. Large folios that another
//! program made stay until the cache drops them: [`Options::drop_cached_pages`]. A `Persister` leaves the pages of the
//! program's mapping as they are. btrfs writes its metadata with each sync.

mod bounds;
mod dax_file;
pub(crate) mod decide;
mod error;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "handles a signal, and maps zeros over mappings")]
mod faults;
mod guarantee;
mod latch;
#[expect(unsafe_code, reason = "accesses mapped bytes by address")]
mod mapping;
#[cfg(target_os = "linux")]
mod meaning;
mod open_file;
mod opening;
pub(crate) mod options;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "persists addresses of mappings that the caller has made")]
mod persister;
#[cfg(target_os = "linux")]
mod pread;
pub(crate) mod reach;
mod read_order;
mod rounds;
#[cfg(target_os = "linux")]
mod slot;
pub(crate) mod system;
mod view;

pub use dax_file::DaxFile;
pub use error::{Error, ErrorKind};
#[cfg(target_os = "linux")]
pub use faults::FaultHandler;
pub use guarantee::Guarantee;
pub use open_file::Lock;
pub use options::{Options, probe};
#[cfg(target_os = "linux")]
pub use persister::Persister;
#[cfg(target_os = "linux")]
pub use pread::PreadFile;
pub use view::DaxView;

use crate::cache::Cache;

/// The method to make a range persistent.
#[derive(Clone, Copy, Debug)]
enum Writeback {
    /// The caches are in the persistence domain: only the fence is needed.
    Fence(Cache),
    /// Line by line, then the fence.
    Lines(Cache),
    /// By the operating system, in whole pages.
    Pages,
    /// Not at all: the operating system is not known to write pages back for a view.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send_sync<T: Send + Sync>() {}

    #[test]
    fn threads_can_share_all_types() {
        is_send_sync::<(DaxFile, DaxView, Options, Error, ErrorKind, Guarantee, Lock)>();
        #[cfg(target_os = "linux")]
        is_send_sync::<(FaultHandler, Persister, PreadFile)>();
    }

    #[test]
    fn its_error_can_be_boxed() {
        fn is_error<E: core::error::Error + Send + Sync + 'static>() {}
        is_error::<Error>();
    }
}
