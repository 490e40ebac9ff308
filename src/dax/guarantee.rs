//! The guarantee of a file's medium.

use super::system::host::DeepFlush;
use crate::Point;
use crate::medium::{Domain, Granularity};
use alloc::string::String;
use std::path::PathBuf;

/// The guarantee of a file: the granularity at which it is made persistent, the persistence domain, and the reason.
///
/// It has what an opening needs to know. The crate `cachemaint-inspect` explains it: the file system, the devices under
/// it, and the events that the bytes survive.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// use cachemaint::dax;
/// use cachemaint::medium::Granularity;
///
/// # std::fs::write(&path, [0; 4096])?;
/// let guarantee = dax::probe(&path)?;
/// if let Granularity::Page(bytes) = guarantee.granularity {
///     println!("persists pages of {bytes} bytes: {}", guarantee.reason);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Guarantee {
    /// The smallest unit that is made persistent: a byte by a fence, a line by an instruction of the CPU, a page by the
    /// operating system.
    pub granularity: Granularity,
    /// The domain of the memory that is mapped directly, as firmware claims. `None` if stores go through the page cache,
    /// or need the file system.
    pub domain: Option<Domain>,
    /// The reason for the granularity.
    pub reason: String,
    /// The way to a finer granularity, or to survive more events; `None` if there is none better.
    pub advice: Option<&'static str>,
    /// True for device DAX (`/dev/dax0.0`): memory without a file system.
    pub is_device_dax: bool,
    /// The alignment in bytes: the offset of a mapping must be a multiple of it, and with device DAX the length too. It is
    /// the page size, the size of huge pages on hugetlbfs, or the device's alignment.
    pub alignment: u64,
    /// The file system's name by its magic number; empty if this crate does not know it.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) file_system: &'static str,
    /// The attribute that flushes the medium's own buffers, for a device in a region.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) deep_flush: Option<PathBuf>,
}

impl Guarantee {
    /// Returns true if the CPU caches are in the persistence domain of the bytes (eADR), as the firmware claims. A
    /// fenced store then survives power loss without a write-back. Always false for a file in the page cache, whatever
    /// its device promises.
    #[doc(alias("pmem_has_auto_flush", "auto_flush"))]
    #[must_use]
    pub const fn is_eadr(&self) -> bool {
        matches!(self.domain, Some(Domain::CpuCaches))
    }

    /// Returns the point that a write-back must be [aimed](crate::Cache::to) at for a line to reach the medium: the
    /// point of coherency for RAM, otherwise the point of persistence.
    #[must_use]
    pub const fn point(&self) -> Point {
        point_of(self.domain)
    }

    /// Returns the flush of a device's medium; `None` for a file, which the system's sync flushes.
    pub(super) fn medium_flush(&self) -> Option<DeepFlush> {
        self.is_device_dax.then(|| DeepFlush::new(self.deep_flush.clone()))
    }
}

/// Returns the point that a write-back to memory of this domain must reach.
///
/// Source: Linux writes all kinds of pmem back by `dc cvac` on an arm64 CPU without `dc cvap`
/// (`arch/arm64/mm/cache.S`, `dcache_clean_pop`); this crate does so only for RAM.
pub(super) const fn point_of(domain: Option<Domain>) -> Point {
    match domain {
        Some(Domain::None) => Point::Coherency,
        _ => Point::Persistence,
    }
}
