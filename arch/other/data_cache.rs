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

use super::super::data_cache::{Cpuinfo, DataCache, Distance, Evidence, LARGEST, Occurs};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The names of the architecture: Rust's `target_arch`, or if there is none, Linux's name.
    pub names: &'static [&'static str],
    /// The facts.
    pub data_cache: DataCache,
}

/// Returns the facts of an architecture that always aliases, according to Linux.
const fn always(distance: Distance, source: &'static str) -> DataCache {
    DataCache { occurs: Occurs::Always, evidence: Evidence::Architecture, distance, source }
}

/// Every architecture that Rust supports, that Linux runs on, and that has no folder here.
pub const ALIASING: &[Row] = &[
    Row {
        names: &["mips", "mips32r6", "mips64", "mips64r6"],
        data_cache: DataCache {
            occurs: Occurs::ByGeometry(
                "whether a way of a virtually indexed data cache is larger than a page",
            ),
            evidence: Evidence::Cpuinfo(mips),
            distance: Distance::Bytes(0x4_0000),
            source: "Linux arch/mips/mm/c-r4k.c (probe_pcache), arch/mips/include/asm/shmparam.h",
        },
    },
    Row {
        names: &["sparc64"],
        data_cache: always(
            Distance::Bytes(0x4000),
            "Linux arch/sparc/include/asm/cachetype.h: L1DCACHE_SIZE (16 KiB) is more than a page (8 KiB)",
        ),
    },
    Row {
        names: &["sparc"],
        data_cache: DataCache {
            occurs: Occurs::ByGeometry("whether the virtual cache is larger than a page"),
            evidence: Evidence::None,
            distance: Distance::AtMost(
                LARGEST,
                "the size of the virtual cache, which firmware reports to the kernel",
            ),
            source: "Linux arch/sparc/include/asm/{cachetype,shmparam_32}.h: vac_cache_size",
        },
    },
    Row {
        names: &["csky"],
        data_cache: always(
            Distance::Pages(4),
            "Linux arch/csky/include/asm/{cachetype,shmparam}.h",
        ),
    },
    Row {
        names: &["xtensa"],
        data_cache: DataCache {
            occurs: Occurs::ByGeometry("whether a way of the data cache is larger than a page"),
            evidence: Evidence::Cpuinfo(xtensa),
            distance: Distance::AtMost(LARGEST, "the size of a way of the data cache"),
            source: "Linux arch/xtensa/include/asm/{cachetype,shmparam}.h: DCACHE_WAY_SIZE",
        },
    },
    Row {
        names: &["m68k"],
        data_cache: always(
            Distance::Pages(1),
            "Linux arch/m68k/include/asm/cachetype.h; include/asm-generic/shmparam.h",
        ),
    },
    Row {
        names: &["hexagon", "loongarch32"],
        data_cache: DataCache::never(
            "Linux does not select ARCH_HAS_CPU_CACHE_ALIASING in the architecture's Kconfig",
        ),
    },
];

/// Returns the facts of an architecture, if it has a row.
pub(super) const fn of(name: &str) -> DataCache {
    let mut row = 0;
    while row < ALIASING.len() {
        let mut place = 0;
        while place < ALIASING[row].names.len() {
            if equal(name, ALIASING[row].names[place]) {
                return ALIASING[row].data_cache;
            }
            place += 1;
        }
        row += 1;
    }
    DataCache::unknown("this crate knows no source for this architecture")
}

/// Texts cannot be compared in a constant yet.
const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut place = 0;
    while place < a.len() {
        if a[place] != b[place] {
            return false;
        }
        place += 1;
    }
    true
}

/// Returns true if the line contains the word (Linux `arch/mips/kernel/proc.c`), which means that the data cache
/// aliases. Older kernels do not print the line.
fn mips(cpuinfo: Cpuinfo<'_>, _page: u64) -> Option<bool> {
    let options = cpuinfo.value("Options implemented")?;
    Some(options.split_whitespace().any(|option| option == "dc_aliases"))
}

/// Returns true if a way is larger than a page (Linux `arch/xtensa/kernel/setup.c`, `c_show`).
fn xtensa(cpuinfo: Cpuinfo<'_>, page: u64) -> Option<bool> {
    let size: u64 = cpuinfo.value("dcache size")?.parse().ok()?;
    let ways: u64 = cpuinfo.value("dcache ways")?.parse().ok()?;
    Some(size.checked_div(ways)? > page)
}

#[cfg(test)]
mod tests {
    use super::super::super::data_cache::{Cpuinfo, Occurs};
    use super::{ALIASING, mips, of, xtensa};

    /// The lines are as the kernel's format strings print them, with a CPU of each kind.
    #[test]
    fn mips_aliasing_is_read_from_one_word() {
        let aliasing = "system type\t\t: Atheros AR9344 rev 2\nOptions implemented\t: tlb 4kex 4k_cache \
                        prefetch mcheck ejtag llsc dc_aliases perf_cntr_intr_bit\n";
        let indexed_by_physical_address =
            "Options implemented\t: tlb 4kex 4k_cache pindexed_dcache\n";
        let old_kernel = "system type\t\t: MIPS Malta\nisa\t\t\t: mips1 mips2 mips32r1\n";
        assert_eq!(mips(Cpuinfo(aliasing), 4096), Some(true));
        assert_eq!(mips(Cpuinfo(indexed_by_physical_address), 4096), Some(false));
        assert_eq!(mips(Cpuinfo(old_kernel), 4096), None);
    }

    /// A way of 16384 / 4 = 4096 bytes is not larger than a page; one of 32768 / 4 = 8192 is.
    #[test]
    fn xtensa_aliases_if_a_way_exceeds_a_page() {
        let with = |size, ways| {
            let text = std::format!(
                "dcache line size: 32\ndcache ways\t: {ways}\ndcache size\t: {size}\n"
            );
            xtensa(Cpuinfo(&text), 4096)
        };
        assert_eq!(with("16384", "4"), Some(false));
        assert_eq!(with("32768", "4"), Some(true));
        assert_eq!(with("0", "0"), None, "no data cache is shown");
        assert_eq!(with("many", "4"), None);
        assert_eq!(xtensa(Cpuinfo(""), 4096), None);
    }

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
            let found = of(name);
            assert_eq!(found.decided(), aliases, "{name}");
            assert_eq!(found.distance.bytes(4096).ok(), distance, "{name}");
        }
        assert_eq!(of("wasm32").occurs, Occurs::Unknown);
        assert_eq!(ALIASING.iter().map(|row| row.names.len()).sum::<usize>(), 11);
    }
}
