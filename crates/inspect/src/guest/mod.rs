//! The effects of a hypervisor and a confidential guest on cache maintenance: tables, as data.
//!
//! Three questions are answered for each kind of hypervisor. How does it handle an operation on the whole cache in the
//! guest's kernel (WBINVD on x86; clean and invalidate by set/way on arm64)? How does it handle an operation on a line?
//! Can the guest be moved to another machine while it runs? Each answer is a [`Statement`] with its source and
//! certainty. If a hypervisor's source is closed and its manuals do not say, the answer is "unknown".

mod signatures;

pub use signatures::HypervisorKind;

use cachemaint::report::{Confidential, CpuReport, Hypervisor, Isolation, Statement};

/// The handling of an operation that a guest executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Handling {
    /// The CPU executes it as without a hypervisor.
    Executed,
    /// The hypervisor traps it and emulates its effect.
    Emulated,
    /// The hypervisor traps it, and emulates its effect only under a condition.
    MayBeIgnored,
    /// The hypervisor traps it and does nothing.
    Ignored,
    /// The operation ends the guest's kernel.
    Fatal,
    /// No source says it.
    Unknown,
}

/// The possibility that a running system is moved to another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Migration {
    /// The system does not move.
    No,
    /// The operators of the system can move it.
    Possible,
    /// No source says it.
    Unknown,
}

/// The effects of the hypervisor and a confidential guest on cache maintenance.
///
/// Memory types are not covered: a hypervisor can make memory cacheable that the guest has mapped
/// non-cacheable (the guide's chapter *Rings, tables, guests and CXL memory*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Effects {
    /// The whole cache in the kernel: WBINVD, WBNOINVD and INVD on x86, set/way on arm64. Code may rely on it only if
    /// the [answer](Statement::answer) is [`Executed`](Handling::Executed), and then for each CPU separately.
    pub whole_cache: Statement<Handling>,
    /// Operations on lines, in user mode and in the kernel.
    pub lines: Statement<Handling>,
    /// The possibility that the facts in a report change while the program runs.
    pub migration: Statement<Migration>,
}

impl Effects {
    /// Returns the effects on the CPU of a report.
    ///
    /// ```
    /// use cachemaint::report::CpuReport;
    /// use cachemaint_inspect::guest::{Effects, Handling};
    /// let whole_cache = Effects::of(&CpuReport::host()).whole_cache;
    /// if whole_cache.answer != Handling::Executed {
    ///     println!("do not rely on WBINVD: {} ({})", whole_cache.text, whole_cache.source);
    /// }
    /// ```
    #[must_use]
    pub fn of(cpu: &CpuReport) -> Self {
        Self::under(cpu, HypervisorKind::of(&cpu.hypervisor))
    }

    /// Returns the effects if the hypervisor is known from elsewhere, as on arm64 from its operator or from
    /// `systemd-detect-virt`.
    #[must_use]
    pub fn under(cpu: &CpuReport, kind: Option<HypervisorKind>) -> Self {
        match cpu.architecture {
            "x86" | "x86_64" => on_x86(cpu.hypervisor, kind, cpu.confidential),
            "aarch64" => on_arm64(kind),
            _ => Self { whole_cache: NO_OPERATION, lines: NO_WORD, migration: migration(kind) },
        }
    }
}

fn on_x86(
    hypervisor: Hypervisor,
    kind: Option<HypervisorKind>,
    confidential: Confidential,
) -> Effects {
    // WBINVD is fatal in TDX, so one sign of TDX is enough.
    if (hypervisor, kind) == (Hypervisor::Absent, None) && confidential != Confidential::Tdx {
        return BARE_X86;
    }
    let is_root = matches!(hypervisor, Hypervisor::Present { is_root: true, .. });
    let of_kind = x86(kind, is_root);
    Effects {
        whole_cache: confidential_whole_cache(confidential).unwrap_or(of_kind.whole_cache),
        lines: confidential_lines(confidential).unwrap_or(of_kind.lines),
        migration: of_kind.migration,
    }
}

const INTEL_AND_AMD: &str = "Intel SDM vol. 2, WBINVD; AMD APM vol. 3, WBINVD";

const BARE_X86: Effects = Effects {
    whole_cache: Statement::documented(
        Handling::Executed,
        "WBINVD is privileged (#GP in user mode); no hypervisor is visible, so each CPU executes it \
         on its own caches",
        INTEL_AND_AMD,
    ),
    lines: X86_LINES,
    migration: Statement::assumed(
        Migration::No,
        "no hypervisor is visible, and a physical machine does not move",
        "CPUID.1:ECX[31]",
    ),
};

const X86_LINES: Statement<Handling> = Statement::documented(
    Handling::Executed,
    "clflush, clflushopt and clwb cause no VM exit: the CPU executes them in the guest itself",
    "Intel SDM vol. 3C, \"Instructions That Cause VM Exits\"; AMD APM vol. 2, \"Instruction \
     Intercepts\": neither lists them",
);

/// Returns the table for x86.
fn x86(kind: Option<HypervisorKind>, is_root: bool) -> Effects {
    use HypervisorKind as Kind;
    let whole_cache = match kind {
        Some(Kind::Kvm) => Statement::read(
            Handling::MayBeIgnored,
            "WBINVD is privileged, and KVM ignores it unless it has assigned a \
             device that does not snoop the caches",
            "Linux arch/x86/kvm/x86.c, kvm_emulate_wbinvd_noskip and need_emulate_wbinvd",
        ),
        Some(Kind::Xen) => Statement::read(
            Handling::MayBeIgnored,
            "WBINVD is privileged, and Xen ignores it unless the guest has I/O \
             resources of its own and the IOMMU does not snoop the caches",
            "Xen xen/arch/x86/hvm/vmx/vmx.c, vmx_wbinvd_intercept",
        ),
        Some(Kind::Acrn) => Statement::read(
            Handling::Emulated,
            "WBINVD is privileged, and ACRN does it for the guest: the whole cache, \
             or the guest's memory line by line where a real-time guest must not be disturbed",
            "ACRN hypervisor/arch/x86/guest/vmexit.c, wbinvd_vmexit_handler",
        ),
        Some(Kind::Tcg) => Statement::read(
            Handling::Ignored,
            "WBINVD is privileged, and QEMU's emulation has no caches: in this \
             guest it does nothing",
            "QEMU target/i386/tcg/translate.c, wbinvd: nothing to do",
        ),
        Some(Kind::Translator) => Statement::assumed(
            Handling::Unknown,
            "WBINVD is privileged, and translators execute programs, not kernels",
            "none found in the documentation of the translators",
        ),
        Some(Kind::HyperV) if is_root => Statement::assumed(
            Handling::Unknown,
            "WBINVD is privileged, and its handling by the hypervisor under this root \
             partition is not documented",
            "the Hyper-V Top Level Functional Specification does not mention it",
        ),
        Some(Kind::HyperV) => Statement::assumed(
            Handling::Unknown,
            "WBINVD is privileged, and its effect in a guest of Hyper-V is not \
             documented",
            "the Hyper-V Top Level Functional Specification does not mention it",
        ),
        _ => Statement::assumed(
            Handling::Unknown,
            "WBINVD is privileged, and this hypervisor may ignore it",
            "none found; Linux arch/x86/mm/pat/set_memory.c trusts it under no hypervisor",
        ),
    };
    let lines = match kind {
        Some(Kind::Tcg) => Statement::read(
            Handling::Ignored,
            "QEMU's emulation has no caches: instructions on lines do nothing, and prove nothing",
            "QEMU target/i386/tcg/translate.c: no cache is modelled",
        ),
        Some(Kind::Translator) => Statement::assumed(
            Handling::Unknown,
            "a translator replaces instructions on lines by its own, which no manual describes",
            "FEX pull request 2330: clwb is dc cvac; Box64 src/dynarec/arm64/dynarec_arm64_660f.c: CLWB",
        ),
        None => Statement::assumed(
            Handling::Unknown,
            "a hypervisor cannot trap instructions on lines, but this one is unknown: it can be an emulator, which \
             may do anything",
            "none found; Intel SDM vol. 3C, \"Instructions That Cause VM Exits\", is about hypervisors",
        ),
        _ => X86_LINES,
    };
    let migration = if is_root { ROOT_STAYS } else { migration(kind) };
    Effects { whole_cache, lines, migration }
}

const ROOT_STAYS: Statement<Migration> = Statement::assumed(
    Migration::No,
    "a root partition owns the machine, so it stays on it",
    "Hyper-V Top Level Functional Specification, \"Partition Privilege Flags\"",
);

/// Returns the handling of WBINVD in a confidential guest, if this is or may be one.
fn confidential_whole_cache(confidential: Confidential) -> Option<Statement<Handling>> {
    const KILLED: Statement<Handling> = Statement::read(
        Handling::Fatal,
        "WBINVD is privileged, and in a TDX guest it raises #VE, which kills a \
         Linux kernel",
        "Linux Documentation/arch/x86/tdx.rst; arch/x86/coco/tdx/tdx.c, virt_exception_kernel",
    );
    const REQUEST: Statement<Handling> = Statement::read(
        Handling::MayBeIgnored,
        "WBINVD is privileged, and in an SEV-SNP guest it is a request that the \
         hypervisor may ignore",
        "Linux arch/x86/coco/sev, SVM_EXIT_WBINVD in the #VC handler",
    );
    Some(match confidential {
        Confidential::Tdx
        | Confidential::HyperV { isolation: Isolation::Tdx, paravisor: false, .. } => KILLED,
        Confidential::HyperV { isolation: Isolation::SevSnp, paravisor: false, .. } => REQUEST,
        Confidential::HyperV { .. } => Statement::assumed(
            Handling::Unknown,
            "WBINVD is privileged, and its effect under the paravisor or the \
             hypervisor of this isolated guest is not documented",
            "none found",
        ),
        // The CPU does not show whether SEV is on. Encrypted registers (ES, SNP) make the difference.
        Confidential::SevOffered { .. } => Statement::read(
            Handling::MayBeIgnored,
            "WBINVD is privileged, and in an SEV guest, which this may be, it is a \
             request that the host may ignore",
            "Linux arch/x86/coco/sev, SVM_EXIT_WBINVD in the #VC handler; arch/x86/kvm/x86.c",
        ),
        _ => return None,
    })
}

/// Returns the effect of memory encryption on operations on lines.
fn confidential_lines(confidential: Confidential) -> Option<Statement<Handling>> {
    let Confidential::SevOffered { coherent: false, .. } = confidential else { return None };
    Some(Statement::documented(
        Handling::Executed,
        "the CPU executes them; with SEV on, caches do not keep encrypted and plain mappings of one \
         page coherent here: write back through the mapping that was written",
        "AMD APM vol. 3, CPUID Fn8000_001F EAX[10]",
    ))
}

/// Returns the statement on moving a running guest of this hypervisor.
fn migration(kind: Option<HypervisorKind>) -> Statement<Migration> {
    use HypervisorKind as Kind;
    let possible = |source| {
        Statement::documented(
            Migration::Possible,
            "its operator can move this guest while it runs: an instruction that was found may be missing on the \
             next host, unless all hosts report the same CPU",
            source,
        )
    };
    match kind {
        Some(Kind::Kvm | Kind::Tcg) => {
            possible("QEMU docs/system/cpu-models-x86.rst.inc: live migration and CPU models")
        }
        Some(Kind::HyperV) => {
            possible("Microsoft, \"Processor compatibility mode\" and \"Live Migration\"")
        }
        Some(Kind::Vmware) => possible("VMware, \"Enhanced vMotion Compatibility\""),
        Some(Kind::Xen) => possible("Xen docs/man/xl.1.pod.in, migrate"),
        Some(Kind::VirtualBox) => possible("VirtualBox User Manual, \"Teleporting\""),
        _ => Statement::assumed(
            Migration::Unknown,
            "it is unknown whether this system can be moved to another machine while it runs",
            "none found",
        ),
    }
}

/// Returns the table for arm64.
fn on_arm64(kind: Option<HypervisorKind>) -> Effects {
    let (whole_cache, lines) = match kind {
        Some(HypervisorKind::Kvm) => (
            Statement::read(
                Handling::MayBeIgnored,
                "KVM traps set/way operations of its guests: it cleans and invalidates all the guest's \
                 memory instead, or does nothing on CPUs with FEAT_S2FWB",
                "Linux arch/arm64/kvm/sys_regs.c, access_dcsw",
            ),
            Statement::read(
                Handling::Executed,
                "KVM does not trap operations on lines: the CPU executes them",
                "Linux arch/arm64/include/asm/kvm_arm.h: HCR_GUEST_FLAGS without TPCP and TPU",
            ),
        ),
        _ => (
            Statement::documented(
                Handling::Unknown,
                "set/way operations reach only the caches of one CPU, and a hypervisor may trap them",
                "Arm ARM (DDI 0487), DC CISW; HCR_EL2.TSW",
            ),
            Statement::documented(
                Handling::Unknown,
                "a hypervisor may trap operations on lines (HCR_EL2.TPCP); the \
                 effect is not specified",
                "Arm ARM (DDI 0487), HCR_EL2.TPCP",
            ),
        ),
    };
    Effects { whole_cache, lines, migration: migration(kind) }
}

const NO_OPERATION: Statement<Handling> = Statement::assumed(
    Handling::Unknown,
    "this crate knows no whole-cache operation for this architecture",
    "none found",
);

const NO_WORD: Statement<Handling> = Statement::assumed(
    Handling::Unknown,
    "this crate does not know the effect of operations on lines under a hypervisor for this architecture",
    "none found",
);

#[cfg(test)]
mod tests {
    use super::{
        Confidential, Handling, Hypervisor, HypervisorKind, Migration, on_arm64, on_x86, x86,
    };
    use cachemaint::report::Certainty;

    /// Code can rely on the whole cache only if nothing intercepts it.
    #[test]
    fn whole_cache_operations_are_executed_on_bare_metal_alone() {
        let bare = on_x86(Hypervisor::Absent, None, Confidential::Unknown);
        assert_eq!(
            (bare.whole_cache.answer, bare.migration.answer),
            (Handling::Executed, Migration::No)
        );
        let hidden_tdx = on_x86(Hypervisor::Absent, None, Confidential::Tdx);
        assert_eq!(hidden_tdx.whole_cache.answer, Handling::Fatal);
        for (kind, answer) in [
            (HypervisorKind::Kvm, Handling::MayBeIgnored),
            (HypervisorKind::Xen, Handling::MayBeIgnored),
            (HypervisorKind::Acrn, Handling::Emulated),
            (HypervisorKind::Tcg, Handling::Ignored),
            (HypervisorKind::Vmware, Handling::Unknown),
            (HypervisorKind::HyperV, Handling::Unknown),
        ] {
            assert_eq!(x86(Some(kind), false).whole_cache.answer, answer, "{kind}");
        }
    }

    #[test]
    fn a_guest_that_can_be_moved_says_so() {
        let kvm = x86(Some(HypervisorKind::Kvm), false);
        assert_eq!(
            (kvm.lines.answer, kvm.lines.certainty),
            (Handling::Executed, Certainty::Documented)
        );
        assert_eq!(kvm.migration.answer, Migration::Possible);
        assert_eq!(x86(Some(HypervisorKind::HyperV), true).migration.answer, Migration::No);
        let translated = x86(Some(HypervisorKind::Translator), false);
        assert_eq!(translated.lines.answer, Handling::Unknown);
        assert_eq!(translated.migration.answer, Migration::Unknown);
    }

    /// No manual is about a program whose signature nobody knows: it can be an emulator.
    #[test]
    fn of_an_unknown_signature_nothing_is_documented() {
        let effects = x86(None, false);
        assert_eq!(effects.migration.answer, Migration::Unknown);
        for statement in [effects.lines, effects.whole_cache] {
            assert_eq!(
                (statement.answer, statement.certainty),
                (Handling::Unknown, Certainty::Assumed)
            );
        }
    }

    #[test]
    fn an_arm64_guest_is_known_once_its_hypervisor_is() {
        assert_eq!(on_arm64(None).lines.answer, Handling::Unknown);
        let kvm = on_arm64(Some(HypervisorKind::Kvm));
        assert_eq!(
            (kvm.lines.answer, kvm.migration.answer),
            (Handling::Executed, Migration::Possible)
        );
        assert!(kvm.whole_cache.text.contains("FEAT_S2FWB"));
    }
}
