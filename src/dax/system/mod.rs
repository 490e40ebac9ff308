//! The services of the operating system for a file: one module for Linux, one for the others, and one place that chooses.
//!
//! | module | contents |
//! |---|---|
//! | `linux` | facts about files and devices; mappings that are persisted line by line, or in whole pages |
//! | `other` | any other system: mappings that the standard library and memmap2 persist in whole pages |
//!
//! Each has the same functions. They return facts, and of a failed call its name and number: what follows from them is
//! decided above.

#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(not(target_os = "linux"))]
#[expect(unsafe_code, reason = "hands over the bytes that were mapped")]
#[expect(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the signatures are those of Linux"
)]
pub(super) mod other;

#[cfg(target_os = "linux")]
pub(super) use linux as host;
#[cfg(not(target_os = "linux"))]
pub(super) use other as host;

pub(super) use host::{files, map, map_synchronously};

use super::latch::{FailedAccess, Failure};
use crate::system::region::Memory;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::Debug;
use core::ops::Range;
use std::io;
use std::path::PathBuf;

/// The kind of access for which a file is opened and mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Only loads.
    Read,
    /// Loads and stores.
    ReadAndWrite,
}

/// A failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The name of the call.
    pub(crate) call: &'static str,
    /// Its error number.
    pub(crate) errno: i32,
}

impl Failed {
    /// Returns the failure of a call with this error.
    pub(super) fn new(call: &'static str, error: &io::Error) -> Self {
        Self { call, errno: files::number(error) }
    }
}

/// The reason why there are no facts about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// A call failed.
    Failed(Failed),
    /// It is a directory.
    Directory,
    /// It is neither a regular file nor device DAX.
    NotAFile,
    /// It is a file of this file system, which stores nothing.
    #[cfg(target_os = "linux")]
    Pseudo(&'static str),
    /// It is device DAX that cannot be used.
    #[cfg(target_os = "linux")]
    Unusable(Unusable),
}

impl From<Failed> for Unasked {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// The reason why a device DAX cannot be mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// An attribute is missing, cannot be read or has an invalid value.
    Attribute {
        /// The path of the attribute.
        path: String,
        /// What was read.
        answer: String,
    },
    /// The device is bound to a driver that does not map it (`kmem`, `fsdev_dax`), or to none.
    Driver(Option<String>),
}

/// The facts about an open file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// The size of the file or device in bytes.
    pub size: u64,
    /// The unit of offsets in bytes: a page, a huge page, or that of a device.
    pub alignment: u64,
    /// False for a regular file without a name: a memfd, or one that was made by `O_TMPFILE` or unlinked.
    pub has_name: bool,
    /// True if later stores may not reach the mapped file: on overlayfs, a file of a lower layer that was opened
    /// read-only stays mapped even after a writer has copied it up (Linux `Documentation/filesystems/overlayfs.rst`,
    /// "Non-standard behavior").
    pub may_be_of_a_lower_layer: bool,
    /// The file system's name by its magic number; empty if this crate does not know it.
    pub file_system: &'static str,
    /// The numbers of the file system's device.
    pub device: (u32, u32),
    /// The number of the mount in `/proc/thread-self/mountinfo`, if the kernel reports it.
    pub mount_id: Option<u64>,
    /// The inode's DAX attribute; `None` if the kernel or the file system does not report one.
    pub dax_attribute: Option<bool>,
    /// The device, if the file is device DAX.
    pub device_dax: Option<Box<DeviceDax>>,
}

/// A device of device DAX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceDax {
    /// Its place in `/sys/devices`.
    pub path: PathBuf,
    /// The memory that it consists of, if it is known.
    pub memory: Option<Memory>,
    /// The attribute that flushes the medium's own buffers, if its kind of memory has one.
    pub deep_flush: Option<PathBuf>,
    /// True if only a call of the hypervisor makes written-back bytes persistent.
    pub needs_host_call: bool,
}

/// The part of a file that is mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The beginning of the mapping in the file, in bytes; a multiple of the alignment.
    pub(super) offset: u64,
    /// The length of the mapping in bytes.
    pub(super) len: usize,
    /// The unit in bytes that the kernel maps.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux has huge pages here")
    )]
    pub(super) alignment: u64,
    pub(super) access: Access,
}

/// The owner of the mapped pages. It keeps the bytes in place until it is dropped, and makes the operating system write
/// them back.
pub(super) trait Pages: Debug + Send + Sync {
    /// Writes back the pages that a range of the mapping touches, waits, and looks if the file still has them. The range is
    /// in the mapping and not empty.
    fn writeback(&self, range: Range<usize>) -> Result<(), Failure>;

    /// Returns true if each write-back is one of the whole file.
    fn writes_whole_file(&self) -> bool {
        false
    }

    /// Returns the reason why an access failed.
    fn reason(&self, access: FailedAccess) -> Failure {
        Failure::Access(access)
    }

    /// Returns true if the system reads ahead only when [asked](Self::read_ahead).
    fn must_be_asked_for(&self) -> bool {
        false
    }

    /// Asks for bytes that will be read soon. The range is in the mapping.
    fn read_ahead(&self, _range: Range<usize>) {}

    /// Flushes the device's own buffers. `None` if [`writeback`](Self::writeback) flushes them.
    fn flush_device(&self) -> Option<Result<(), Unflushed>> {
        None
    }
}

/// The error of an attribute that could not flush a device's buffers.
#[derive(Debug)]
pub(super) struct Unflushed {
    /// The path of the attribute.
    pub(super) path: String,
    /// The value that was read, or the error.
    pub(super) answer: String,
    /// The number of the error, if writing failed.
    pub(super) errno: Option<i32>,
}
