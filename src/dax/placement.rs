//! The physical places of a file's bytes.

use super::{DaxView, Error, system};
use crate::system::tree::Unknown;
use alloc::string::String;
use alloc::vec::Vec;

/// The place of a mapping's bytes on their device, and in memory, if the device is memory.
///
/// With feature `serde` it is an object: `extents`, a list of objects with the names of [`Extent`];
/// `device`; `base`, which is the number, or an object with `reason` and `advice`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Placement {
    /// In ascending order, and not empty. Bytes in no extent are a hole.
    pub extents: Vec<Extent>,
    /// The kernel's name of the block device, which can be a partition, or of the device of device DAX;
    /// empty if the device is not known.
    pub device: String,
    /// The physical address of the device's byte 0, or the reason why it is not known. The kernel shows it only to
    /// root, and has it only for persistent memory.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::system::tree::number_or_reason"))]
    pub base: Result<u64, Unknown>,
}

/// Bytes that lie together, both in the mapping and on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Extent {
    /// The place of the bytes in the mapping, in bytes.
    pub offset: u64,
    /// The place of the bytes on the device, in bytes.
    pub on_device: u64,
    /// The number of bytes. Where the mapping ends within a block, the last extent ends with the mapping.
    pub len: u64,
    /// The physical address of the first one; `None` if the [base](Placement::base) is not known, or the
    /// extent does not end within the memory that it begins in.
    pub physical: Option<u64>,
}

impl Extent {
    /// Returns bytes whose physical address is not known yet.
    #[cfg(target_os = "linux")]
    pub(super) const fn new(offset: u64, on_device: u64, len: u64) -> Self {
        Self { offset, on_device, len, physical: None }
    }
}

impl DaxView {
    /// Returns the place of the mapping's bytes: to aim a fault at one of them, to find the DIMM of a region that holds
    /// them, or to see how scattered a file is.
    ///
    /// The extents are those of FIEMAP (Linux `Documentation/filesystems/fiemap.rst`), cut to the mapping and joined
    /// where they touch. A device of device DAX is one extent. The physical addresses are those of the *medium*: a file
    /// that is not mapped directly has its bytes in the page cache as well, at other addresses. They are the addresses
    /// of this kernel: in a guest, the guest's.
    ///
    /// The answer is true at the time of the call. A file system may move blocks, for example when a file is
    /// defragmented or grows, and when a block that is shared with another file is written. Device mapper and md have
    /// places of their own: `device` is theirs then, and `base` is not known.
    ///
    /// # Errors
    /// [`ErrorKind::Unknown`](super::ErrorKind::Unknown) with the question and its answer, on other systems than Linux always. On Linux, if the
    /// file system is not ext2, ext4 or xfs, whose extents give the place on the device, or if it has a realtime
    /// device. Also if an extent does not give its place, as for bytes that are kept in the inode. Unknown physical
    /// addresses are not an error.
    ///
    /// # Cost
    /// Some files of `/proc` and `/sys`, one `ioctl(2)` for 64 extents, and a sync of the file, which FIEMAP
    /// is asked for so that it knows of all blocks. 32 bytes of memory for each extent.
    #[doc(alias("FIEMAP", "filefrag", "physical address", "extents"))]
    pub fn placement(&self) -> Result<Placement, Error> {
        let mapping = self.offset..self.offset.saturating_add(self.len());
        system::placement(&self.file, &self.guarantee, &mapping)
            .map_err(|why| Error::unknown(&self.path, "the place of its bytes", &why))
    }
}
