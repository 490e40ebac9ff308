//! Aliases in the data cache: one page under two virtual addresses, and the distance between addresses that avoids a
//! second copy.
//!
//! A cache that is indexed by virtual address bits above the page's keeps the same byte in different places if it is
//! accessed under different addresses. The hardware does not compare the two. A store under one address is not seen
//! under the other until it was written back and the other copy dropped. Two addresses of one byte that are equal in
//! those bits (congruent) share one place.
//!
//! Linux classifies each architecture (`cpu_dcache_is_aliasing()`, in each `arch/*/include/asm/cachetype.h` since 6.9,
//! and `false` in `include/linux/cacheinfo.h` where `ARCH_HAS_CPU_CACHE_ALIASING` is not selected). If it is true,
//! `alloc_dax` in `drivers/dax/super.c` fails with `EOPNOTSUPP`, so no file system is mapped directly. Device DAX is
//! not affected.

/// The behaviour of an architecture's data caches for one page under two virtual addresses.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DataCache {
    /// The CPUs on which it happens, as far as the architecture decides it.
    pub occurs: Occurs,
    /// Two addresses of one page agree if they differ by a multiple of this: `SHMLBA`.
    pub distance: Distance,
    /// The source of the claim.
    pub source: &'static str,
}

/// The CPUs on which one page can be in the data cache twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occurs {
    /// On no CPU of the architecture.
    Never,
    /// On all CPUs, or at least the kernel treats them so.
    Always,
    /// On CPUs where this condition holds.
    ByGeometry(&'static str),
    /// No source says it.
    Unknown,
}

/// The distance at which two addresses of one page agree: a power of two, or a multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distance {
    /// The number of pages.
    Pages(u64),
    /// The number of bytes, or a page if that is larger.
    Bytes(u64),
    /// The greatest number of bytes, and what the distance depends on.
    AtMost(u64, &'static str),
}

impl Distance {
    /// Returns the distance in bytes.
    ///
    /// # Errors
    /// If it is unknown: what the distance depends on.
    pub const fn bytes(self, page: u64) -> Result<u64, &'static str> {
        match self {
            Self::Pages(_) | Self::Bytes(_) => Ok(self.safe_bytes(page)),
            Self::AtMost(_, what) => Err(what),
        }
    }

    /// Returns a distance at which addresses always agree: the distance, or a multiple of it.
    #[must_use]
    pub const fn safe_bytes(self, page: u64) -> u64 {
        match self {
            Self::Pages(pages) => pages * page,
            Self::Bytes(bytes) | Self::AtMost(bytes, _) => {
                if bytes > page {
                    bytes
                } else {
                    page
                }
            }
        }
    }
}

impl DataCache {
    /// Returns an architecture whose data caches never alias.
    #[must_use]
    pub const fn never(source: &'static str) -> Self {
        Self { occurs: Occurs::Never, distance: Distance::Pages(1), source }
    }

    /// Returns the data for an undocumented architecture. The distance is the largest of any known architecture.
    #[must_use]
    pub const fn unknown(source: &'static str) -> Self {
        Self {
            occurs: Occurs::Unknown,
            distance: Distance::AtMost(LARGEST, "which architecture it is"),
            source,
        }
    }
}

/// The largest distance of any architecture, in bytes: that of parisc.
pub const LARGEST: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::super::{ALL, other};
    use super::{Distance, LARGEST};

    /// A distance that is not a power of two, or less than a page, could not be used to place a mapping.
    #[test]
    fn every_distance_is_a_power_of_two_and_at_least_a_page() {
        let known = ALL.iter().map(|architecture| architecture.data_cache);
        for aliasing in known.chain(other::NAMES.iter().map(|name| other::data_cache(name))) {
            assert!(!aliasing.source.is_empty());
            for page in [4096, 8192, 16384, 65536] {
                let safe = aliasing.distance.safe_bytes(page);
                assert!(safe.is_power_of_two() && safe >= page, "{aliasing:?}");
                assert!(safe <= LARGEST, "{aliasing:?}");
                assert!(
                    aliasing.distance.bytes(page).is_ok_and(|bytes| bytes == safe)
                        || matches!(aliasing.distance, Distance::AtMost(..))
                );
            }
        }
    }
}
