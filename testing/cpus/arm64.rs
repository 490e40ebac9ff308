//! Identification registers and HWCAP words of known arm64 machines, and the expected conclusions.
//!
//! Pure data: detection is replayed on these values instead of on the CPU that runs the test.
//! [`Provenance::Recorded`] marks `MIDR_EL1` and `CTR_EL0` read on that machine;
//! [`Provenance::FromManual`] marks values of the core's technical reference manual (TRM), taken
//! where `source` says so from QEMU's model of the core, which follows the manual.
//!
//! `hwcap` and `hwcap2` hold only the bits that decide something here. Except on the QEMU machine
//! they are derived from the DPB field of `ID_AA64ISAR1_EL1` (bits \[3:0\], quoted in `source`;
//! absent before Armv8.2, then 0). Linux's rule (arch/arm64/kernel/cpufeature.c) is: DPB >= 1 sets
//! `HWCAP_DCPOP`, DPB >= 2 sets `HWCAP2_DCPODP`; `HWCAP_CPUID` is set by every Linux since 4.11.
//! Machines read under other systems are given the words that Linux would set.
//!
//! The expected values follow from the fields (Arm ARM DDI 0487, `CTR_EL0`): line is
//! 4 << `DminLine` (bits \[19:16\]), granule is 4 << CWG (bits \[27:24\]). Where CWG is 0 and the granule thus not
//! stated, it is the architecture's maximum of 2048.

/// `DC CVAP` is there (`FEAT_DPB`); Linux include/uapi/asm/hwcap.h.
const HWCAP_DCPOP: u64 = 1 << 16;
/// Identification registers may be read at EL0.
const HWCAP_CPUID: u64 = 1 << 11;
/// `DC CVADP` is there (`FEAT_DPB2`).
const HWCAP2_DCPODP: u64 = 1 << 0;

/// The origin of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// Read on the machine.
    Recorded,
    /// Taken from the manual of the core.
    FromManual,
}

/// One machine: its registers and the conclusions.
pub(crate) struct Machine {
    pub name: &'static str,
    pub provenance: Provenance,
    /// Public source of the values.
    pub source: &'static str,
    pub midr_el1: u64,
    pub ctr_el0: u64,
    /// `AT_HWCAP`.
    pub hwcap: u64,
    /// `AT_HWCAP2`.
    pub hwcap2: u64,
    /// Smallest data line in bytes.
    pub line: usize,
    /// Write-back granule in bytes.
    pub granule: usize,
    /// Write-back instruction to the point of coherency; none if user mode is refused.
    pub coherency: Option<&'static str>,
    /// Write-back instruction to the point of persistence.
    pub persistence: Option<&'static str>,
    /// Write-back instruction to the point of deep persistence.
    pub deep: Option<&'static str>,
}

/// The further words that a kernel reads on a machine, and the expected choices at EL1, where no kernel traps and
/// replaces an instruction.
pub(crate) struct AtEl1 {
    /// The machine among [`MACHINES`], whose source has the register.
    pub name: &'static str,
    pub id_aa64isar1_el1: u64,
    pub coherency: &'static str,
    pub persistence: Option<&'static str>,
    pub deep: Option<&'static str>,
}

/// A machine whose `ID_AA64ISAR1_EL1` reads as 0.
const BEFORE_ARMV8_2: AtEl1 =
    AtEl1 { name: "", id_aa64isar1_el1: 0, coherency: "dc cvac", persistence: None, deep: None };

/// The machines whose `ID_AA64ISAR1_EL1` is known; it is quoted in their `source`, and absent before
/// Armv8.2, where it reads as 0.
pub(crate) static AT_EL1: &[AtEl1] = &[
    // Erratum 855873.
    AtEl1 { name: "Arm Cortex-A53 r0p4", coherency: "dc civac", ..BEFORE_ARMV8_2 },
    // Errata 824069, 826319, 827319, 855873.
    AtEl1 { name: "Arm Cortex-A53 r0p2 (Snapdragon 810)", coherency: "dc civac", ..BEFORE_ARMV8_2 },
    AtEl1 { name: "Broadcom BCM2711 (Cortex-A72 r0p3), Raspberry Pi 4", ..BEFORE_ARMV8_2 },
    AtEl1 {
        name: "Fujitsu A64FX",
        id_aa64isar1_el1: 0x0000_0000_0001_0001,
        coherency: "dc cvac",
        persistence: Some("dc cvap"),
        deep: None,
    },
    AtEl1 {
        name: "Ampere Altra (Neoverse N1 r3p1)",
        id_aa64isar1_el1: 0x0000_0000_0010_0001,
        coherency: "dc cvac",
        persistence: Some("dc cvap"),
        deep: None,
    },
    AtEl1 {
        name: "AWS Graviton 3 (Neoverse V1 r1p1)",
        id_aa64isar1_el1: 0x0011_1000_0121_1032,
        coherency: "dc cvac",
        persistence: Some("dc cvap"),
        deep: Some("dc cvadp"),
    },
    AtEl1 {
        name: "Microsoft Cobalt 100 (Neoverse N2 r0p0), Azure guest",
        id_aa64isar1_el1: 0x0010_1111_0121_1052,
        coherency: "dc cvac",
        persistence: Some("dc cvap"),
        deep: Some("dc cvadp"),
    },
    AtEl1 {
        name: "Apple M1",
        id_aa64isar1_el1: 0x0000_0111_1021_1202,
        // DC CVAC does nothing there according to Apple's kernel; no source says that the others do more.
        coherency: "dc civac",
        persistence: None,
        deep: None,
    },
    AtEl1 {
        name: "Apple M1, Linux guest that sees no CPU",
        id_aa64isar1_el1: 0x0000_0111_1021_1202,
        // It is not known not to be Apple's.
        coherency: "dc civac",
        persistence: None,
        deep: None,
    },
];

/// A machine of Armv8.0 with lines of 64 bytes. It and the two below hold the values that most machines share.
const WITH_CVAC: Machine = Machine {
    name: "",
    provenance: Provenance::Recorded,
    source: "",
    midr_el1: 0,
    ctr_el0: 0,
    hwcap: HWCAP_CPUID,
    hwcap2: 0,
    line: 64,
    granule: 64,
    coherency: Some("dc cvac"),
    persistence: None,
    deep: None,
};
/// A machine with `FEAT_DPB`.
const WITH_CVAP: Machine =
    Machine { hwcap: HWCAP_CPUID | HWCAP_DCPOP, persistence: Some("dc cvap"), ..WITH_CVAC };
/// A machine with `FEAT_DPB2`.
const WITH_CVADP: Machine = Machine { hwcap2: HWCAP2_DCPODP, deep: Some("dc cvadp"), ..WITH_CVAP };

/// All machines.
pub(crate) static MACHINES: &[Machine] = &[
    // ---- Architecture values from the manuals ----
    Machine {
        name: "Arm Cortex-A53 r0p4",
        provenance: Provenance::FromManual,
        source: "QEMU target/arm/cpu64.c, aarch64_a53_initfn, after the Cortex-A53 TRM (Arm DDI 0500)",
        midr_el1: 0x410f_d034,
        ctr_el0: 0x8444_8004,
        // Erratum 855873: cleaned by clean-and-invalidate.
        coherency: Some("dc civac"),
        ..WITH_CVAC
    },
    Machine {
        name: "Arm Cortex-A53 r0p2 (Snapdragon 810)",
        provenance: Provenance::FromManual,
        source: "MIDR_EL1: MSM8994 in github.com/pytorch/cpuinfo src/arm/linux/midr.c; CTR_EL0: that of r0p4",
        // Errata 819472 (up to r0p1), 824069, 826319 and 827319 (up to r0p2): Linux traps DC CVAC
        // and DC CVAU from EL0 and runs DC CIVAC (arch/arm64/kernel/cpu_errata.c and traps.c,
        // user_cache_maint_handler). Code that runs without such a kernel must use DC CIVAC itself.
        midr_el1: 0x410f_d032,
        ctr_el0: 0x8444_8004,
        // Erratum 826319 and others: cleaned by clean-and-invalidate.
        coherency: Some("dc civac"),
        ..WITH_CVAC
    },
    Machine {
        name: "Arm Cortex-A57 r1p0",
        provenance: Provenance::FromManual,
        source: "QEMU target/arm/cpu64.c, aarch64_a57_initfn, after the Cortex-A57 TRM (Arm DDI 0488)",
        midr_el1: 0x411f_d070,
        ctr_el0: 0x8444_c004,
        ..WITH_CVAC
    },
    Machine {
        name: "Arm Cortex-A76 r4p1",
        provenance: Provenance::FromManual,
        source: "QEMU target/arm/tcg/cpu64.c, aarch64_a76_initfn, after the Cortex-A76 TRM (Arm 100798); ID_AA64ISAR1_EL1 = 0x0000_0000_0010_0001",
        midr_el1: 0x414f_d0b1,
        ctr_el0: 0x8444_c004,
        ..WITH_CVAP
    },
    Machine {
        name: "Arm Neoverse N1 r4p1",
        provenance: Provenance::FromManual,
        source: "QEMU target/arm/tcg/cpu64.c, aarch64_neoverse_n1_initfn, after the Neoverse N1 TRM (Arm 100616); ID_AA64ISAR1_EL1 = 0x0000_0000_0010_0001",
        midr_el1: 0x414f_d0c1,
        ctr_el0: 0x8444_c004,
        ..WITH_CVAP
    },
    Machine {
        name: "Arm Neoverse V1 r1p2",
        provenance: Provenance::FromManual,
        source: "QEMU target/arm/tcg/cpu64.c, aarch64_neoverse_v1_initfn, after the Neoverse V1 TRM (Arm 101427); ID_AA64ISAR1_EL1 = 0x0011_0000_0121_1032",
        // IDC and DIC set (CTR_EL0[28], [29]).
        midr_el1: 0x411f_d402,
        ctr_el0: 0xb444_c004,
        ..WITH_CVADP
    },
    Machine {
        name: "Arm Neoverse N2 r0p3",
        provenance: Provenance::FromManual,
        source: "QEMU target/arm/tcg/cpu64.c, aarch64_neoverse_n2_initfn, after the Neoverse N2 TRM (Arm 102099); ID_AA64ISAR1_EL1 = 0x0011_1111_0121_1052",
        // TminLine in CTR_EL0[37:32] (MTE): the register has more than 32 bits.
        midr_el1: 0x410f_d493,
        ctr_el0: 0x0004_b444_c004,
        ..WITH_CVADP
    },
    Machine {
        name: "Fujitsu A64FX",
        provenance: Provenance::FromManual,
        source: "QEMU target/arm/tcg/cpu64.c, aarch64_a64fx_initfn (A64FX); ID_AA64ISAR1_EL1 = 0x0000_0000_0001_0001",
        // 256-byte lines: a loop in steps of 64 would run each line four times.
        midr_el1: 0x461f_0010,
        ctr_el0: 0x8666_8006,
        line: 256,
        granule: 256,
        ..WITH_CVAP
    },
    // ---- Read on machines ----
    Machine {
        name: "Broadcom BCM2711 (Cortex-A72 r0p3), Raspberry Pi 4",
        provenance: Provenance::Recorded,
        source: "register dump in github.com/lelegard/arm-cpusysregs, collect/cortexa72-host-ubuntu; ID_AA64ISAR1_EL1 = 0",
        midr_el1: 0x410f_d083,
        ctr_el0: 0x8444_c004,
        ..WITH_CVAC
    },
    Machine {
        name: "Ampere Altra (Neoverse N1 r3p1)",
        provenance: Provenance::Recorded,
        source: "register dump in github.com/lelegard/arm-cpusysregs, collect/ampere-altra-host-ubuntu; ID_AA64ISAR1_EL1 = 0x0000_0000_0010_0001",
        // IDC set, unlike the reset value of the manual.
        midr_el1: 0x413f_d0c1,
        ctr_el0: 0x9444_c004,
        ..WITH_CVAP
    },
    Machine {
        name: "AWS Graviton 3 (Neoverse V1 r1p1)",
        provenance: Provenance::Recorded,
        source: "register dump in github.com/lelegard/arm-cpusysregs, collect/graviton3-host-amazonlinux; ID_AA64ISAR1_EL1 = 0x0011_1000_0121_1032",
        midr_el1: 0x411f_d401,
        ctr_el0: 0xb444_c004,
        ..WITH_CVADP
    },
    Machine {
        name: "Microsoft Cobalt 100 (Neoverse N2 r0p0), Azure guest",
        provenance: Provenance::Recorded,
        source: "register dump in github.com/lelegard/arm-cpusysregs, collect/cobalt100-vm-ubuntu; ID_AA64ISAR1_EL1 = 0x0010_1111_0121_1052",
        // No MTE in this guest, so no TminLine.
        midr_el1: 0x410f_d490,
        ctr_el0: 0xb444_c004,
        ..WITH_CVADP
    },
    Machine {
        name: "Apple M1",
        provenance: Provenance::Recorded,
        source: "register dump in github.com/lelegard/arm-cpusysregs, collect/applem1-host-macos (read at EL1 under macOS); ID_AA64ISAR1_EL1 = 0x0000_0111_1021_1202",
        midr_el1: 0x611f_0231,
        ctr_el0: 0x8444_8004,
        // macOS and m1n1 disable maintenance by address.
        coherency: None,
        persistence: None,
        deep: None,
        ..WITH_CVADP
    },
    Machine {
        name: "Apple M1, Linux guest",
        provenance: Provenance::Recorded,
        source: "register dump in github.com/lelegard/arm-cpusysregs, collect/applem1-vm-debian; ID_AA64ISAR1_EL1 = 0x0000_0111_1021_1202",
        midr_el1: 0x610f_0000,
        ctr_el0: 0x8444_c004,
        // macOS and m1n1 disable maintenance by address.
        coherency: None,
        persistence: None,
        deep: None,
        ..WITH_CVADP
    },
    Machine {
        name: "Apple M1, Linux guest that sees no CPU",
        provenance: Provenance::Recorded,
        source: "/proc/cpuinfo in docker/for-mac issue 6512: implementer 0x00, variant 0x0, part 0x000, revision 0, dcpop and dcpodp; CTR_EL0 and ID_AA64ISAR1_EL1 = 0x0000_0111_1021_1202 as in the other Linux guest",
        midr_el1: 0x000f_0000,
        ctr_el0: 0x8444_c004,
        // It is not known not to be Apple's.
        coherency: None,
        persistence: None,
        deep: None,
        ..WITH_CVADP
    },
    Machine {
        name: "Apple M3",
        provenance: Provenance::Recorded,
        source: "register dump in github.com/lelegard/arm-cpusysregs, collect/applem3-host-macos (read at EL1 under macOS); ID_AA64ISAR1_EL1 = 0x0010_1111_1021_1402",
        midr_el1: 0x612f_0430,
        ctr_el0: 0x9444_c004,
        // macOS and m1n1 disable maintenance by address.
        coherency: None,
        persistence: None,
        deep: None,
        ..WITH_CVADP
    },
    Machine {
        name: "QEMU 7.2 user-mode emulation, CPU model max",
        provenance: Provenance::Recorded,
        source: "recorded by this project with MRS and getauxval under QEMU 7.2.22 (qemu-aarch64 -cpu max); ID_AA64ISAR1_EL1 = 0x0011_1011_0121_1012",
        // CWG is 0 (not stated: 2 KiB assumed) and lines of 32 bytes.
        midr_el1: 0x000f_0510,
        ctr_el0: 0x8003_8003,
        line: 32,
        granule: 2048,
        ..WITH_CVADP
    },
];
