//! The physical places of a file's bytes.

use super::system::{Host, Mapper};
use super::{DaxView, Error, ErrorKind};
use crate::system::tree::Unknown;
use alloc::boxed::Box;
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
    /// In ascending order, none of them empty. What is in none of them is a hole.
    pub extents: Vec<Extent>,
    /// The kernel's name of the block device, which can be a partition, or of the device of device DAX;
    /// empty if none is known.
    pub device: String,
    /// The physical address of the device's byte 0, or why it is not known: the kernel shows it to root
    /// alone, and has it for persistent memory alone.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::system::tree::number_or_reason"))]
    pub base: Result<u64, Unknown>,
}

/// Bytes that lie together, both in the mapping and on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Extent {
    /// Their place in the mapping, in bytes.
    pub offset: u64,
    /// Their place on the device, in bytes.
    pub on_device: u64,
    /// Their number. Where the mapping ends within a block, the last extent ends with the mapping.
    pub len: u64,
    /// The physical address of the first one; `None` if the [base](Placement::base) is not known, or the
    /// extent does not end within the memory that it begins in.
    pub physical: Option<u64>,
}

impl Extent {
    /// Bytes whose physical address is not known yet.
    #[cfg(target_os = "linux")]
    pub(super) const fn new(offset: u64, on_device: u64, len: u64) -> Self {
        Self { offset, on_device, len, physical: None }
    }
}

impl DaxView {
    /// Returns the place of the mapping's bytes: to aim a fault at one of them, to tell which DIMM of a region they
    /// are on, to see how scattered a file is.
    ///
    /// The extents are those of FIEMAP (Linux `Documentation/filesystems/fiemap.rst`), cut to the mapping
    /// and joined where they touch; a device of device DAX is one extent. The physical addresses are those of
    /// the *medium*: a file that is not mapped directly has its bytes in the page cache as well, at others.
    /// They are those that the kernel has: in a guest, the guest's.
    ///
    /// It is true when it is asked. A file system may move what it likes to, as it does when a file is
    /// defragmented or grows, and when a block is written that is shared with another file; device mapper
    /// and md have places of their own, and then `device` is theirs and `base` not known.
    ///
    /// # Errors
    /// [`ErrorKind::Unknown`], with what was asked and answered: the file system is neither ext2,
    /// ext4 nor xfs, whose extents say where on the device they are; it has a realtime device; an extent
    /// does not tell its place, as bytes kept in the inode; on other systems than Linux always. That the
    /// physical addresses are not known is no error.
    ///
    /// # Cost
    /// Some files of `/proc` and `/sys`, one `ioctl(2)` for 64 extents, and a sync of the file, which FIEMAP
    /// is asked for so that it knows of all blocks. 32 bytes of memory for each extent.
    #[doc(alias("FIEMAP", "filefrag", "physical address", "extents"))]
    pub fn placement(&self) -> Result<Placement, Error> {
        let mapping = self.offset..self.offset.saturating_add(self.len());
        Host::placement(&self.file, &self.guarantee, &mapping).map_err(|why| {
            Error::new(
                &self.path,
                ErrorKind::Unknown { fact: "where its bytes lie", why: Box::new(why) },
            )
        })
    }
}
