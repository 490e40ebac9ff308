//! The physical places of a file's bytes.

use crate::system::tree::Unknown;
use alloc::string::String;
use alloc::vec::Vec;

/// The places of a mapping's bytes on their device, and in physical memory if the device is memory.
///
/// With feature `serde` it is an object: `extents`, a list of objects with the names of [`Extent`];
/// `device`; `base`, which is the number, or an object with `reason` and `advice`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Placement {
    /// The extents in ascending order; none is empty. Bytes outside any extent are a hole.
    pub extents: Vec<Extent>,
    /// The kernel's name of the block device, which can be a partition, or of the device DAX; empty if the device is
    /// not known.
    pub device: String,
    /// The physical address of the device's byte 0, or the reason why it is unknown. The kernel shows it only to root,
    /// and only for persistent memory.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::system::tree::number_or_reason"))]
    pub base: Result<u64, Unknown>,
}

impl Placement {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(extents: Vec<Extent>, device: String, base: Result<u64, Unknown>) -> Self {
        Self { extents, device, base }
    }
}

/// Bytes that are contiguous both in the mapping and on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Extent {
    /// The place of the bytes in the mapping, in bytes.
    pub offset: u64,
    /// The place of the bytes on the device, in bytes.
    pub on_device: u64,
    /// The number of bytes. If the mapping ends within a block, the last extent ends with the mapping.
    pub len: u64,
    /// The physical address of the first byte; `None` if the [base](Placement::base) is unknown, or the extent does not
    /// end within the memory that it begins in.
    pub physical: Option<u64>,
}

impl Extent {
    /// Returns bytes whose physical address is not known yet.
    #[cfg(target_os = "linux")]
    #[doc(hidden)]
    #[must_use]
    pub const fn new(offset: u64, on_device: u64, len: u64) -> Self {
        Self { offset, on_device, len, physical: None }
    }
}
