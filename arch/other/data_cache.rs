//! The data caches of architectures without a folder, for one page under two addresses: the table of `README.md` as
//! data.
//!
//! It is taken from the headers of Linux (6.12), and is not a claim about each CPU. Linux is more cautious than the
//! CPUs need for:
//! - sparc64: on machines with a hypervisor (sun4v) `flush_dcache_folio` does nothing (`arch/sparc/mm/init_64.c`); DAX
//!   is still refused and addresses are still aligned.
//! - csky: CPUs with ABI v1 alias; for v2 the maintenance does nothing (`arch/csky/abiv2/inc/abi/cacheflush.h`).
//! - m68k: a change of user mappings maintains caches only on 68020 and 68030
//!   (`arch/m68k/include/asm/cacheflush_mm.h`).
//!
//! For sparc and xtensa the kernel names no largest distance: it is assumed to be at most the largest of all
//! (parisc's).

use super::super::data_cache::{DataCache, Distance, LARGEST, Occurs};

/// Returns the facts of an architecture that Rust supports, that Linux runs on, and that has no folder here, by Rust's
/// name or, if there is none, Linux's.
pub const fn data_cache(name: &str) -> DataCache {
    let (occurs, distance, source) = match name.as_bytes() {
        b"mips" | b"mips32r6" | b"mips64" | b"mips64r6" => (
            Occurs::ByGeometry(
                "whether a way of a virtually indexed data cache is larger than a page",
            ),
            Distance::Bytes(0x4_0000),
            "Linux arch/mips/mm/c-r4k.c (probe_pcache), arch/mips/include/asm/shmparam.h",
        ),
        b"sparc64" => (
            Occurs::Always,
            Distance::Bytes(0x4000),
            "Linux arch/sparc/include/asm/cachetype.h: L1DCACHE_SIZE (16 KiB) is more than a page (8 KiB)",
        ),
        b"sparc" => (
            Occurs::ByGeometry("whether the virtual cache is larger than a page"),
            Distance::AtMost(
                LARGEST,
                "the size of the virtual cache, which firmware reports to the kernel",
            ),
            "Linux arch/sparc/include/asm/{cachetype,shmparam_32}.h: vac_cache_size",
        ),
        b"csky" => (
            Occurs::Always,
            Distance::Pages(4),
            "Linux arch/csky/include/asm/{cachetype,shmparam}.h",
        ),
        b"xtensa" => (
            Occurs::ByGeometry("whether a way of the data cache is larger than a page"),
            Distance::AtMost(LARGEST, "the size of a way of the data cache"),
            "Linux arch/xtensa/include/asm/{cachetype,shmparam}.h: DCACHE_WAY_SIZE",
        ),
        b"m68k" => (
            Occurs::Always,
            Distance::Pages(1),
            "Linux arch/m68k/include/asm/cachetype.h; include/asm-generic/shmparam.h",
        ),
        b"hexagon" | b"loongarch32" => {
            return DataCache::never(
                "Linux does not select ARCH_HAS_CPU_CACHE_ALIASING in the architecture's Kconfig",
            );
        }
        _ => return DataCache::unknown("this crate knows no source for this architecture"),
    };
    DataCache { occurs, distance, source }
}

#[cfg(test)]
mod tests {
    use super::{Occurs, data_cache};

    /// The answers of Linux 6.12, read from its headers one by one.
    #[test]
    fn the_table_is_what_linux_says() {
        let rows = [
            ("mips", None, Some(0x4_0000)),
            ("mips64r6", None, Some(0x4_0000)),
            ("sparc64", Some(true), Some(0x4000)),
            ("sparc", None, None),
            ("csky", Some(true), Some(4 * 4096)),
            ("xtensa", None, None),
            ("m68k", Some(true), Some(4096)),
            ("hexagon", Some(false), Some(4096)),
            ("loongarch32", Some(false), Some(4096)),
            ("wasm32", None, None),
        ];
        for (name, aliases, distance) in rows {
            let found = data_cache(name);
            let decided = match found.occurs {
                Occurs::Never => Some(false),
                Occurs::Always => Some(true),
                Occurs::ByGeometry(_) | Occurs::Unknown => None,
            };
            assert_eq!(decided, aliases, "{name}");
            assert_eq!(found.distance.bytes(4096).ok(), distance, "{name}");
        }
    }
}
