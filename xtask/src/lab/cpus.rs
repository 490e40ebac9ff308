//! The library's tests on CPUs that this machine does not have, under QEMU's user emulation.
//!
//! A lane builds the tests of one target once and runs them for each model of that architecture.
//! The test `chosen_here` reads `CACHEMAINT_EXPECT` and asserts that exactly this was chosen; an
//! instruction that the model lacks would end the test by SIGILL. An emulator has no caches: a lane
//! proves what is chosen and that it executes, never that data became durable.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Lab, Lane, Prepared, Unavailable};
use crate::command::{Cmd, find_program};
use crate::debian;
use crate::host::Host;
use crate::toolchain::{self, Compiler};

/// Seconds for one test binary on one model.
const LIMIT: u32 = 300;

/// The emulator's version that is right about every target.
const CURRENT: u32 = 10;

/// One emulated CPU and what must be chosen on it.
struct Model {
    cpu: &'static str,
    expect: &'static str,
}

struct Target {
    triple: &'static str,
    debian_arch: &'static str,
    /// The C compiler that links for it and its library, where this is not the host's own
    /// architecture.
    cross: Option<Cross>,
    emulator: &'static str,
    /// The oldest QEMU that is right about this architecture.
    oldest_emulator: u32,
    models: &'static [Model],
}

struct Cross {
    linker: &'static str,
    packages: [&'static str; 2],
    /// Where the foreign C library is, for the emulator.
    sysroot: &'static str,
}

/// `max` without some feature bits: QEMU raises #UD for an instruction whose CPUID bit is off, and
/// its models named after real CPUs lack CLWB and CLFLUSHOPT even where the silicon has them.
const X86: &[Model] = &[
    Model { cpu: "max", expect: "writeback=clwb,line=64" },
    Model { cpu: "max,-clwb", expect: "writeback=clflushopt,line=64" },
    Model { cpu: "max,-clwb,-clflushopt", expect: "writeback=clflush,line=64" },
];

/// `FEAT_DPB` (CVAP) and `FEAT_DPB2` (CVADP) by the cores' technical reference manuals: Cortex-A53
/// and A72 are Armv8.0 without either, Neoverse N1 and A64FX have the first, V1 has both. A64FX has
/// lines of 256 bytes; QEMU's `max` reports 32 in `CTR_EL0`.
const ARM64: &[Model] = &[
    Model {
        cpu: "cortex-a53",
        expect: "writeback=dc cvac,persistence=refused,deep=refused,line=64",
    },
    Model {
        cpu: "cortex-a72",
        expect: "writeback=dc cvac,persistence=refused,deep=refused,line=64",
    },
    Model {
        cpu: "neoverse-n1",
        expect: "writeback=dc cvac,persistence=dc cvap,deep=refused,line=64",
    },
    Model { cpu: "a64fx", expect: "writeback=dc cvac,persistence=dc cvap,deep=refused,line=256" },
    Model {
        cpu: "neoverse-v1",
        expect: "writeback=dc cvac,persistence=dc cvap,deep=dc cvadp,line=64",
    },
    Model { cpu: "max", expect: "writeback=dc cvac,persistence=dc cvap,deep=dc cvadp,line=32" },
];

const TARGETS: [Target; 3] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        debian_arch: "amd64",
        cross: None,
        emulator: "qemu-x86_64",
        oldest_emulator: 7,
        models: X86,
    },
    Target {
        triple: "i686-unknown-linux-gnu",
        debian_arch: "i386",
        cross: Some(Cross {
            linker: "i686-linux-gnu-gcc",
            packages: ["gcc-i686-linux-gnu", "libc6-dev-i386-cross"],
            sysroot: "/usr/i686-linux-gnu",
        }),
        emulator: "qemu-i386",
        oldest_emulator: 7,
        models: X86,
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        debian_arch: "arm64",
        cross: Some(Cross {
            linker: "aarch64-linux-gnu-gcc",
            packages: ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
            sysroot: "/usr/aarch64-linux-gnu",
        }),
        emulator: "qemu-aarch64",
        // 7.2 announces CVAP and CVADP on models where they then trap.
        oldest_emulator: CURRENT,
        models: ARM64,
    },
];

pub(super) fn lanes() -> Vec<Lane> {
    let lane = |target: &'static Target, model: &'static Model| {
        let name = format!("cpu/{}/{}", target.emulator, model.cpu);
        let proves = format!("the tests pass and the choice is {}", model.expect);
        Lane::new(name, proves, move |lab| prepare(lab, target, model))
    };
    TARGETS
        .iter()
        .flat_map(|target| target.models.iter().map(move |model| lane(target, model)))
        .collect()
}

fn prepare(lab: &Lab<'_>, target: &'static Target, model: &'static Model) -> Result<Prepared> {
    let ready = match ready(lab.host, target) {
        Ok(ready) => ready,
        Err(why) => return Ok(Prepared::Unavailable(why)),
    };
    let tests = ready.tests_on(lab, model);
    Ok(Prepared::Ready(Box::new(move |log| tests.check_tests_in(log))))
}

/// A target with what it needs, found or installed.
struct Ready {
    target: &'static Target,
    compiler: Compiler,
    emulator: String,
    /// What links for it, unless this machine is of that architecture.
    cross: Option<&'static Cross>,
}

/// A compiler and a linker for a target of these lanes.
pub(super) fn compiler(host: &Host, triple: &str) -> Result<Compiler> {
    let target = TARGETS.iter().find(|target| target.triple == triple);
    let target = target.with_context(|| format!("no lane is for {triple}"))?;
    let found = || -> Result<Compiler> {
        let compiler = toolchain::with_std(host, triple, target.debian_arch)?;
        let native = toolchain::native()?;
        let Some(cross) = target.cross.as_ref().filter(|_| triple != native) else {
            return Ok(compiler);
        };
        debian::install(&cross.packages).context("no cross linker")?;
        Ok(compiler.linker(triple, cross.linker))
    };
    found().map_err(|why| Unavailable::because(why).into())
}

fn ready(host: &Host, target: &'static Target) -> Result<Ready> {
    let native = toolchain::native()?;
    let cross = target.cross.as_ref().filter(|_| target.triple != native);
    if cross.is_none() && target.triple != native {
        bail!("this lane needs a host of its own architecture, this is {native}");
    }
    let emulator = emulator(host, target)?;
    if let Some(cross) = cross {
        debian::install(&cross.packages).context("no cross linker")?;
    }
    let compiler = toolchain::with_std(host, target.triple, target.debian_arch)?;
    Ok(Ready { target, compiler, emulator, cross })
}

impl Ready {
    fn tests_on(&self, lab: &Lab<'_>, model: &Model) -> Cmd {
        let triple = self.target.triple;
        let limit = LIMIT.to_string();
        let mut runner = vec!["timeout", &limit, &self.emulator, "-cpu", model.cpu];
        let mut cmd = lab.cargo(
            &self.compiler,
            "test -p cachemaint --all-features --lib --tests --no-fail-fast",
        );
        // Without `--target` the native tests are the ones that are built already.
        if let Some(cross) = self.cross {
            runner.extend(["-L", cross.sysroot]);
            cmd = cmd
                .args(["--target", triple, "--config"])
                .arg(format!("target.{triple}.linker={:?}", cross.linker));
        }
        cmd.arg("--config")
            .arg(format!("target.{triple}.runner={runner:?}"))
            .env("CACHEMAINT_EXPECT", model.expect)
            // Emulation is some twenty times slower; the native run tries all cases.
            .env("PROPTEST_CASES", "16")
    }
}

/// An emulator that is new enough for the lane: the one installed; else a current one, from this
/// release of Debian or Ubuntu or its backports; else whatever this release has.
fn emulator(host: &Host, target: &Target) -> Result<String> {
    let current = || -> Result<String> {
        let suite = if debian::offers("qemu-user", CURRENT) { None } else { Some("backports") };
        let folder = debian::fetch(host, "qemu-user", suite)?;
        new_enough(&folder.join("usr/bin").join(target.emulator), target.oldest_emulator)
    };
    let packaged = || -> Result<String> {
        debian::install(&["qemu-user"])?;
        installed(target)
    };
    installed(target)
        .or_else(|_none| current())
        .or_else(|no_current| packaged().context(no_current))
        .with_context(|| {
            format!(
                "{} of version {} or newer is not to be had",
                target.emulator, target.oldest_emulator
            )
        })
}

fn installed(target: &Target) -> Result<String> {
    ["", "-static"]
        .into_iter()
        .filter_map(|suffix| find_program(format!("{}{suffix}", target.emulator)))
        .map(|path| new_enough(&path, target.oldest_emulator))
        .reduce(Result::or)
        .with_context(|| format!("{} is not installed", target.emulator))?
}

fn new_enough(program: &Path, oldest: u32) -> Result<String> {
    let program = program.display().to_string();
    let version = major_version(&program)?;
    ensure!(version >= oldest, "{program} is of version {version}");
    Ok(program)
}

/// 10 for `qemu-aarch64 version 10.0.2 (Debian …)`.
fn major_version(program: &str) -> Result<u32> {
    let text = Cmd::new(program).arg("--version").read()?;
    text.split_once("version ")
        .and_then(|(_, rest)| rest.split('.').next()?.parse().ok())
        .with_context(|| format!("{program} does not say its version"))
}
