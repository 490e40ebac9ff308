//! Kinds of errors, with their messages.

use crate::dax::Guarantee;
use crate::dax::invalid_input::InvalidInput;
use crate::dax::media::ClearStep;
use crate::dax::not_supported::NotSupported;
use crate::dax::system::files;
use crate::system::calls::System;
use crate::system::tree::Unknown;
use alloc::boxed::Box;
use core::ops::Range;
use std::io;

/// The kind of an [`Error`](super::Error).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not exist, or the directory to create it in does not.
    Missing,
    /// The directory to create it in does not exist.
    NoDirectory,
    /// A component of the path before the last one is not a directory.
    NotADirectory,
    /// The path exists already.
    Exists,
    /// The last component of the path is a symbolic link.
    SymbolicLink,
    /// The path is a directory.
    Directory,
    /// The file is neither a regular file nor a directory.
    NotRegular,
    /// The file has no bytes.
    Empty,
    /// An offset, a length or a change of the length is impossible.
    InvalidInput(InvalidInput),
    /// This CPU, this system or the file system does not support the operation.
    NotSupported(NotSupported),
    /// This user has no permission for the operation.
    NoPermission,
    /// The file system is mounted read-only.
    ReadOnlyFileSystem,
    /// The file system has no space for this number of bytes.
    #[non_exhaustive]
    NoSpace {
        /// Bytes asked for.
        len: u64,
    },
    /// Another open file holds the lock, in this process or in another.
    Locked,
    /// The file is shorter than the range to map, or was cut in a range that was persisted.
    #[non_exhaustive]
    Shorter {
        /// Bytes the file has.
        size: u64,
        /// Bytes it would need: offset plus length.
        needed: u64,
    },
    /// An attribute of a device of device DAX is missing, cannot be read, or holds no value that it can have.
    #[non_exhaustive]
    DeviceAttribute {
        /// The attribute's path.
        attribute: Box<str>,
        /// The value that was read, or the reason why none was.
        answer: Box<str>,
    },
    /// Programs cannot map the device now: it has another driver than device DAX, or none.
    #[non_exhaustive]
    DeviceDriver {
        /// The driver it has: with `kmem` it is RAM of the kernel.
        name: Option<Box<str>>,
    },
    /// Neither cache lines nor pages can be made persistent on a device of device DAX.
    #[non_exhaustive]
    NotPersistable {
        /// The reason.
        reason: Box<str>,
        /// The action.
        advice: &'static str,
    },
    /// The region's attribute that flushes the medium's own buffers is missing, cannot be read, has another value than 0
    /// and 1, or could not be written. It is not known if they were flushed.
    #[non_exhaustive]
    DeepFlush {
        /// The attribute's path.
        attribute: Box<str>,
        /// The value that was read, or the error.
        answer: Box<str>,
        /// The error of the write, if the attribute could not be written.
        errno: Option<i32>,
    },
    /// A part of the file has no written blocks of its own, so a store could still need the file system. The part is a
    /// hole, an extent that was allocated and never written, or an extent that is shared with another file.
    #[non_exhaustive]
    NotAllocated {
        /// The beginning of the part, in bytes.
        at: u64,
        /// The kind of the part.
        what: &'static str,
    },
    /// The end of the file has no written blocks, because a growth was interrupted or is under way. Opening the file
    /// for writing under the exclusive lock finishes it, on Linux 5.14 and later.
    #[non_exhaustive]
    Unfinished {
        /// The beginning of that end, in bytes of the file.
        at: u64,
    },
    /// A page of the mapping could not be made accessible; an access to it would end the process.
    #[non_exhaustive]
    Unpopulated {
        /// The beginning of the page, in bytes of the mapping.
        at: u64,
        /// The error of `madvise`.
        errno: i32,
    },
    /// The file would be larger than the file system, or the limit of this process, allows.
    #[non_exhaustive]
    TooLarge {
        /// Bytes the file would have.
        len: u64,
    },
    /// The file can be made persistent in whole pages only, and the caller did not allow that
    /// ([`Options::allow_page_granularity`](crate::dax::Options::allow_page_granularity)).
    PageGranular(Box<Guarantee>),
    /// The file can be made persistent in cache lines or whole pages only, and the caller asked for single
    /// bytes.
    NotByteGranular(Box<Guarantee>),
    /// A write-back by the operating system failed. Bytes that were stored since the last successful one may be lost, also
    /// if it is tried again, so every later one of the open file returns this error too.
    #[non_exhaustive]
    Writeback {
        /// The beginning of the range, in bytes of the mapping.
        at: u64,
        /// The length of the range in bytes.
        len: u64,
        /// The error of `msync`, or of the system's calls for it.
        errno: i32,
    },
    /// A read by the operating system failed.
    #[non_exhaustive]
    Read {
        /// The beginning of the range, in bytes of the mapping.
        at: u64,
        /// The length of the range in bytes.
        len: u64,
        /// The error of `pread`.
        errno: i32,
    },
    /// The medium has lost bytes, which cannot be read. The fields give the first stretch in the range that was
    /// asked for; the bytes before it were read. On persistent memory Linux refuses the whole page of a bad sector.
    #[non_exhaustive]
    Poisoned {
        /// The beginning of the stretch, in bytes of the mapping.
        at: u64,
        /// The length of the stretch in bytes; a read follows it no further than 512 KiB, and no further than it was
        /// asked to read.
        len: u64,
    },
    /// A fact about the file cannot be found out.
    #[non_exhaustive]
    Unknown {
        /// The fact.
        fact: &'static str,
        /// The question and its answer.
        why: Box<Unknown>,
    },
    /// Ranges of the file cannot be leased.
    #[non_exhaustive]
    NoLeases {
        /// The error of `fcntl`; `None` if this system has no such locks.
        errno: Option<i32>,
    },
    /// Bad blocks were not cleared, or not all of them. With [`ClearStep::Unmap`] they were, and the mapping keeps its old
    /// pages.
    #[non_exhaustive]
    NotCleared {
        /// The beginning of the block at which it failed, in bytes of the mapping. With [`ClearStep::Unmap`] it is that of
        /// the range.
        at: u64,
        /// The length of the block or the range, in bytes.
        len: u64,
        /// The step that failed there, which says the state of the block.
        step: ClearStep,
        /// The error of the call, if a call failed.
        errno: Option<i32>,
        /// Bytes that are lost by now, in bytes of the mapping, here and in blocks before: they read as zeros.
        lost: Box<[Range<u64>]>,
    },
    /// This process has reached its limit of open files.
    #[non_exhaustive]
    TooManyFiles {
        /// The number that it may have open (`RLIMIT_NOFILE`).
        most: u64,
    },
    /// Too many calls of `catch_faults` are under way in this process.
    #[non_exhaustive]
    TooManyCatches {
        /// The number that there can be at a time.
        most: usize,
    },
    /// Another call of the operating system failed.
    #[non_exhaustive]
    Os {
        /// The call.
        call: &'static str,
        /// The error number of the call.
        errno: i32,
    },
}

impl ErrorKind {
    /// Returns the failure of a call of the operating system.
    pub(in crate::dax) fn os(call: &'static str, error: &io::Error) -> Self {
        Self::Os { call, errno: files::number(error) }
    }
}

impl core::fmt::Display for ErrorKind {
    #[expect(clippy::too_many_lines, reason = "a list of texts, one for each kind")]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file or directory; check the path, or create it first"),
            Self::NoDirectory => f.write_str("its directory does not exist; create that first"),
            Self::NotADirectory => {
                f.write_str("a part of the path is not a directory; correct the path")
            }
            Self::Exists => f.write_str(
                "exists already; open it instead of creating it, or choose another name",
            ),
            Self::SymbolicLink => {
                f.write_str("is a symbolic link, which is not followed; name its target")
            }
            Self::Directory => f.write_str("is a directory; name a file in it"),
            Self::NotRegular => f.write_str("is not a regular file; name one"),
            Self::InvalidInput(why) => why.fmt(f),
            Self::NotSupported(why) => why.fmt(f),
            Self::Empty => f.write_str(
                "has no bytes to map; check the path, give it a length (truncate -s), or remove it and create it with one",
            ),
            Self::NoPermission => f.write_str(
                "permission denied by the file or by a directory of its path; let the owner grant it (on Unix new files have \
                 mode 0600)",
            ),
            Self::ReadOnlyFileSystem => {
                f.write_str("its file system is mounted read-only; remount it for writing")
            }
            Self::NoSpace { len } => {
                write!(f, "no space for {len} bytes; free some, or ask for less")
            }
            Self::Locked => f.write_str(
                "is locked by another open file; wait until that one is closed (one process at a \
                 time writes a file; a forked child of a process that ended can hold it too)",
            ),
            Self::Shorter { size, needed } => write!(
                f,
                "has {size} bytes, and offset and length need {needed}; bring the rest back if the file \
                 was cut off, or ask for fewer bytes; a regular file that was never longer can be grown"
            ),
            Self::DeviceAttribute { attribute, answer } => write!(
                f,
                "its attribute {attribute} is of no use: {answer}; see how the device is set up (daxctl list)"
            ),
            Self::DeviceDriver { name: Some(name) } => write!(
                f,
                "is not for programs: its driver is {name}{}; give it to device DAX (daxctl \
                 reconfigure-device --mode=devdax)",
                if &**name == "kmem" { ", so that it is RAM of the kernel" } else { "" },
            ),
            Self::DeviceDriver { name: None } => {
                f.write_str("has no driver; enable it (daxctl enable-device)")
            }
            Self::NotPersistable { reason, advice } => {
                write!(f, "cannot be made persistent: {reason}; {advice}")
            }
            Self::DeepFlush { attribute, answer, .. } => write!(
                f,
                "was persisted, but the medium's own buffers were not flushed: {attribute}: \
                 {answer}; flush them as root, or rely on the stored energy of the persistence \
                 domain"
            ),
            Self::PageGranular(guarantee) => write!(
                f,
                "can be made persistent in whole pages only: {}; {}, or allow page granularity",
                guarantee.reason,
                guarantee.advice.unwrap_or("use a file on DAX"),
            ),
            Self::NotByteGranular(guarantee) => write!(
                f,
                "is made persistent by the {}, not by the byte: {}; use persistent memory whose domain \
                 has the CPU caches in it (eADR), or ask for less",
                guarantee.granularity,
                guarantee.reason,
            ),
            Self::NotAllocated { at, what } => write!(
                f,
                "has {what} at offset {at}, so a store there would need the file system; copy the \
                 file with its bytes written out (cp --sparse=never --reflink=never)"
            ),
            Self::Unfinished { at } => write!(
                f,
                "is not written from offset {at} to its end: a growth was interrupted or is under way; \
                 open it once for writing under the exclusive lock, which finishes it on Linux 5.14 and later, or \
                 copy it (cp --sparse=never)"
            ),
            Self::Unpopulated { at, errno } => write!(
                f,
                "the page at offset {at} of the mapping cannot be accessed: {}; read the file to find the \
                 cause. A bad address is a hole without space, a media error, or a page after the end of a \
                 file that has shrunk",
                io::Error::from_raw_os_error(*errno),
            ),
            Self::TooLarge { len } => write!(
                f,
                "{len} bytes are more than the file system allows, or the limit of this process (ulimit \
                 -f); ask for less, or raise the limit"
            ),
            Self::Writeback { at, len, errno } => write!(
                f,
                "{} of {len} bytes at offset {at} failed: {}; the bytes stored there may be lost: \
                 check the device, open the file anew, and write them again from elsewhere",
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
            Self::Unknown { fact, why } => write!(f, "{fact} is unknown: {why}"),
            Self::NoLeases { errno: Some(errno) } => write!(
                f,
                "ranges of it cannot be locked for readers: {}; copy the bytes to read while the writer \
                 waits, or use a file system of this machine",
                io::Error::from_raw_os_error(*errno),
            ),
            Self::NoLeases { errno: None } => f.write_str(
                "ranges of it cannot be locked for readers on this system; copy the bytes to read while \
                 the writer waits",
            ),
            Self::NotCleared { at, len, step, errno, lost } => {
                match step {
                    ClearStep::Unmap => {
                        write!(f, "no bad block is known in the {len} bytes at offset {at}, but ")
                    }
                    _ => write!(f, "the block of {len} bytes at offset {at} was not cleared: "),
                }?;
                f.write_str(step.state())?;
                if let Some(errno) = errno {
                    write!(f, ": {}", io::Error::from_raw_os_error(*errno))?;
                }
                let lost: u64 = lost.iter().map(|range| range.end - range.start).sum();
                write!(f, "; {lost} bytes are lost; {}", step.advice())
            }
            Self::TooManyFiles { most } => write!(
                f,
                "this process has reached its limit of {most} open files; raise it (ulimit -n, or \
                 LimitNOFILE= of a systemd unit), or use fewer files"
            ),
            Self::TooManyCatches { most } => write!(
                f,
                "{most} calls of catch_faults are under way already; wait until one of them has ended"
            ),
            Self::Os { call, errno } => {
                write!(f, "{call} failed: {}", io::Error::from_raw_os_error(*errno))?;
                f.write_str(match *call {
                    files::SYNC if files::is_without_syncs(*errno) => {
                        "; its file system does not sync files: use one that does"
                    }
                    files::SYNC => {
                        "; bytes that were stored in the file before may be lost, also if the next try \
                         succeeds: check the device, and restore missing bytes from elsewhere"
                    }
                    _ => "",
                })
            }
        }
    }
}
