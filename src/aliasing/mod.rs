//! Two addresses of one page, and whether the data cache makes them agree.
//!
//! On most machines they always agree: x86, arm64, RISC-V, PowerPC, `LoongArch` since Linux 6.8, s390x, and 32-bit Arm
//! since v7. There is nothing to do there, and nothing in this crate costs anything for the others' sake. On older Arm,
//! MIPS, SPARC, Xtensa, C-SKY and m68k it depends on the addresses. A store under one can stay
//! invisible under the other for as long as the cache likes, and be lost if both were stored to. The reports of this crate
//! answer for one machine ([`Aliasing`]). The table of architectures with its sources is in `arch/README.md`.
//!
//! # The caches that alias
//! The place of a byte in a cache (its set) is chosen by some bits of its address. The line there is
//! recognised by a tag, which is the rest of the address.
//!
//! | chosen by | recognised by | two addresses of one byte |
//! |---|---|---|
//! | physical address (PIPT) | physical address | meet in one line, always |
//! | virtual address (VIPT) | physical address | meet if they are *congruent*: equal in the bits that choose. Bits within a page are always equal, so a cache whose ways are not larger than a page never aliases |
//! | virtual address (VIVT) | virtual address | are two lines. If they are congruent and a set has one way, one puts the other out, which writes it back: they agree. If it has several, they do not, and only maintenance helps, or a kernel that does not cache such pages |
//!
//! # Rules for programs
//! 1. Two mappings of a file, in one process or in two, must be congruent: the distance between address
//!    and offset in the file the same for both, up to a multiple of `SHMLBA`. [`mappings_agree`] checks it.
//!    Linux places mappings so on Arm v6, MIPS, SPARC, SH, C-SKY, Xtensa and PA-RISC, unless `MAP_FIXED` says
//!    otherwise, which it then refuses; on Nios II and m68k it does not see to it.
//! 2. The kernel has a mapping of its own of every page, and `read(2)` and `write(2)` use it. It is congruent with others
//!    only by chance, so these calls and a mapping can disagree.
//! 3. Files are not mapped directly there at all. Linux refuses the DAX device of a file system since 6.9 if
//!    `cpu_dcache_is_aliasing()` (`drivers/dax/super.c`), and did not build it before on Arm, MIPS and SPARC
//!    (`fs/Kconfig`). Device DAX, which the kernel does not access through a mapping of its own, is not refused, and
//!    its users need to keep only rule 1.
//!
//! Sources: Linux `Documentation/core-api/cachetlb.rst`; `arch_get_unmapped_area` of the architectures
//! named, and `mm/filemap.c`.

mod machine;

pub use machine::Aliasing;
pub(crate) use machine::by_architecture;
#[cfg(feature = "std")]
pub(crate) use machine::{distance, of_machine};

/// Returns true if two mappings of one file are congruent. Each is given as the address of a byte and the offset of that
/// byte in the file. They can be of two processes, and of two parts of the file.
///
/// `shmlba` is that of [`HostReport::shmlba`](crate::report::HostReport). With 0 only mappings agree
/// whose addresses and offsets differ by the same number of bytes.
///
/// ```
/// use cachemaint::aliasing::mappings_agree;
/// // The second one begins a page further in the file, and is a page further on in its SHMLBA.
/// assert!(mappings_agree((0x7000_0000, 0), (0x1000_1000, 0x1000), 0x4000));
/// assert!(!mappings_agree((0x7000_0000, 0), (0x1000_0000, 0x1000), 0x4000));
/// ```
#[must_use]
pub const fn mappings_agree(a: (usize, u64), b: (usize, u64), shmlba: u64) -> bool {
    // A file can be larger than an address: the sums are taken in numbers that hold both.
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
