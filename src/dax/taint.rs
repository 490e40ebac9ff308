//! The first event after which bytes of an open file may not be the stored ones, kept for as long as the file is open.
//!
//! # What a failed write-back leaves, on Linux
//! Pages that could not be written are clean all the same. `PG_dirty` is cleared before they are written
//! (`Documentation/filesystems/vfs.rst`, "The Address Space Object"; `mm/page-writeback.c`,
//! `folio_clear_dirty_for_io`), and no file system has to mark them dirty again. So the page cache shows the stored
//! bytes until it drops the page, and then the bytes of the medium, both without a further error.
//!
//! The error itself is kept in the inode (`lib/errseq.c`, set by `mapping_set_error`). It is reported once to each open
//! file, by the next of `fsync`, `fdatasync` and `msync` (`mm/filemap.c`, `file_check_and_advance_wb_err`; vfs.rst,
//! "Handling errors during writeback": after an error was reported, "subsequent requests on the same file descriptor
//! should return 0"). The error does not name its pages. It stands for the whole file, and covers bytes that another
//! process stored.
//!
//! So after [`ErrorKind::Writeback`](super::ErrorKind::Writeback) every page that was stored to since the last
//! write-back of the whole file without an error may be lost, not just the pages of the range. A second try that
//! succeeds proves nothing. `PostgreSQL` ends itself then and recovers from its log ("fsync failures", LWN 752063,
//! 2018). [`DaxFile::taint`](super::DaxFile::taint) keeps reporting the event.

use std::sync::OnceLock;

/// The event after which bytes of an open file may not be the stored ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Taint {
    /// A write-back by the operating system failed. On Linux every store since the last write-back of the whole file
    /// without an error may be lost, and later write-backs may succeed all the same.
    Writeback {
        /// The beginning of the range that was written back, in bytes of the mapping.
        at: u64,
        /// Its length in bytes.
        len: u64,
        /// The error.
        errno: i32,
    },
    /// Bad blocks were released, so that zeros replace the stored bytes; or clearing them failed half-way.
    Cleared {
        /// The beginning of the range that was cleared, in bytes of the mapping.
        at: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// A guarded access met missing bytes. For a moment every thread had zeros in their place, and bytes that were
    /// stored there meanwhile are lost.
    Fault {
        /// The beginning of the first page, in bytes of the mapping.
        at: u64,
        /// Its length in bytes.
        len: u64,
    },
}

impl core::fmt::Display for Taint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Writeback { at, len, .. } => {
                write!(f, "a write-back of {len} bytes at offset {at} failed")
            }
            Self::Cleared { at, len } => {
                write!(f, "bad blocks in {len} bytes at offset {at} were given up")
            }
            Self::Fault { at, len } => {
                write!(f, "an access to {len} bytes at offset {at} failed under a guard")
            }
        }
    }
}

/// The first event, if there was one.
#[derive(Debug, Default)]
pub(super) struct Tainted(OnceLock<Taint>);

impl Tainted {
    /// Records an event. The first one stays.
    pub(super) fn by(&self, taint: Taint) {
        self.0.get_or_init(|| taint);
    }

    pub(super) fn first(&self) -> Option<Taint> {
        self.0.get().copied()
    }
}
