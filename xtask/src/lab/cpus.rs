//! The library's tests and the command's report on CPUs that this machine does not have, under QEMU's
//! user emulation.
//!
//! A lane builds for one target once and runs on one model of that architecture: the command must
//! report what the model's [`Expectation`] demands, and the tests must pass. The test `chosen_here`
//! reads the same expectation's choice from `CACHEMAINT_EXPECT` and executes what was chosen; an
//! instruction that the model lacks would end it by SIGILL. An emulator has no caches: a lane
//! proves what is chosen and that it executes, never that data became durable.

use alloc::collections::BTreeMap;
use core::cell::RefCell;
use core::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::expectation::{Expectation, FOLDER};
use super::{Lab, Lane, Run, Unavailable};
use crate::command::{Cmd, find_program};
use crate::debian;
use crate::host::Host;
use crate::log::Log;
use crate::report::{Finding, Tests};
use crate::run::skipping;
use crate::toolchain::{self, Compiler};

/// Seconds for one program on one model.
const LIMIT: u32 = 300;
/// Seconds for one target's compilation and all its programs on one model.
const LANE_LIMIT: u32 = 900;

/// Tests of what is the same on every CPU: pure functions over recorded machines, models of caches, and the
/// simulator.
/// They run natively, and emulated once for each order and size of words.
pub(super) const SAME_ON_EVERY_CPU: [&str; 8] = [
    "report::tests",
    "views::tests",
    "memory_type::",
    "ring_on_model",
    "simulator::",
    "uses::",
    "damage::",
    "model::",
];

/// Tests that would take minutes in an emulator and are the same everywhere: crashes of the logs on a
/// simulated medium, which also read the library's sources, and a store opened anew for each of its bits.
/// Their formats are read and written by other tests.
pub(super) const TOO_LONG: [&str; 4] = [
    "crashes::",
    "damage::a_bit_of_a_chunk_costs_that_chunk",
    "damage::each_bit_of_headers_histories_tables_and_a_blob_is_proved",
    "simulator::recorder",
];

/// The emulators' version that is right about every target.
pub(super) const CURRENT: u32 = 10;

/// One emulated CPU, as QEMU takes it, and the name of its expectation.
#[derive(Debug)]
struct Model {
    cpu: &'static str,
    expected: &'static str,
    shows: Shows,
}

/// What can be run on a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// The command's report and the tests.
    Both,
    /// The report: the emulator lacks an instruction that the model announces, and the tests execute each.
    Report,
    /// The tests: the command needs atomics of 64 bits.
    Tests,
}

impl Model {
    const fn new(cpu: &'static str, expected: &'static str) -> Self {
        Self { cpu, expected, shows: Shows::Both }
    }

    const fn showing(self, shows: Shows) -> Self {
        Self { shows, ..self }
    }
}

#[derive(Debug)]
struct Target {
    triple: &'static str,
    debian_arch: &'static str,
    /// What is needed where this is not the host's own architecture.
    cross: Option<Cross>,
    emulator: &'static str,
    /// The versions of QEMU that are right about this architecture.
    versions: RangeInclusive<u32>,
    models: &'static [Model],
    /// Whether its lanes run only when asked for.
    is_long: bool,
}

impl Target {
    /// Whether this model stands for all CPUs whose words are in another order, or smaller, than those of
    /// the machines that these lanes run on.
    fn is_for_other_words(&self, model: &Model) -> bool {
        let same = ["x86_64", "aarch64", "riscv64gc", "powerpc64le", "loongarch64"];
        let architecture = self.triple.split('-').next().unwrap_or_default();
        let first = self.models.first();
        !same.contains(&architecture) && first.is_some_and(|first| core::ptr::eq(first, model))
    }
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
    Model::new("max", "x86-max"),
    Model::new("max,-clwb", "x86-max-no-clwb"),
    Model::new("max,-clwb,-clflushopt", "x86-max-no-clflushopt"),
    Model::new("max,vendor=GenuineIntel,-clwb,-clflushopt", "x86-max-intel-no-clflushopt"),
    Model::new("max,-clwb,-clflushopt,-clflush", "x86-max-no-clflush"),
];

const ARM64: &[Model] = &[
    Model::new("cortex-a53", "arm64-cortex-a53"),
    Model::new("cortex-a72", "arm64-cortex-a72"),
    Model::new("neoverse-n1", "arm64-neoverse-n1"),
    Model::new("a64fx", "arm64-a64fx"),
    Model::new("neoverse-v1", "arm64-neoverse-v1"),
    Model::new("max", "arm64-max"),
];

const TARGETS: [Target; 10] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        debian_arch: "amd64",
        cross: None,
        emulator: "qemu-x86_64",
        versions: 7..=u32::MAX,
        models: X86,
        is_long: false,
    },
    Target {
        triple: "i686-unknown-linux-gnu",
        debian_arch: "i386",
        cross: Some(Cross::new("i686-linux-gnu")),
        emulator: "qemu-i386",
        versions: 7..=u32::MAX,
        models: X86,
        is_long: false,
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        debian_arch: "arm64",
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
        cross: Some(Cross::new("arm-linux-gnueabihf")),
        emulator: "qemu-arm",
        versions: 7..=u32::MAX,
        models: &[Model::new("cortex-a15", "armv7-cortex-a15")],
        is_long: false,
    },
    Target {
        triple: "riscv64gc-unknown-linux-gnu",
        debian_arch: "riscv64",
        cross: Some(Cross::new("riscv64-linux-gnu")),
        emulator: "qemu-riscv64",
        // 7.2 knows no Zicbom; 11 announces it to programs and raises SIGILL when they use it.
        versions: CURRENT..=CURRENT,
        models: &[
            Model::new("rv64,zicbom=true", "riscv64-kernel-does-not-tell"),
            Model::new("rv64,zicbom=false", "riscv64-kernel-does-not-tell"),
        ],
        is_long: false,
    },
    Target {
        triple: "powerpc64le-unknown-linux-gnu",
        debian_arch: "ppc64el",
        cross: Some(Cross::new("powerpc64le-linux-gnu")),
        emulator: "qemu-ppc64le",
        versions: 7..=u32::MAX,
        models: &[
            Model::new("power8", "powerpc64le-power8"),
            Model::new("power9", "powerpc64le-power9"),
            Model::new("power10", "powerpc64le-power10").showing(Shows::Report),
        ],
        is_long: false,
    },
    Target {
        triple: "powerpc64-unknown-linux-gnu",
        debian_arch: "ppc64",
        cross: Some(Cross::new("powerpc64-linux-gnu")),
        emulator: "qemu-ppc64",
        versions: 7..=u32::MAX,
        models: &[Model::new("power7", "powerpc64-power7")],
        is_long: false,
    },
    Target {
        triple: "powerpc-unknown-linux-gnu",
        debian_arch: "powerpc",
        cross: Some(Cross::new("powerpc-linux-gnu")),
        emulator: "qemu-ppc",
        versions: 7..=u32::MAX,
        models: &[Model::new("7457", "powerpc-7457").showing(Shows::Tests)],
        is_long: false,
    },
    Target {
        triple: "s390x-unknown-linux-gnu",
        debian_arch: "s390x",
        cross: Some(Cross::new("s390x-linux-gnu")),
        emulator: "qemu-s390x",
        versions: 7..=u32::MAX,
        models: &[Model::new("max", "s390x-max")],
        is_long: false,
    },
    // Not every mirror of rustup's has its standard library, and few releases of Debian have a compiler
    // for it; building the library takes minutes.
    Target {
        triple: "loongarch64-unknown-linux-gnu",
        debian_arch: "loong64",
        cross: Some(Cross { gnu: "loongarch64-linux-gnu", builds_std: true }),
        emulator: "qemu-loongarch64",
        versions: CURRENT..=u32::MAX,
        models: &[Model::new("la464", "loongarch64-la464")],
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
    let proves = match model.shows {
        Shows::Both => "the tests pass, the report is as in",
        Shows::Report => "the report is as in",
        Shows::Tests => "the tests pass, the choice is as in",
    };
    let proves = format!("{proves} {FOLDER}/{}.json", model.expected);
    let lane = Lane::new(name, proves, move |lab| prepare(lab, target, model));
    if target.is_long { lane.long() } else { lane }
}

fn prepare(lab: &Lab<'_>, target: &'static Target, model: &'static Model) -> Result<Run> {
    let expectation = Expectation::read(lab.tree(), model.expected)?;
    let choice = expectation.choice().with_context(|| model.expected)?;
    let ready = lab.ready(target)?;
    let report = ready.run_on(lab, model, "run -p cachemaint-cli --bin cachemaint");
    let tests = "test -p cachemaint --all-features --lib --tests --no-fail-fast";
    let left_out: &[&str] = if target.is_for_other_words(model) { &[] } else { &SAME_ON_EVERY_CPU };
    let checks = Checks {
        expectation,
        name: model.expected,
        report: (model.shows != Shows::Tests).then(|| report.words("-- caps --json")),
        tests: (model.shows != Shows::Report).then(|| {
            ready
                .run_on(lab, model, tests)
                .arg("--")
                .args(skipping(left_out.iter().chain(&TOO_LONG)))
                .env("CACHEMAINT_EXPECT", choice)
                // Emulation is some twenty times slower; the native run tries all cases.
                .env("PROPTEST_CASES", "16")
        }),
    };
    Ok(Box::new(move |log| checks.run(log)))
}

/// What a lane does on its CPU.
struct Checks {
    expectation: Expectation,
    name: &'static str,
    /// Prints the report.
    report: Option<Cmd>,
    tests: Option<Cmd>,
}

impl Checks {
    fn run(&self, log: &mut Log) -> Result<Finding> {
        let mut failures = match self.report.as_ref().map(|report| report.read_in(log)) {
            None => Vec::new(),
            Some(Ok(report)) => self.expectation.differences(&report),
            Some(Err(error)) => vec![format!("{error:#}")],
        };
        if !failures.is_empty() {
            failures.push(format!("(expected by {FOLDER}/{}.json)", self.name));
        }
        // They run either way: what is wrong in the report may be right in what is executed.
        let tests = match &self.tests {
            Some(tests) => tests.check_tests_in(log)?,
            None => Finding::passed(Tests::default()),
        };
        if failures.is_empty() {
            return Ok(tests);
        }
        failures.extend(tests.failure().map(str::to_owned));
        Ok(Finding::failed(tests.tests(), failures.join("\n")))
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
    /// `cargo` with the words of `line`, its program run on the model.
    fn run_on(&self, lab: &Lab<'_>, model: &Model, line: &str) -> Cmd {
        let triple = self.target.triple;
        let limit = LIMIT.to_string();
        let mut runner = vec!["timeout", &limit, &self.emulator, "-cpu", model.cpu];
        let mut cmd = lab.cargo(&self.compiler, line).limit(LANE_LIMIT);
        let sysroot = self.cross.map(Cross::sysroot);
        // Without `--target` the native programs are the ones that are built already.
        if let Some(sysroot) = &sysroot {
            runner.extend(["-L", sysroot]);
            cmd = cmd.args(["--target", triple]);
        }
        cmd.arg("--config").arg(format!("target.{triple}.runner={runner:?}"))
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
