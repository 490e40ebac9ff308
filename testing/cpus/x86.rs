//! CPUID words of known x86 machines, and the expected conclusions.
//!
//! Pure data: detection is replayed on these words instead of on the CPU that runs the test. Each machine is a file in
//! `x86`, in the form that `cpuid -r` prints: leaf, subleaf, EAX to EDX. Its first line is the name of the machine, its
//! second the source of the words. `Recorded` marks words that the CPUID instruction returned on that machine; they are
//! copied unchanged from the dump (first logical CPU of the dump). `From manuals` marks words composed from the
//! vendor's publications, each with its reason.
//!
//! Only leaves that decide something here are kept: identification and line size (0, 1, `0x8000_0000` to
//! `0x8000_0004`), caches (4, `0x8000_001D`), features (7.0, `0x8000_0008`), TDX (0x21), hypervisor (`0x4000_0000`,
//! `0x4000_0100`; Hyper-V's `0x4000_0003` and `0x4000_000C`) and SEV (`0x8000_001F`). Rows of zeros are left out.
//!
//! The expected values follow from the feature bits: CLFLUSH is CPUID.1:EDX\[19\], CLFLUSHOPT is
//! CPUID.7.0:EBX\[23\], CLWB is CPUID.7.0:EBX\[24\], the line size is CPUID.1:EBX\[15:8\] * 8
//! (Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E). The two feature words stand above
//! the words of each recorded machine. CLWB is there where the second digit of 7.0:EBX is odd, CLFLUSHOPT where its
//! third digit is 8 or more, CLFLUSH where the fourth digit of 1:EDX is 8 or more.

/// The origin of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// Dumped on the machine.
    Recorded,
    /// Composed from the vendor's published list.
    FromManual,
}

/// One machine: its words and the conclusions.
pub(crate) struct Machine {
    pub name: &'static str,
    pub provenance: Provenance,
    /// Public source of the words.
    pub source: &'static str,
    /// (leaf, subleaf, [eax, ebx, ecx, edx]); a leaf that is not listed reads as zeros.
    pub cpuid: &'static [(u32, u32, [u32; 4])],
    /// The best line write-back: the strongest present that may keep the line.
    pub writeback: &'static str,
    /// The best line invalidate (with write-back).
    pub invalidate: &'static str,
    /// Line size in bytes.
    pub line: usize,
    /// Fences (before, after) a loop of `writeback`.
    pub writeback_fences: (Option<&'static str>, &'static str),
    /// The 12-byte signature without its trailing NULs; `None` if CPUID.1:ECX\[31\] is 0.
    pub hypervisor: Option<&'static str>,
    /// `TDX` if leaf 0x21 exists and says so.
    pub confidential: Option<&'static str>,
}

/// Makes a machine of its file, and of the expected conclusions: the write-back and the fences around it, the
/// invalidation, the line size, the hypervisor's signature and the kind of confidential guest.
macro_rules! machine {
    (
        $file:literal: $writeback:literal, $fences:expr, $invalidate:literal, $line:literal,
        $hypervisor:expr, $confidential:expr
    ) => {{
        const DUMP: &str = include_str!(concat!("x86/", $file, ".cpuid"));
        const WORDS: [(u32, u32, [u32; 4]); rows(DUMP)] = read(DUMP);
        let (name, rest) = first_line(DUMP);
        let (of_words, _) = first_line(rest);
        let (kind, source) = at_colon(of_words);
        Machine {
            name,
            provenance: if matches!(kind.as_bytes(), b"Recorded") {
                Provenance::Recorded
            } else {
                Provenance::FromManual
            },
            source,
            cpuid: &WORDS,
            writeback: $writeback,
            invalidate: $invalidate,
            line: $line,
            writeback_fences: $fences,
            hypervisor: $hypervisor,
            confidential: $confidential,
        }
    }};
}

/// Returns the text of the comment in the first line, and the lines behind it.
const fn first_line(text: &'static str) -> (&'static str, &'static str) {
    let mut end = 0;
    while text.as_bytes()[end] != b'\n' {
        end += 1;
    }
    let (line, rest) = text.split_at(end);
    (line.split_at("# ".len()).1, rest.split_at(1).1)
}

/// Returns the texts before and behind the first `: `.
const fn at_colon(line: &'static str) -> (&'static str, &'static str) {
    let mut end = 0;
    while line.as_bytes()[end] != b':' {
        end += 1;
    }
    let (before, rest) = line.split_at(end);
    (before, rest.split_at(": ".len()).1)
}

/// Returns the next number of a dump, and the place behind it; comments have none.
const fn number(dump: &str, mut at: usize) -> Option<(u32, usize)> {
    let bytes = dump.as_bytes();
    while at + 1 < bytes.len() {
        if bytes[at] == b'#' {
            while bytes[at] != b'\n' {
                at += 1;
            }
        } else if bytes[at] == b'0' && bytes[at + 1] == b'x' {
            return Some(digits(bytes, at + 2));
        }
        at += 1;
    }
    None
}

/// Returns the number whose hexadecimal digits begin here, and the place behind it.
const fn digits(bytes: &[u8], mut at: usize) -> (u32, usize) {
    let mut number = 0;
    while at < bytes.len() {
        let digit = match bytes[at] {
            decimal @ b'0'..=b'9' => decimal - b'0',
            letter @ b'a'..=b'f' => letter - b'a' + 10,
            _ => break,
        };
        number = number << 4 | digit as u32;
        at += 1;
    }
    (number, at)
}

/// Returns the number of rows in a dump: six numbers are one.
const fn rows(dump: &str) -> usize {
    let (mut numbers, mut at) = (0, 0);
    while let Some((_, next)) = number(dump, at) {
        (numbers, at) = (numbers + 1, next);
    }
    assert!(numbers % 6 == 0, "a row is a leaf, a subleaf and four registers");
    numbers / 6
}

/// Reads the rows of a dump.
const fn read<const N: usize>(dump: &str) -> [(u32, u32, [u32; 4]); N] {
    let mut rows = [(0, 0, [0; 4]); N];
    let (mut place, mut at) = (0, 0);
    while let Some((value, next)) = number(dump, at) {
        let row = &mut rows[place / 6];
        match place % 6 {
            0 => row.0 = value,
            1 => row.1 = value,
            register => row.2[register - 2] = value,
        }
        (place, at) = (place + 1, next);
    }
    rows
}

/// All machines, bare metal first.
#[rustfmt::skip]
pub(crate) static MACHINES: &[Machine] = &[
    // ---- Intel, bare metal ----
    machine!("intel-core-i7-920": "clflush", (None, "sfence"), "clflush", 64, None, None),
    machine!("intel-core-i7-3770k": "clflush", (None, "sfence"), "clflush", 64, None, None),
    machine!("intel-core-i7-4770": "clflush", (None, "sfence"), "clflush", 64, None, None),
    machine!("intel-core-i7-6700k": "clflushopt", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("intel-core-i7-8700k": "clflushopt", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("intel-core-i7-1065g7": "clflushopt", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("intel-xeon-platinum-8160": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("intel-xeon-gold-6252": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("intel-xeon-gold-6336y": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("intel-xeon-w9-3475x": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("intel-xeon-platinum-8570": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    // ---- AMD and Hygon, bare metal ----
    machine!("amd-fx-8150": "clflush", (Some("mfence"), "mfence"), "clflush", 64, None, None),
    machine!("amd-fx-8350": "clflush", (Some("mfence"), "mfence"), "clflush", 64, None, None),
    machine!("amd-a12-9800": "clflush", (Some("mfence"), "mfence"), "clflush", 64, None, None),
    machine!("amd-epyc-7551p": "clflushopt", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("amd-epyc-7742": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("amd-epyc-7763": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("amd-epyc-9654": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("amd-epyc-9655": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("hygon-c86-3250": "clflushopt", (None, "sfence"), "clflushopt", 64, None, None),
    // ---- VIA, Centaur and Zhaoxin, bare metal ----
    machine!("via-nano-l3050": "clflush", (Some("mfence"), "mfence"), "clflush", 64, None, None),
    machine!("centaur-cns": "clwb", (None, "sfence"), "clflushopt", 64, None, None),
    machine!("zhaoxin-kaixian-kx-6000g": "clflush", (Some("mfence"), "mfence"), "clflush", 64, None, None),
    machine!("zhaoxin-kaisheng-kh-40000-16": "clflush", (Some("mfence"), "mfence"), "clflush", 64, None, None),
    // ---- Guests and root partitions ----
    machine!("amd-epyc-9xx4-kvm-guest": "clwb", (None, "sfence"), "clflushopt", 64, Some("KVMKVMKVM"), None),
    machine!("intel-core-i7-6700t-kvm-guest": "clflushopt", (None, "sfence"), "clflushopt", 64, Some("KVMKVMKVM"), None),
    machine!("intel-xeon-d-1718t-hyper-v-root": "clwb", (None, "sfence"), "clflushopt", 64, Some("Microsoft Hv"), None),
    machine!("intel-core-i7-11700k-hyper-v-root": "clflushopt", (None, "sfence"), "clflushopt", 64, Some("Microsoft Hv"), None),
    machine!("amd-athlon-5370-hyper-v-root": "clflush", (Some("mfence"), "mfence"), "clflush", 64, Some("Microsoft Hv"), None),
    machine!("intel-xeon-e5-2670-v3-vmware-guest": "clflush", (None, "sfence"), "clflush", 64, Some("VMwareVMware"), None),
    machine!("intel-xeon-e5-2676-v3-xen-guest": "clflush", (None, "sfence"), "clflush", 64, Some("XenVMMXenVMM"), None),
    machine!("intel-core-i7-2630qm-hyper-v-root": "clflush", (None, "sfence"), "clflush", 64, Some("Microsoft Hv"), None),
    machine!("intel-core-i7-6600u-hyper-v-root": "clflushopt", (None, "sfence"), "clflushopt", 64, Some("Microsoft Hv"), None),
    machine!("amd-ryzen-9-3950x-wsl-2-under-hyper-v": "clwb", (None, "sfence"), "clflushopt", 64, Some("Microsoft Hv"), None),
    machine!("intel-xeon-platinum-8370c-azure-f72s-v2-under-hyper-v": "clflushopt", (None, "sfence"), "clflushopt", 64, Some("Microsoft Hv"), None),
    machine!("intel-tdx-guest-on-azure-hyper-v": "clwb", (None, "sfence"), "clflushopt", 64, Some("Microsoft Hv"), Some("TDX")),
    machine!("amd-epyc-firecracker-microvm-with-template-t2a-kvm": "clflush", (Some("mfence"), "mfence"), "clflush", 64, Some("KVMKVMKVM"), None),
    machine!("amd-ryzen-9-3950x-virtualbox-with-its-hyper-v-interface": "clflush", (Some("mfence"), "mfence"), "clflush", 64, Some("VBoxVBoxVBox"), None),
    machine!("amd-ryzen-9-3950x-virtualbox-with-its-kvm-interface": "clflush", (Some("mfence"), "mfence"), "clflush", 64, Some("KVMKVMKVM"), None),
    machine!("intel-core-i7-6600u-vmware-guest": "clflushopt", (None, "sfence"), "clflushopt", 64, Some("VMwareVMware"), None),
    machine!("intel-xeon-e5-2676-v3-ec2-t2-micro-xen": "clflush", (None, "sfence"), "clflush", 64, Some("XenVMMXenVMM"), None),
    machine!("qemu-7-2-tcg-cpu-model-qemu64": "clflush", (Some("mfence"), "mfence"), "clflush", 64, Some("TCGTCGTCGTCG"), None),
    machine!("qemu-7-2-tcg-cpu-model-max": "clwb", (None, "sfence"), "clflushopt", 64, Some("TCGTCGTCGTCG"), None),
    machine!("amd-sev-snp-guest-under-qemu-and-kvm": "clwb", (None, "sfence"), "clflushopt", 64, Some("KVMKVMKVM"), None),
    machine!("intel-tdx-guest-under-kvm": "clwb", (None, "sfence"), "clflushopt", 64, Some("KVMKVMKVM"), Some("TDX")),
];

#[test]
fn a_dump_is_read_as_it_was_printed() {
    const DUMP: &str = "# Some CPU\n# Recorded: a: b\nCPU 0:\n   0x80000008 0x01: eax=0x00003024 \
                        ebx=0xffffffff ecx=0x00000000 edx=0x00000abc\n# 0x1 in a comment\n";
    assert_eq!(rows(DUMP), 1);
    assert_eq!(read(DUMP), [(0x8000_0008, 1, [0x3024, u32::MAX, 0, 0xabc])]);
    let (name, rest) = first_line(DUMP);
    assert_eq!((name, at_colon(first_line(rest).0)), ("Some CPU", ("Recorded", "a: b")));
}
