//! The targets and CPU models whose user mode is emulated.

use core::ops::RangeInclusive;

use super::programs::Scope;
use lose_lines::emulator::CURRENT;

/// An emulated CPU, as QEMU names it, and the name of its expectation.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) cpu: &'static str,
    pub(super) expected: &'static str,
    /// The tests that run on the model. Without a scope only the report is checked: the emulator lacks an instruction
    /// that the model announces.
    pub(super) scope: Option<Scope>,
    /// True if its lane runs only when asked for.
    pub(super) is_long: bool,
}

impl Model {
    const fn new(cpu: &'static str, expected: &'static str) -> Self {
        Self { cpu, expected, scope: Some(Scope::Model), is_long: false }
    }

    /// Returns the model as the one that represents its architecture.
    const fn of_architecture(self) -> Self {
        Self { scope: Some(Scope::Architecture), ..self }
    }

    /// Returns the model as the one that represents its architecture in a whole run alone.
    const fn sample(self) -> Self {
        Self { scope: Some(Scope::Sample), ..self }
    }

    /// Returns the model as the one that represents an order of bytes.
    const fn of_big_endian(self) -> Self {
        Self { scope: Some(Scope::BigEndian), ..self }
    }

    const fn report_alone(self) -> Self {
        Self { scope: None, ..self }
    }

    const fn long(self) -> Self {
        Self { is_long: true, ..self }
    }
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) triple: &'static str,
    pub(super) debian_arch: &'static str,
    /// True if machines, or this one, run the same test programs, which are then linked statically.
    pub(super) is_static: bool,
    /// The tools needed if this is not the host's own architecture.
    pub(super) cross: Option<Cross>,
    pub(super) emulator: &'static str,
    /// The versions of QEMU that are right about this architecture.
    pub(super) versions: RangeInclusive<u32>,
    pub(super) models: &'static [Model],
}

/// The means to make programs for another architecture than the host's.
#[derive(Debug)]
pub(super) struct Cross {
    /// GNU's name of the architecture: `aarch64-linux-gnu`.
    pub(super) gnu: &'static str,
    /// True if the standard library is built, and linked without a C compiler, when one of the two is unavailable.
    pub(super) builds_std: bool,
}

impl Cross {
    const fn new(gnu: &'static str) -> Self {
        Self { gnu, builds_std: false }
    }

    /// Returns the C compiler that links.
    pub(super) fn linker(&self) -> String {
        format!("{}-gcc", self.gnu)
    }

    /// Returns the packages with that compiler and its library.
    pub(super) fn packages(&self, debian_arch: &str) -> [String; 2] {
        [format!("gcc-{}", self.gnu), format!("libc6-dev-{debian_arch}-cross")]
    }

    /// Returns the folder of the foreign C library, for the emulator. A static program does not use it.
    pub(super) fn sysroot(&self) -> String {
        format!("/usr/{}", self.gnu)
    }
}

/// Returns `max`, and the same without some feature bits. QEMU raises #UD for an instruction whose CPUID bit is off,
/// and its models named after real CPUs lack CLWB and CLFLUSHOPT even where the silicon has them.
const fn x86() -> [Model; 5] {
    [
        Model::new("max", "x86-max"),
        Model::new("max,-clwb", "x86-max-no-clwb"),
        Model::new("max,-clwb,-clflushopt", "x86-max-no-clflushopt"),
        // Features of AMD's alone contradict the name of Intel.
        Model::new(
            "max,vendor=GenuineIntel,-svm,-sse4a,-clwb,-clflushopt",
            "x86-max-intel-no-clflushopt",
        ),
        Model::new("max,-clwb,-clflushopt,-clflush", "x86-max-no-clflush"),
    ]
}

/// Returns the same for words of 32 bits. Both choose by the same code, and every test runs with such words on this CPU.
const fn x86_of_32_bits() -> [Model; 5] {
    let [max, no_clwb, no_clflushopt, intel, no_clflush] = x86();
    [max, no_clwb.long(), no_clflushopt.long(), intel.long(), no_clflush.long()]
}

const ARM64: &[Model] = &[
    Model::new("cortex-a53", "arm64-cortex-a53"),
    Model::new("cortex-a72", "arm64-cortex-a72"),
    Model::new("neoverse-n1", "arm64-neoverse-n1"),
    Model::new("a64fx", "arm64-a64fx"),
    Model::new("neoverse-v1", "arm64-neoverse-v1").of_architecture(),
    Model::new("max", "arm64-max"),
];

pub(super) const TARGETS: [Target; 10] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        debian_arch: "amd64",
        is_static: true,
        cross: None,
        emulator: "qemu-x86_64",
        // 7.2 maps over a range that MAP_FIXED_NOREPLACE must keep.
        versions: CURRENT..=u32::MAX,
        models: &x86(),
    },
    Target {
        triple: "i686-unknown-linux-gnu",
        debian_arch: "i386",
        is_static: true,
        cross: Some(Cross::new("i686-linux-gnu")),
        emulator: "qemu-i386",
        // As above. Besides, a program that faults on a file that was cut does not end.
        versions: CURRENT..=u32::MAX,
        models: &x86_of_32_bits(),
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        debian_arch: "arm64",
        is_static: false,
        cross: Some(Cross::new("aarch64-linux-gnu")),
        emulator: "qemu-aarch64",
        // 7.2 announces CVAP and CVADP on models where they then trap.
        versions: CURRENT..=u32::MAX,
        models: ARM64,
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        debian_arch: "armhf",
        is_static: false,
        cross: Some(Cross::new("arm-linux-gnueabihf")),
        emulator: "qemu-arm",
        versions: 7..=u32::MAX,
        // It has no operation. Words of 32 bits are tried on this CPU.
        models: &[Model::new("cortex-a15", "armv7-cortex-a15").sample().long()],
    },
    Target {
        triple: "riscv64gc-unknown-linux-gnu",
        debian_arch: "riscv64",
        is_static: true,
        cross: Some(Cross::new("riscv64-linux-gnu")),
        emulator: "qemu-riscv64",
        // 7.2 does not know Zicbom; 11 announces it to programs and raises SIGILL when they use it.
        versions: CURRENT..=CURRENT,
        models: &[
            // In a whole run the machine of this architecture runs the other tests, under a kernel that announces Zicbom.
            Model::new("rv64,zicbom=true", "riscv64-kernel-does-not-tell"),
            Model::new("rv64,zicbom=false", "riscv64-kernel-does-not-tell"),
        ],
    },
    Target {
        triple: "powerpc64le-unknown-linux-gnu",
        debian_arch: "ppc64el",
        is_static: false,
        cross: Some(Cross::new("powerpc64le-linux-gnu")),
        emulator: "qemu-ppc64le",
        versions: 7..=u32::MAX,
        models: &[
            Model::new("power8", "powerpc64le-power8").sample(),
            Model::new("power9", "powerpc64le-power9"),
            Model::new("power10", "powerpc64le-power10").report_alone(),
        ],
    },
    // The order of bytes of this one and the next is that of s390x, and the instructions are those of the one before.
    Target {
        triple: "powerpc64-unknown-linux-gnu",
        debian_arch: "ppc64",
        is_static: false,
        cross: Some(Cross::new("powerpc64-linux-gnu")),
        emulator: "qemu-ppc64",
        versions: 7..=u32::MAX,
        models: &[Model::new("power7", "powerpc64-power7").of_architecture().long()],
    },
    Target {
        triple: "powerpc-unknown-linux-gnu",
        debian_arch: "powerpc",
        is_static: false,
        cross: Some(Cross::new("powerpc-linux-gnu")),
        emulator: "qemu-ppc",
        versions: 7..=u32::MAX,
        models: &[Model::new("7457", "powerpc-7457").sample().long()],
    },
    Target {
        triple: "s390x-unknown-linux-gnu",
        debian_arch: "s390x",
        is_static: false,
        cross: Some(Cross::new("s390x-linux-gnu")),
        emulator: "qemu-s390x",
        versions: 7..=u32::MAX,
        models: &[Model::new("max", "s390x-max").of_big_endian()],
    },
    // Not every mirror of rustup's has its standard library, and few releases of Debian have a compiler
    // for it; building the library takes minutes.
    Target {
        triple: "loongarch64-unknown-linux-gnu",
        debian_arch: "loong64",
        is_static: false,
        cross: Some(Cross { gnu: "loongarch64-linux-gnu", builds_std: true }),
        emulator: "qemu-loongarch64",
        versions: CURRENT..=u32::MAX,
        models: &[Model::new("la464", "loongarch64-la464").of_architecture().long()],
    },
];
