//! The targets and CPU models whose user mode is emulated.

use core::ops::RangeInclusive;

use super::programs::Scope;
use lose_lines_machine::emulator::CURRENT;

/// An emulated CPU, as QEMU names it, and the name of its expectation.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) cpu: &'static str,
    pub(super) expected: &'static str,
    /// The tests that run on the model. Without a scope only the report is checked: the emulator lacks an instruction
    /// that the model announces.
    pub(super) scope: Option<Scope>,
}

impl Model {
    const fn new(cpu: &'static str, expected: &'static str) -> Self {
        Self { cpu, expected, scope: Some(Scope::Instructions) }
    }

    /// Returns the model as the one that represents its architecture, or an order of bytes.
    const fn with_everything(self) -> Self {
        Self { scope: Some(Scope::Everything), ..self }
    }

    const fn report_alone(self) -> Self {
        Self { scope: None, ..self }
    }
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) triple: &'static str,
    pub(super) debian_arch: &'static str,
    /// GNU's name of the architecture, by which the cross tools are named.
    pub(super) gnu: &'static str,
    pub(super) emulator: &'static str,
    /// The versions of QEMU that are right about this architecture.
    pub(super) versions: RangeInclusive<u32>,
    pub(super) models: &'static [Model],
}

/// QEMU raises #UD for an instruction whose CPUID bit is off, and its models named after real CPUs lack CLWB and
/// CLFLUSHOPT even where the silicon has them. Features of AMD's alone contradict the name of Intel.
const X86: &[Model] = &[
    Model::new("max", "x86-max"),
    Model::new("max,-clwb", "x86-max-no-clwb"),
    Model::new("max,-clwb,-clflushopt", "x86-max-no-clflushopt"),
    Model::new(
        "max,vendor=GenuineIntel,-svm,-sse4a,-clwb,-clflushopt",
        "x86-max-intel-no-clflushopt",
    ),
    Model::new("max,-clwb,-clflushopt,-clflush", "x86-max-no-clflush"),
];

const ARM64: &[Model] = &[
    Model::new("cortex-a53", "arm64-cortex-a53"),
    Model::new("cortex-a72", "arm64-cortex-a72"),
    Model::new("neoverse-n1", "arm64-neoverse-n1"),
    Model::new("a64fx", "arm64-a64fx"),
    Model::new("neoverse-v1", "arm64-neoverse-v1").with_everything(),
    Model::new("max", "arm64-max"),
];

/// Words of 32 bits, whose programs run on this CPU: no emulator is as fast.
pub(super) const I686: Target = Target {
    triple: "i686-unknown-linux-gnu",
    debian_arch: "i386",
    gnu: "i686-linux-gnu",
    emulator: "qemu-i386",
    versions: CURRENT..=u32::MAX,
    models: &[],
};

pub(super) const TARGETS: [Target; 10] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        debian_arch: "amd64",
        gnu: "x86_64-linux-gnu",
        emulator: "qemu-x86_64",
        // 7.2 maps over a range that MAP_FIXED_NOREPLACE must keep.
        versions: CURRENT..=u32::MAX,
        models: X86,
    },
    I686,
    Target {
        triple: "aarch64-unknown-linux-gnu",
        debian_arch: "arm64",
        gnu: "aarch64-linux-gnu",
        emulator: "qemu-aarch64",
        // 7.2 announces CVAP and CVADP on models where they then trap.
        versions: CURRENT..=u32::MAX,
        models: ARM64,
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        debian_arch: "armhf",
        gnu: "arm-linux-gnueabihf",
        emulator: "qemu-arm",
        versions: 7..=u32::MAX,
        models: &[Model::new("cortex-a15", "armv7-cortex-a15")],
    },
    Target {
        triple: "riscv64gc-unknown-linux-gnu",
        debian_arch: "riscv64",
        gnu: "riscv64-linux-gnu",
        emulator: "qemu-riscv64",
        // 7.2 does not know Zicbom; 11 announces it to programs and raises SIGILL when they use it.
        versions: CURRENT..=CURRENT,
        models: &[
            Model::new("rv64,zicbom=true", "riscv64-kernel-does-not-tell"),
            Model::new("rv64,zicbom=false", "riscv64-kernel-does-not-tell"),
        ],
    },
    Target {
        triple: "powerpc64le-unknown-linux-gnu",
        debian_arch: "ppc64el",
        gnu: "powerpc64le-linux-gnu",
        emulator: "qemu-ppc64le",
        versions: 7..=u32::MAX,
        models: &[
            Model::new("power8", "powerpc64le-power8"),
            Model::new("power9", "powerpc64le-power9"),
            Model::new("power10", "powerpc64le-power10").report_alone(),
        ],
    },
    Target {
        triple: "powerpc64-unknown-linux-gnu",
        debian_arch: "ppc64",
        gnu: "powerpc64-linux-gnu",
        emulator: "qemu-ppc64",
        versions: 7..=u32::MAX,
        models: &[Model::new("power7", "powerpc64-power7")],
    },
    Target {
        triple: "powerpc-unknown-linux-gnu",
        debian_arch: "powerpc",
        gnu: "powerpc-linux-gnu",
        emulator: "qemu-ppc",
        versions: 7..=u32::MAX,
        models: &[Model::new("7457", "powerpc-7457")],
    },
    Target {
        triple: "s390x-unknown-linux-gnu",
        debian_arch: "s390x",
        gnu: "s390x-linux-gnu",
        emulator: "qemu-s390x",
        versions: 7..=u32::MAX,
        models: &[Model::new("max", "s390x-max").with_everything()],
    },
    Target {
        triple: "loongarch64-unknown-linux-gnu",
        debian_arch: "loong64",
        gnu: "loongarch64-linux-gnu",
        emulator: "qemu-loongarch64",
        versions: CURRENT..=u32::MAX,
        models: &[Model::new("la464", "loongarch64-la464")],
    },
];
