//! What Linux's `/proc/cpuinfo` says of aliases in the data cache, on architectures that leave it open.

/// The text of the file.
#[derive(Clone, Copy)]
struct Cpuinfo<'a>(&'a str);

impl<'a> Cpuinfo<'a> {
    /// Returns the first value of a key, which belongs to the first CPU, without white space at the ends.
    fn value(self, key: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim())
        })
    }
}

/// Returns true if the data cache aliases; `None` if the text does not tell. `page` is the size of a page in bytes.
pub(crate) fn aliases(architecture: &str, text: &str, page: u64) -> Option<bool> {
    let cpuinfo = Cpuinfo(text);
    match architecture {
        "arm" => arm(cpuinfo),
        "mips" | "mips32r6" | "mips64" | "mips64r6" => mips(cpuinfo),
        "xtensa" => xtensa(cpuinfo, page),
        _ => None,
    }
}

/// Returns true if the data cache aliases, from the version in brackets after a CPU's name: `v7l`, with `l` or `b` for
/// the byte order (Linux `arch/arm/kernel/setup.c`, `c_show`; `elf_name` in `arch/arm/mm/proc-*.S`). For v6 the answer
/// depends on a register that user mode cannot read.
///
/// `CPU architecture: 7` proves nothing: the kernel also prints it for an Arm1176 (v6), since its memory model register
/// has the value of v7. A 64-bit kernel always prints 8, and prints the name only for programs with the personality of
/// a 32-bit machine (`arch/arm64/kernel/cpuinfo.c`).
fn arm(cpuinfo: Cpuinfo<'_>) -> Option<bool> {
    let of_platform = |name: &str| {
        let (_, platform) = name.strip_suffix(')')?.rsplit_once('(')?;
        match platform.strip_suffix(['l', 'b'])? {
            "v7" | "v7m" | "v8" => Some(false),
            "v4" | "v5" | "v5t" => Some(true),
            _ => None,
        }
    };
    let of_a_64_bit_kernel = || {
        let version = cpuinfo.value("CPU architecture")?;
        (version == "8").then_some(false)
    };
    cpuinfo.value("model name").and_then(of_platform).or_else(of_a_64_bit_kernel)
}

/// Returns true if the line contains the word (Linux `arch/mips/kernel/proc.c`), which means that the data cache
/// aliases. Older kernels do not print the line.
fn mips(cpuinfo: Cpuinfo<'_>) -> Option<bool> {
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
    use super::aliases;
    use alloc::format;

    fn arm(cpuinfo: &str) -> Option<bool> {
        aliases("arm", cpuinfo, 4096)
    }

    /// Lines as the kernel's format string prints them.
    #[test]
    fn the_version_of_the_architecture_decides() {
        let of = |name: &str| arm(&format!("processor\t: 0\nmodel name\t: {name}\n"));
        assert_eq!(of("ARMv7 Processor rev 1 (v7l)"), Some(false));
        assert_eq!(of("ARMv7 Processor rev 1 (v7b)"), Some(false));
        assert_eq!(of("ARMv8 Processor rev 3 (v8l)"), Some(false));
        assert_eq!(of("ARM926EJ-S rev 5 (v5l)"), Some(true));
        assert_eq!(of("XScale-IXP42x Family rev 2 (v5tl)"), Some(true));
        assert_eq!(of("ARM920T rev 0 (v4l)"), Some(true));
        assert_eq!(of("ARMv6-compatible processor rev 7 (v6l)"), None);
        assert_eq!(of("AMD EPYC 7763 64-Core Processor"), None, "an emulator's host");
        assert_eq!(of("(v)"), None);
    }

    /// The first Raspberry Pi: an Arm1176, which is v6 but reported as architecture 7.
    #[test]
    fn architecture_7_does_not_prove_v7() {
        let pi = "model name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU architecture: 7\n";
        assert_eq!(arm(pi), None);
        assert_eq!(arm("CPU architecture: 7\n"), None);
        assert_eq!(arm("CPU architecture: 8\n"), Some(false));
    }

    /// The lines are as the kernel's format strings print them, with a CPU of each kind.
    #[test]
    fn mips_aliasing_is_read_from_one_word() {
        let of = |text| aliases("mips64", text, 4096);
        let by_address = "Options implemented\t: tlb 4kex 4k_cache pindexed_dcache\n";
        assert_eq!(of("isa\t: x\nOptions implemented\t: tlb 4kex dc_aliases perf\n"), Some(true));
        assert_eq!(of(by_address), Some(false));
        assert_eq!(of("system type\t\t: MIPS Malta\nisa\t\t\t: mips1\n"), None, "an old kernel");
    }

    /// A way of 16384 / 4 = 4096 bytes is not larger than a page; one of 32768 / 4 = 8192 is.
    #[test]
    fn xtensa_aliases_if_a_way_exceeds_a_page() {
        let with = |size, ways| {
            let text =
                format!("dcache line size: 32\ndcache ways\t: {ways}\ndcache size\t: {size}\n");
            aliases("xtensa", &text, 4096)
        };
        assert_eq!(with("16384", "4"), Some(false));
        assert_eq!(with("32768", "4"), Some(true));
        assert_eq!(with("0", "0"), None, "no data cache is shown");
        assert_eq!(with("many", "4"), None);
    }
}
