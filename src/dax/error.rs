//! What can go wrong with a file, and what to do about it.

use super::Guarantee;
use super::device_fault::DeviceFault;
use super::media::NotCleared;
use super::system::files;
use crate::arch::Unsupported;
use crate::system::calls::System;
use crate::system::tree::{Unknown, printable};
use alloc::boxed::Box;
use core::ops::Range;
use std::io;
use std::path::{Path, PathBuf};

/// An operation on a DAX file that failed: which file, what happened, what to do.
///
/// An operation that fails leaves the file as it was, unless the kind says otherwise. A file that could
/// not be created whole gets no name.
///
/// `{:?}` prints what `{}` does, so that a `main` which returns it tells the user what to do.
pub struct Error {
    path: PathBuf,
    kind: ErrorKind,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file, or no such directory to create it in.
    Missing,
    /// The directory to create it in does not exist.
    NoDirectory,
    /// The file system has no unnamed files, by which a directory is tried.
    NoUnnamedFiles,
    /// A part of the path before the last is no directory.
    NotADirectory,
    /// There is something at the path already.
    Exists,
    /// The last component of the path is a symbolic link.
    SymbolicLink,
    /// It is a directory.
    Directory,
    /// It is neither a regular file nor a directory.
    NotRegular,
    /// The file has no bytes.
    Empty,
    /// A length of zero was asked for.
    ZeroLength,
    /// This user may not do it.
    NoPermission,
    /// The file system is mounted read-only.
    ReadOnlyFileSystem,
    /// The file system has no room for so many bytes.
    NoSpace {
        /// Bytes asked for.
        len: u64,
    },
    /// Another open file holds the lock, in this process or in another.
    Locked,
    /// The file is shorter than what is to be mapped.
    Shorter {
        /// Bytes the file has.
        size: u64,
        /// Bytes it would need: offset plus length.
        needed: u64,
    },
    /// Offset plus length is more than a file can have.
    Overflow {
        /// The offset asked for, in bytes.
        offset: u64,
        /// The length asked for, in bytes.
        len: u64,
    },
    /// The offset is no multiple of the page size, or of what the file's kind asks for: huge pages, or
    /// the alignment of a device.
    Misaligned {
        /// The offset asked for, in bytes.
        offset: u64,
        /// What it must be a multiple of, in bytes.
        alignment: u64,
    },
    /// It is a device of device DAX, which cannot be used so.
    Device(Box<DeviceFault>),
    /// The region's attribute that flushes the medium's own buffers is missing, cannot be read, or
    /// could not be written. Whether they were flushed is not known.
    DeepFlush {
        /// The attribute's path.
        attribute: Box<str>,
        /// What happened.
        answer: Box<str>,
    },
    /// A part of the file has no blocks of its own that are written, so a store could still need the
    /// file system: a hole, an extent that was allocated and never written, or one that is shared
    /// with another file.
    NotAllocated {
        /// Where it begins, in bytes.
        at: u64,
        /// What is there.
        what: &'static str,
    },
    /// The end of the file has no written blocks, as a growth leaves it that was cut off or is under way. An opening
    /// for writing under the exclusive lock finishes it, on Linux 5.14 and later.
    Unfinished {
        /// Where the end begins, in bytes of the file.
        at: u64,
    },
    /// The file can be made persistent in whole pages only, and the caller did not allow that.
    PageGranular(Box<Guarantee>),
    /// The file can be made persistent in cache lines or whole pages only, and the caller asked for single
    /// bytes.
    NotByteGranular(Box<Guarantee>),
    /// On this CPU no load of 8 bytes from memory that is mapped for reading only is one that Rust promises
    /// (`core::sync::atomic`, "Atomic accesses to read-only memory").
    NoReadOnlyWords,
    /// This system is not known to write back pages for a file that was opened for reading.
    ViewNotPersisted,
    /// The system has no call that makes every page of a mapping accessible.
    CannotPopulate,
    /// A page of the mapping could not be made accessible; an access to it would end the process.
    Unpopulated {
        /// Where the page begins, in bytes of the mapping.
        at: u64,
        /// The error of `madvise`.
        errno: i32,
    },
    /// The file would be larger than the file system, or the limit of this process, allows.
    TooLarge {
        /// Bytes the file would have.
        len: u64,
    },
    /// Growing to less than what is mapped was asked for.
    NoGrowth {
        /// Bytes that are mapped.
        mapped: u64,
        /// Bytes asked for.
        asked: u64,
    },
    /// Shrinking to more than what is mapped was asked for.
    NoShrinking {
        /// Bytes that are mapped.
        mapped: u64,
        /// Bytes asked for.
        asked: u64,
    },
    /// The file goes on behind its mapping, where shrinking would cut off what is there.
    Longer {
        /// Bytes the file has.
        size: u64,
        /// Where the mapping ends in the file, in bytes.
        end: u64,
    },
    /// The length of the file is not for one to change that shares its lock.
    SharedLock,
    /// This CPU cannot write back to the point of persistence.
    Unsupported(Unsupported),
    /// A write-back by the operating system failed. What was stored in the range since the last
    /// successful one may be lost, also if it is tried again.
    Writeback {
        /// Where the range begins, in bytes of the mapping.
        at: u64,
        /// Its length in bytes.
        len: u64,
        /// The error of `msync`, or of the system's calls for it.
        errno: i32,
    },
    /// A read by the operating system failed.
    Read {
        /// Where the range begins, in bytes of the mapping.
        at: u64,
        /// Its length in bytes.
        len: u64,
        /// The error of `pread`.
        errno: i32,
    },
    /// The medium has lost bytes, and they cannot be read: the first stretch of the range that was asked
    /// for. What is before it was read. On persistent memory Linux refuses the whole page of a bad sector.
    Poisoned {
        /// Where the stretch begins, in bytes of the mapping.
        at: u64,
        /// Its length in bytes; a read follows it no further than 512 KiB, and no further than it was
        /// asked to read.
        len: u64,
    },
    /// Which bytes are bad cannot be found out, and why.
    BadBlocksUnknown(Box<Unknown>),
    /// Ranges of the file cannot be leased.
    NoLeases {
        /// The error of `fcntl`; `None` if this system has no such locks.
        errno: Option<i32>,
    },
    /// Where the bytes of the file lie cannot be found out, and why.
    PlacementUnknown(Box<Unknown>),
    /// Bad blocks were not cleared, or not all of them.
    NotCleared(Box<NotCleared>),
    /// So many files are open in this process that it may open no more, or keeps what is left for directories.
    TooManyFiles {
        /// How many it may have open (`RLIMIT_NOFILE`).
        most: u64,
    },
    /// So many guarded accesses are under way in this process already.
    TooManyGuards {
        /// How many there can be at a time.
        most: usize,
    },
    /// The data cache of this machine aliases, or may, so that calls and the mapping can disagree.
    ViewsDisagree,
    /// Another call of the operating system failed.
    Os {
        /// The call.
        call: &'static str,
        /// Its error.
        errno: i32,
    },
}

impl Error {
    pub(super) fn new(path: &Path, kind: ErrorKind) -> Self {
        Self { path: path.to_path_buf(), kind }
    }

    /// An error of a call of the operating system.
    pub(super) fn os(path: &Path, call: &'static str, error: &io::Error) -> Self {
        Self::new(path, ErrorKind::Os { call, errno: files::number(error) })
    }

    /// The meaning of an error of opening the file itself.
    pub(super) fn opening(path: &Path, error: &io::Error) -> Self {
        match files::meaning(error) {
            Some(kind) => Self::new(path, kind),
            None => Self::os(path, "open", error),
        }
    }

    /// A write-back of a range of the mapping by the operating system that failed.
    pub(super) fn writeback(path: &Path, range: &Range<u64>, error: &io::Error) -> Self {
        let (at, len) = (range.start, range.end - range.start);
        Self::new(path, ErrorKind::Writeback { at, len, errno: files::number(error) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error number of the operating system, if a call of it failed.
    #[must_use]
    pub const fn raw_os_error(&self) -> Option<i32> {
        match &self.kind {
            ErrorKind::Writeback { errno, .. }
            | ErrorKind::Read { errno, .. }
            | ErrorKind::Unpopulated { errno, .. }
            | ErrorKind::Os { errno, .. } => Some(*errno),
            ErrorKind::NoLeases { errno } => *errno,
            ErrorKind::NotCleared(how_far) => how_far.errno,
            _ => None,
        }
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // A name can hold what a terminal would execute.
        write!(f, "{}: {}", printable(&self.path.to_string_lossy()), self.kind)
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::fmt::Display for ErrorKind {
    #[expect(clippy::too_many_lines, reason = "a list of texts, one for each kind")]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file or directory; create it first"),
            Self::NoDirectory => f.write_str("its directory does not exist; create that first"),
            Self::NoUnnamedFiles => {
                f.write_str("this file system has no unnamed files to try with; name a file in it")
            }
            Self::NotADirectory => {
                f.write_str("a part of the path is no directory; correct the path")
            }
            Self::Exists => f.write_str(
                "exists already; open it instead of creating it, or choose another name",
            ),
            Self::SymbolicLink => {
                f.write_str("is a symbolic link, which is not followed; name its target")
            }
            Self::Directory => f.write_str("is a directory; name a file in it"),
            Self::NotRegular => f.write_str("is no regular file; name one"),
            Self::Empty => f.write_str("has no bytes to map; remove it, and create it with a length"),
            Self::ZeroLength => {
                f.write_str("a length of 0 bytes was asked for; ask for at least 1")
            }
            Self::NoPermission => f.write_str(
                "permission denied; let its owner grant it (on Unix new files have mode 0600)",
            ),
            Self::ReadOnlyFileSystem => {
                f.write_str("its file system is mounted read-only; remount it for writing")
            }
            Self::NoSpace { len } => {
                write!(f, "no space for {len} bytes; free some, or ask for less")
            }
            Self::Locked => f.write_str(
                "is locked by another user of it; wait until that one has closed it (one process \
                 writes a file)",
            ),
            Self::Shorter { size, needed } => write!(
                f,
                "has {size} bytes, and offset and length need {needed}; ask for less, or create a \
                 larger file"
            ),
            Self::Overflow { offset, len } => {
                write!(f, "offset {offset} and length {len} exceed the largest file; ask for less")
            }
            Self::Misaligned { offset, alignment } => {
                write!(f, "offset {offset} is no multiple of {alignment}; round it down")
            }
            Self::Device(fault) => fault.fmt(f),
            Self::DeepFlush { attribute, answer } => write!(
                f,
                "was persisted, and the medium's own buffers were not flushed: {attribute}: {answer}; do \
                 it as root, or do without: the persistence domain then rests on stored energy"
            ),
            Self::NotAllocated { at, what } => write!(
                f,
                "has {what} at offset {at}, so a store there would need the file system; copy the \
                 file with its bytes written out (cp --sparse=never --reflink=never)"
            ),
            Self::Unfinished { at } => write!(
                f,
                "is not written from offset {at} to its end, as a growth leaves it that was cut off or is under \
                 way; open it once for writing under the exclusive lock, which finishes it on Linux 5.14 and later, or \
                 copy it (cp --sparse=never)"
            ),
            Self::PageGranular(guarantee) => {
                write!(
                    f,
                    "can be made persistent in whole pages only: {}; {}, or allow page granularity",
                    guarantee.reason(),
                    guarantee.advice().unwrap_or("use a file on DAX"),
                )
            }
            Self::NotByteGranular(guarantee) => write!(
                f,
                "is made persistent by the {}, not by the byte: {}; use persistent memory whose domain \
                 has the CPU caches in it (eADR), or ask for less",
                guarantee.granularity(),
                guarantee.reason(),
            ),
            Self::NoReadOnlyWords => f.write_str(
                "cannot be mapped for reading only on a 32-bit CPU, which may need the right to write to \
                 load 8 bytes at once; open it for reading and writing",
            ),
            Self::ViewNotPersisted => f.write_str(
                "is open for reading only, and this system is not known to write back what others have \
                 stored; open it for reading and writing",
            ),
            Self::CannotPopulate => f.write_str(
                "cannot be populated: this needs Linux 5.14 or later; leave it out, and pages come with \
                 their first access",
            ),
            Self::Unpopulated { at, errno } => write!(
                f,
                "the page at offset {at} of the mapping cannot be accessed: {}; if it is a bad address, \
                 the file system has no room for a hole, the medium has lost bytes, or the file has \
                 shrunk: read the file to find out",
                io::Error::from_raw_os_error(*errno),
            ),
            Self::TooLarge { len } => write!(
                f,
                "{len} bytes are more than the file system allows, or the limit of this process (ulimit \
                 -f); ask for less, or raise the limit"
            ),
            Self::NoGrowth { mapped, asked } => {
                write!(f, "has {mapped} bytes mapped, and {asked} are no growth; shrink it instead")
            }
            Self::NoShrinking { mapped, asked } => {
                write!(f, "has {mapped} bytes mapped, and {asked} are more; grow it instead")
            }
            Self::Longer { size, end } => write!(
                f,
                "has {size} bytes, and its mapping ends at {end}, so that shrinking would cut off what \
                 is not mapped; map it up to its end"
            ),
            Self::SharedLock => f.write_str(
                "is open under a shared lock, where others may change its length too; open it with the \
                 exclusive one",
            ),
            Self::Unsupported(why) => why.fmt(f),
            Self::Writeback { at, len, errno } => write!(
                f,
                "{} of {len} bytes at offset {at} failed: {}; what was stored there may be lost: \
                 check the device, and write it again from elsewhere",
                System::host().persists_by,
                io::Error::from_raw_os_error(*errno),
            ),
            Self::Read { at, len, errno } => write!(
                f,
                "pread of {len} bytes at offset {at} failed: {}; if it is an input/output error, the \
                 medium has lost some of them: restore them from elsewhere",
                io::Error::from_raw_os_error(*errno),
            ),
            Self::Poisoned { at, len } => write!(
                f,
                "has a media error: {len} bytes at offset {at} cannot be read; restore them from \
                 elsewhere, into another file or after the bad blocks were cleared"
            ),
            Self::BadBlocksUnknown(why) => write!(f, "which blocks are bad is unknown: {why}"),
            Self::NoLeases { errno: Some(errno) } => write!(
                f,
                "ranges of it cannot be locked for readers: {}; copy what is to be read while its writer \
                 waits, or use a file system of this machine",
                io::Error::from_raw_os_error(*errno),
            ),
            Self::NoLeases { errno: None } => f.write_str(
                "ranges of it cannot be locked for readers on this system; copy what is to be read while \
                 its writer waits",
            ),
            Self::PlacementUnknown(why) => write!(f, "where its bytes lie is unknown: {why}"),
            Self::NotCleared(how_far) => how_far.fmt(f),
            Self::TooManyFiles { most } => write!(
                f,
                "this process may have {most} files open, and has; raise the limit (ulimit -n, or \
                 LimitNOFILE= of a systemd unit), or use fewer files"
            ),
            Self::TooManyGuards { most } => write!(
                f,
                "{most} guarded accesses are under way already; wait until one of them has ended"
            ),
            Self::ViewsDisagree => f.write_str(
                "is mapped on a machine whose data cache aliases, or may, where the kernel may not see what \
                 is stored through the mapping; read and write it through the mapping alone",
            ),
            Self::Os { call, errno } => {
                write!(f, "{call} failed: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Unsupported(why) => Some(why),
            _ => None,
        }
    }
}
