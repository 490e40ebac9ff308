//! Two addresses of one page, and whether the data cache makes them agree.
//!
//! On most machines they always agree: x86, arm64, RISC-V, PowerPC, `LoongArch` since Linux 6.8, s390x, and 32-bit Arm
//! since v7. There is nothing to do on these, and this crate costs nothing there. On older Arm, MIPS, SPARC, Xtensa,
//! C-SKY and m68k it depends on the addresses: a store under one can stay invisible under the other for any time, and
//! be lost if both were stored to. The reports of this crate answer for one machine ([`Aliasing`]). `arch/README.md`
//! has the table of architectures with its sources.
//!
//! # The caches that alias
//! The place of a byte in a cache (its set) is chosen by some bits of its address. The line there is recognised by a
//! tag, the rest of the address.
//!
//! | chosen by | recognised by | two addresses of one byte |
//! |---|---|---|
//! | physical address (PIPT) | physical address | meet in one line, always |
//! | virtual address (VIPT) | physical address | meet if they are *congruent*: equal in the bits that choose. Bits within a page are always equal, so a cache whose ways are not larger than a page never aliases |
//! | virtual address (VIVT) | virtual address | are two lines. If they are congruent and a set has one way, each evicts the other and writes it back: they agree. If a set has several ways, they do not agree, and only maintenance helps, or a kernel that does not cache such pages |
//!
//! # Rules for programs
//! 1. Two mappings of a file, in one process or in two, must be congruent: the difference between the address and the
//!    offset in the file must be the same for both, modulo `SHMLBA`. [`mappings_agree`] checks it. Linux places
//!    mappings this way on Arm v6, MIPS, SPARC, SH, C-SKY, Xtensa and PA-RISC, and refuses a `MAP_FIXED` that does not
//!    fit; on Nios II and m68k it does neither.
//! 2. The kernel has its own mapping of every page, which `read(2)` and `write(2)` use. It is congruent with others
//!    only by chance, so these calls and a mapping can disagree.
//! 3. Files are not mapped directly on such machines. Linux 6.9 and newer refuses the DAX device of a file system if
//!    `cpu_dcache_is_aliasing()` (`drivers/dax/super.c`); older versions did not build it on Arm, MIPS and SPARC
//!    (`fs/Kconfig`). Device DAX is not refused, since the kernel does not access it through its own mapping; its users
//!    need only rule 1.
//!
//! Sources: Linux `Documentation/core-api/cachetlb.rst`; `arch_get_unmapped_area` of the architectures
//! named, and `mm/filemap.c`.

use crate::arch::data_cache::{DataCache, Occurs};

/// The aliasing of the data cache: it can, or cannot, hold one page twice, under two virtual addresses.
///
/// It is the answer of Linux's `cpu_dcache_is_aliasing()`, which decides whether files can be mapped directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "aliases", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Aliasing {
    /// A page cannot be in the cache twice: all mappings of the page always agree.
    #[non_exhaustive]
    No {
        /// The source of the answer.
        source: &'static str,
    },
    /// A page can be in the cache twice: two mappings of it agree only at addresses that are
    /// [congruent](crate::aliasing). The kernel's own reads and writes need not agree with either.
    #[non_exhaustive]
    Yes {
        /// The source of the answer.
        source: &'static str,
    },
    /// The answer is unknown.
    #[non_exhaustive]
    Unknown {
        /// The reason why it is unknown.
        reason: &'static str,
        /// The remedy.
        advice: &'static str,
    },
}

/// The advice for a machine that may alias. It is also right for one that does.
const PLACE: &str = "place shared mappings of one page at the same address modulo SHMLBA";

/// Returns the answer of the architecture.
pub(crate) const fn by_architecture(facts: &DataCache) -> Aliasing {
    let reason = match facts.occurs {
        Occurs::Never => return Aliasing::No { source: facts.source },
        Occurs::Always => return Aliasing::Yes { source: facts.source },
        Occurs::Unknown => "this crate does not know it for this architecture",
        Occurs::ByGeometry(what) => what,
    };
    Aliasing::Unknown { reason, advice: PLACE }
}

/// In the words of a report's row.
impl core::fmt::Display for Aliasing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::No { .. } => f.write_str("data do not alias"),
            Self::Yes { .. } => f.write_str(
                "data alias: map a page at addresses that are equal modulo SHMLBA; no file is mapped \
                 directly",
            ),
            Self::Unknown { reason, advice } => {
                write!(f, "unknown whether data alias: {reason}; {advice}")
            }
        }
    }
}

/// Returns true if two mappings of one file are congruent. Each is given as the address of a byte and the offset of
/// that byte in the file. The mappings can be in two processes, and of two parts of the file.
///
/// `shmlba` comes from the report on the host (`cachemaint-inspect`). With 0, mappings agree only if their
/// addresses and offsets differ by the same number of bytes.
///
/// ```
/// use cachemaint::aliasing::mappings_agree;
/// // The second one begins a page further in the file, and is a page further on in its SHMLBA.
/// assert!(mappings_agree((0x7000_0000, 0), (0x1000_1000, 0x1000), 0x4000));
/// assert!(!mappings_agree((0x7000_0000, 0), (0x1000_0000, 0x1000), 0x4000));
/// ```
#[must_use]
pub const fn mappings_agree(a: (usize, u64), b: (usize, u64), shmlba: u64) -> bool {
    // A file can be larger than an address: the sums use a type that holds both.
    let (a, b) = (a.0 as u128 + b.1 as u128, b.0 as u128 + a.1 as u128);
    a.abs_diff(b).is_multiple_of(shmlba as u128)
}

#[cfg(test)]
mod tests {
    use super::mappings_agree;

    #[test]
    fn mappings_of_one_byte_agree_at_a_multiple_of_the_distance() {
        let agree = |a, b, shmlba| mappings_agree((a, 0), (b, 0), shmlba);
        assert!(agree(5, 5, 0x4000));
        assert!(agree(0, 0x8000, 0x4000));
        assert!(agree(0x8000, 0, 0x4000), "in either order");
        assert!(!agree(0, 0x2000, 0x4000));
        assert!(agree(usize::MAX, usize::MAX - 0x4000, 0x4000));
        assert!(agree(7, 7, 0) && !agree(7, 8, 0));
    }

    #[test]
    fn mappings_of_two_parts_of_a_large_file_are_compared_without_overflow() {
        let far = u64::MAX - 0xfff;
        assert!(mappings_agree((0x1000, far), (0x1000, far), 0x4000));
        assert!(mappings_agree((usize::MAX - 0xfff, far), (0, 0), 0x4000));
        assert!(!mappings_agree((0x1000, far), (0x2000, far), 0x4000));
    }
}
