//! The library's tests and the command's report on CPUs that this machine does not have, under QEMU's
//! user emulation.
//!
//! The test programs are built once for each target. A lane runs on one model those of its [`Scope`], which must
//! pass. Of them, `chosen_here` executes what was chosen, so that an instruction which the model lacks ends it by
//! SIGILL, compares the choice with that of the model's [`Expectation`] (`CACHEMAINT_EXPECT`), and writes the report
//! (`CACHEMAINT_REPORT`), which must be as the expectation demands. An emulator has no caches: a lane
//! proves what is chosen and that it executes, never that data became durable.

use alloc::collections::BTreeMap;
use core::cell::RefCell;
use core::ops::RangeInclusive;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::expectation::{Expectation, FOLDER};
use super::kit::Architecture;
use super::programs::{Program, Programs, Scope};
use super::{Lab, Lane, Run, Unavailable};
use crate::command::{Cmd, find_program};
use crate::debian;
use crate::host::Host;
use crate::log::Log;
use crate::report::{Finding, Tests};
use crate::toolchain::{self, Compiler};

/// Seconds for one test program on one model.
const LIMIT: u32 = 900;
/// The emulators' version that is right about every target.
pub(super) const CURRENT: u32 = 10;

/// One emulated CPU, as QEMU takes it, and the name of its expectation.
#[derive(Debug)]
struct Model {
    cpu: &'static str,
    expected: &'static str,
    /// The tests that run on it; only the report if there are none, where the emulator lacks an instruction that the
    /// model announces.
    scope: Option<Scope>,
}

impl Model {
    const fn new(cpu: &'static str, expected: &'static str) -> Self {
        Self { cpu, expected, scope: Some(Scope::Model) }
    }

    /// The model that stands for its architecture.
    const fn of_architecture(self) -> Self {
        Self { scope: Some(Scope::Architecture), ..self }
    }

    /// The model that stands for a size or order of words, or an order of accesses.
    const fn of_words(self) -> Self {
        Self { scope: Some(Scope::Everything), ..self }
    }

    const fn report_alone(self) -> Self {
        Self { scope: None, ..self }
    }
}

#[derive(Debug)]
struct Target {
    triple: &'static str,
    debian_arch: &'static str,
    /// The architecture of the machines that run the same test programs, which are then linked statically.
    machines: Option<Architecture>,
    /// What is needed where this is not the host's own architecture.
    cross: Option<Cross>,
    emulator: &'static str,
    /// The versions of QEMU that are right about this architecture.
    versions: RangeInclusive<u32>,
    models: &'static [Model],
    /// Whether its lanes run only when asked for.
    is_long: bool,
}

/// What makes programs for another architecture than the host's.
#[derive(Debug)]
struct Cross {
    /// GNU's name of it: `aarch64-linux-gnu`.
    gnu: &'static str,
    /// Whether the standard library is built, and linked without a C compiler, where one of the two is
    /// not to be had.
    builds_std: bool,
}

impl Cross {
    const fn new(gnu: &'static str) -> Self {
        Self { gnu, builds_std: false }
    }

    /// The C compiler that links.
    fn linker(&self) -> String {
        format!("{}-gcc", self.gnu)
    }

    /// The packages with that compiler and its library.
    fn packages(&self, debian_arch: &str) -> [String; 2] {
        [format!("gcc-{}", self.gnu), format!("libc6-dev-{debian_arch}-cross")]
    }

    /// Where the foreign C library is, for the emulator. A static program asks nothing of it.
    fn sysroot(&self) -> String {
        format!("/usr/{}", self.gnu)
    }
}

/// `max` without some feature bits: QEMU raises #UD for an instruction whose CPUID bit is off, and
/// its models named after real CPUs lack CLWB and CLFLUSHOPT even where the silicon has them.
const X86: &[Model] = &[
    Model::new("max", "x86-max").of_architecture(),
    Model::new("max,-clwb", "x86-max-no-clwb"),
    Model::new("max,-clwb,-clflushopt", "x86-max-no-clflushopt"),
    Model::new("max,vendor=GenuineIntel,-clwb,-clflushopt", "x86-max-intel-no-clflushopt"),
    Model::new("max,-clwb,-clflushopt,-clflush", "x86-max-no-clflush"),
];

const ARM64: &[Model] = &[
    Model::new("cortex-a53", "arm64-cortex-a53").of_architecture(),
    Model::new("cortex-a72", "arm64-cortex-a72"),
    Model::new("neoverse-n1", "arm64-neoverse-n1"),
    Model::new("a64fx", "arm64-a64fx"),
    // Weakly ordered.
    Model::new("neoverse-v1", "arm64-neoverse-v1").of_words(),
    Model::new("max", "arm64-max"),
];

const TARGETS: [Target; 10] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        debian_arch: "amd64",
        machines: Some(Architecture::X86),
        cross: None,
        emulator: "qemu-x86_64",
        // 7.2 maps over what MAP_FIXED_NOREPLACE is to keep.
        versions: CURRENT..=u32::MAX,
        models: X86,
        is_long: false,
    },
    Target {
        triple: "i686-unknown-linux-gnu",
        debian_arch: "i386",
        machines: None,
        cross: Some(Cross::new("i686-linux-gnu")),
        emulator: "qemu-i386",
        // As above, and programs that fault on a file that was cut do not end.
        versions: CURRENT..=u32::MAX,
        models: X86,
        is_long: false,
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        debian_arch: "arm64",
        machines: None,
        cross: Some(Cross::new("aarch64-linux-gnu")),
        emulator: "qemu-aarch64",
        // 7.2 announces CVAP and CVADP on models where they then trap.
        versions: CURRENT..=u32::MAX,
        models: ARM64,
        is_long: false,
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        debian_arch: "armhf",
        machines: None,
        cross: Some(Cross::new("arm-linux-gnueabihf")),
        emulator: "qemu-arm",
        versions: 7..=u32::MAX,
        // Words of 32 bits.
        models: &[Model::new("cortex-a15", "armv7-cortex-a15").of_words()],
        is_long: false,
    },
    Target {
        triple: "riscv64gc-unknown-linux-gnu",
        debian_arch: "riscv64",
        machines: Some(Architecture::Riscv64),
        cross: Some(Cross::new("riscv64-linux-gnu")),
        emulator: "qemu-riscv64",
        // 7.2 knows no Zicbom; 11 announces it to programs and raises SIGILL when they use it.
        versions: CURRENT..=CURRENT,
        models: &[
            Model::new("rv64,zicbom=true", "riscv64-kernel-does-not-tell").of_architecture(),
            Model::new("rv64,zicbom=false", "riscv64-kernel-does-not-tell"),
        ],
        is_long: false,
    },
    Target {
        triple: "powerpc64le-unknown-linux-gnu",
        debian_arch: "ppc64el",
        machines: None,
        cross: Some(Cross::new("powerpc64le-linux-gnu")),
        emulator: "qemu-ppc64le",
        versions: 7..=u32::MAX,
        models: &[
            Model::new("power8", "powerpc64le-power8").of_architecture(),
            Model::new("power9", "powerpc64le-power9"),
            Model::new("power10", "powerpc64le-power10").report_alone(),
        ],
        is_long: false,
    },
    Target {
        triple: "powerpc64-unknown-linux-gnu",
        debian_arch: "ppc64",
        machines: None,
        cross: Some(Cross::new("powerpc64-linux-gnu")),
        emulator: "qemu-ppc64",
        versions: 7..=u32::MAX,
        models: &[Model::new("power7", "powerpc64-power7").of_architecture()],
        is_long: false,
    },
    Target {
        triple: "powerpc-unknown-linux-gnu",
        debian_arch: "powerpc",
        machines: None,
        cross: Some(Cross::new("powerpc-linux-gnu")),
        emulator: "qemu-ppc",
        versions: 7..=u32::MAX,
        models: &[Model::new("7457", "powerpc-7457").of_architecture()],
        is_long: false,
    },
    Target {
        triple: "s390x-unknown-linux-gnu",
        debian_arch: "s390x",
        machines: None,
        cross: Some(Cross::new("s390x-linux-gnu")),
        emulator: "qemu-s390x",
        versions: 7..=u32::MAX,
        // Big-endian.
        models: &[Model::new("max", "s390x-max").of_words()],
        is_long: false,
    },
    // Not every mirror of rustup's has its standard library, and few releases of Debian have a compiler
    // for it; building the library takes minutes.
    Target {
        triple: "loongarch64-unknown-linux-gnu",
        debian_arch: "loong64",
        machines: None,
        cross: Some(Cross { gnu: "loongarch64-linux-gnu", builds_std: true }),
        emulator: "qemu-loongarch64",
        versions: CURRENT..=u32::MAX,
        models: &[Model::new("la464", "loongarch64-la464").of_architecture()],
        is_long: true,
    },
];

/// What one would ask of these CPUs and user emulation cannot show: a name, the claim, the reason.
const OUT_OF_REACH: [[&str; 3]; 4] = [
    [
        "cpu/qemu-aarch64/traps",
        "dc cvac works where Linux traps it (Cortex-A53 before r0p3)",
        "user emulation runs no kernel of the guest's that could trap, and its Cortex-A53 is an r0p4",
    ],
    [
        "cpu/qemu-riscv64/hwprobe",
        "Zicbom is found by riscv_hwprobe",
        "measured: QEMU 10 executes cbo.clean in user emulation, and its riscv_hwprobe does not tell \
         of it; QEMU 11 tells of it and raises SIGILL",
    ],
    [
        "cpu/qemu-ppc64le/persistent-storage",
        "dcbstps and dcbfps execute",
        "measured: QEMU 10.0 and 11.1 raise SIGILL at both on every model, also on POWER10, which has \
         them",
    ],
    ["cpu/all/caches", "what was written back is in memory", "an emulator has no caches"],
];

pub(super) fn lanes() -> Vec<Lane> {
    let models =
        TARGETS.iter().flat_map(|target| target.models.iter().map(move |model| (target, model)));
    let out_of_reach = OUT_OF_REACH.into_iter().map(|[name, proves, reason]| {
        Lane::new(name, proves, move |_lab| Err(Unavailable::because(anyhow!(reason)).into()))
    });
    models.map(|(target, model)| lane(target, model)).chain(out_of_reach).collect()
}

fn lane(target: &'static Target, model: &'static Model) -> Lane {
    let name = format!("cpu/{}/{}", target.emulator, model.cpu);
    let proves = match model.scope {
        Some(_) => "the tests pass, the report is as in",
        None => "the report is as in",
    };
    let proves = format!("{proves} {FOLDER}/{}.json", model.expected);
    let lane = Lane::new(name.clone(), proves, move |lab| prepare(lab, &name, target, model));
    if target.is_long { lane.long() } else { lane }
}

fn prepare(
    lab: &Lab<'_>,
    name: &str,
    target: &'static Target,
    model: &'static Model,
) -> Result<Run> {
    let expectation = Expectation::read(lab.tree(), model.expected)?;
    let choice = expectation.choice().with_context(|| model.expected)?;
    let ready = lab.ready(target)?;
    let programs = ready.test_programs(lab, model.scope.unwrap_or(Scope::Model))?;
    let written = report_file(lab, name)?;
    let run = |program: &Program, arguments: Vec<&str>| {
        ready
            .on(model, &program.path.display().to_string())
            .args(arguments)
            .folder(lab.tree())
            .env("CACHEMAINT_EXPECT", choice.clone())
            .env("CACHEMAINT_REPORT", written.display().to_string())
            // Emulation is some twenty times slower; the native run tries all cases.
            .env("PROPTEST_CASES", "16")
    };
    let tests = match model.scope {
        Some(_) => programs.runs().map(|(program, arguments)| run(program, arguments)).collect(),
        None => vec![run(programs.named("chosen_here")?, vec![REPORTING])],
    };
    let checks = Checks { expectation, name: model.expected, written, tests };
    Ok(Box::new(move |log| checks.run(log)))
}

/// The test that writes the report.
const REPORTING: &str = "the_report_names_the_chosen_instructions";

/// Returns the file for a lane's report, which does not exist yet.
fn report_file(lab: &Lab<'_>, name: &str) -> Result<PathBuf> {
    let folder = lab.work().join("reports");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("{}.json", name.replace('/', "-")));
    if file.exists() {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(file)
}

/// What a lane does on its CPU.
struct Checks {
    expectation: Expectation,
    name: &'static str,
    /// The report, which one of the tests writes.
    written: PathBuf,
    tests: Vec<Cmd>,
}

impl Checks {
    /// Runs every program, also behind one that fails.
    fn run(&self, log: &mut Log) -> Result<Finding> {
        let mut tests = Tests::default();
        let mut failures = Vec::new();
        for program in &self.tests {
            let finding = program.check_in(log)?;
            tests.add(finding.tests());
            failures.extend(finding.failure().map(str::to_owned));
        }
        ensure!(tests.have_passed(), "no test ran");
        let report = fs::read_to_string(&self.written)
            .with_context(|| format!("no test wrote {}", self.written.display()))?;
        let differences = self.expectation.differences(&report);
        if !differences.is_empty() {
            failures.extend(differences);
            failures.push(format!("(expected by {FOLDER}/{}.json)", self.name));
        }
        Ok(match failures.as_slice() {
            [] => Finding::passed(tests),
            failures => Finding::failed(tests, failures.join("\n")),
        })
    }
}

/// A target with what it needs, found or installed.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    target: &'static Target,
    compiler: Compiler,
    emulator: String,
    /// What links for it, unless this machine is of that architecture.
    cross: Option<&'static Cross>,
}

/// The targets that were looked for, and the reason where one cannot be had.
pub(super) type Targets = RefCell<BTreeMap<&'static str, Result<Ready, Unavailable>>>;

impl Lab<'_> {
    fn ready(&self, target: &'static Target) -> Result<Ready, Unavailable> {
        let mut targets = self.targets.borrow_mut();
        let look = || ready(self.host, target).map_err(Unavailable::because);
        targets.entry(target.triple).or_insert_with(look).clone()
    }
}

/// A compiler that links for a target of these lanes.
pub(super) fn compiler(host: &Host, triple: &str) -> Result<Compiler> {
    let target = TARGETS.iter().find(|target| target.triple == triple);
    let target = target.with_context(|| format!("no lane is for {triple}"))?;
    let (compiler, _cross) = linking(host, target)?;
    Ok(compiler)
}

fn linking(
    host: &Host,
    target: &'static Target,
) -> Result<(Compiler, Option<&'static Cross>), Unavailable> {
    let found = || {
        let native = toolchain::native()?;
        let cross = target.cross.as_ref().filter(|_| target.triple != native);
        if cross.is_none() && target.triple != native {
            bail!("this lane needs a host of its own architecture, this is {native}");
        }
        let compiler = match cross {
            None => toolchain::with_std(host, target.triple, target.debian_arch)?,
            Some(cross) => cross_compiler(host, target, cross)?,
        };
        Ok((compiler, cross))
    };
    found().map_err(Unavailable::because)
}

fn cross_compiler(host: &Host, target: &Target, cross: &Cross) -> Result<Compiler> {
    let Target { triple, debian_arch, .. } = target;
    let linking = |compiler: Compiler| {
        debian::install(&cross.packages(debian_arch).each_ref().map(String::as_str))
            .context("no cross linker")?;
        Ok(compiler.linker(triple, &cross.linker()))
    };
    if !cross.builds_std {
        return linking(toolchain::with_std(host, triple, debian_arch)?);
    }
    toolchain::in_use(host, triple).and_then(linking).or_else(|reason| {
        toolchain::with_built_std(host, triple, debian_arch, cross.gnu)
            .with_context(|| format!("no standard library to link ({reason:#})"))
    })
}

fn ready(host: &Host, target: &'static Target) -> Result<Ready> {
    let (compiler, cross) = linking(host, target)?;
    Ok(Ready { target, compiler, emulator: emulator(host, target)?, cross })
}

impl Ready {
    /// Builds the test programs of a scope.
    fn test_programs(&self, lab: &Lab<'_>, scope: Scope) -> Result<Programs> {
        if let Some(architecture) = self.target.machines {
            return lab.static_tests(architecture, scope);
        }
        let triple = self.target.triple;
        lab.test_programs(triple, scope, |line| {
            Ok(lab.cargo(&self.compiler, line).args(["--target", triple]))
        })
    }

    /// Returns the emulator of the model, which runs a program.
    fn on(&self, model: &Model, program: &str) -> Cmd {
        let emulator = Cmd::new(&self.emulator).args(["-cpu", model.cpu]).limit(LIMIT);
        match self.cross.map(Cross::sysroot) {
            Some(sysroot) => emulator.args(["-L", &sysroot, program]),
            None => emulator.arg(program),
        }
    }
}

/// An emulator that suits the lane: the one installed; else a current one, from this
/// release of Debian or Ubuntu or its backports; else whatever this release has.
fn emulator(host: &Host, target: &Target) -> Result<String> {
    let current = || -> Result<String> {
        let suite = debian::offering(host, "qemu-user", CURRENT);
        let folder = debian::fetch(host, &["qemu-user"], suite)?;
        suitable(&folder.join("usr/bin").join(target.emulator), target)
    };
    let packaged = || -> Result<String> {
        debian::install(&["qemu-user"])?;
        installed(target)
    };
    installed(target)
        .or_else(|_none| current())
        .or_else(|no_current| packaged().context(no_current))
        .with_context(|| {
            let (oldest, newest) = (target.versions.start(), target.versions.end());
            let versions = if *newest == u32::MAX { "or newer" } else { "and no other" };
            format!("{} of version {oldest} {versions} is not to be had", target.emulator)
        })
}

fn installed(target: &Target) -> Result<String> {
    ["", "-static"]
        .into_iter()
        .filter_map(|suffix| find_program(format!("{}{suffix}", target.emulator)))
        .map(|path| suitable(&path, target))
        .reduce(Result::or)
        .with_context(|| format!("{} is not installed", target.emulator))?
}

fn suitable(program: &Path, target: &Target) -> Result<String> {
    let program = program.display().to_string();
    let version = major_version(&program)?;
    ensure!(target.versions.contains(&version), "{program} is of version {version}");
    Ok(program)
}

/// 10 for `qemu-aarch64 version 10.0.2 (Debian …)`.
fn major_version(program: &str) -> Result<u32> {
    let text = Cmd::new(program).arg("--version").read()?;
    text.split_once("version ")
        .and_then(|(_, rest)| rest.split('.').next()?.parse().ok())
        .with_context(|| format!("{program} does not say its version"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Expectation, TARGETS};

    #[test]
    fn every_model_has_an_expectation_that_says_what_is_chosen() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for model in TARGETS.iter().flat_map(|target| target.models) {
            let choice = Expectation::read(tree, model.expected).unwrap().choice().unwrap();
            assert_eq!(choice.matches('=').count(), 4, "{choice}");
        }
    }
}
