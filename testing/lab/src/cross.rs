//! Compilers and emulators of programs for the lab's targets.

use std::path::Path;

use anyhow::{Context as _, Result};
use lose_lines_machine::cache::Cache;
use lose_lines_machine::command::Cmd;
use lose_lines_machine::debian;
use lose_lines_machine::emulator::CURRENT;
use xtask::absent::Lacks;
use xtask::command::find_program;
use xtask::install::install;
use xtask::toolchain::{self, Compiler};

use crate::targets::{Model, TARGETS, Target};

/// A target with its compilers.
#[derive(Clone, Debug)]
pub(super) struct Linking {
    pub(super) compiler: Compiler,
    /// The C compiler, which links.
    pub(super) cc: String,
    /// The folder of the foreign C library, for an emulator, unless this machine is of the architecture.
    pub(super) sysroot: Option<String>,
}

/// Returns the target with this triple.
pub(super) fn target(triple: &str) -> Result<&'static Target> {
    let target = TARGETS.iter().find(|target| target.triple == triple);
    target.with_context(|| format!("no lane is for {triple}"))
}

/// Returns the compilers for a target, with the cross tools unless this machine is of that architecture.
pub(super) fn linking(triple: &str) -> Result<Linking> {
    let Target { gnu, debian_arch, .. } = target(triple)?;
    let compiler = Compiler::new(triple)?;
    if triple == toolchain::native()? {
        find_program("cc").context("there is no C compiler `cc`")?;
        return Ok(Linking { compiler, cc: String::from("cc"), sysroot: None });
    }
    let cc = format!("{gnu}-gcc");
    install_cross(&[&format!("gcc-{gnu}"), &format!("libc6-dev-{debian_arch}-cross")])?;
    let compiler = compiler.with_linker(&cc);
    Ok(Linking { compiler, cc, sysroot: Some(format!("/usr/{gnu}")) })
}

/// Installs packages of a cross compiler, if the distribution has them.
fn install_cross(packages: &[&str]) -> Result<()> {
    install(packages).map_err(|why| {
        let told = format!("{why:#}");
        let is_unknown = told.contains("Unable to locate package")
            || told.contains("has no installation candidate");
        if is_unknown { Lacks::CrossCompiler.error(told) } else { why }
    })
}

/// Returns the C++ compiler for a target, which is installed if it is missing.
pub(super) fn cxx_compiler(triple: &str) -> Result<String> {
    let (name, package) = if triple == toolchain::native()? {
        (String::from("c++"), String::from("g++"))
    } else {
        let gnu = target(triple)?.gnu;
        (format!("{gnu}-g++"), format!("g++-{gnu}"))
    };
    if find_program(&name).is_none() {
        install_cross(&[&package])?;
    }
    Ok(name)
}

/// Seconds for one test program on one model.
pub(super) const LIMIT: u32 = 2700;

/// A target with its prerequisites, found or installed.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) linking: Linking,
    emulator: String,
}

impl Ready {
    pub(super) fn find(cache: &Cache, target: &'static Target) -> Result<Self> {
        let linking = linking(target.triple)?;
        Ok(Self { linking, emulator: emulator(cache, target)? })
    }

    /// Returns the emulator of the model, which runs a program.
    pub(super) fn on(&self, model: &Model, program: &str) -> Cmd {
        let emulator = Cmd::new(&self.emulator).args(["-cpu", model.cpu]).limit(LIMIT);
        match &self.linking.sysroot {
            Some(sysroot) => emulator.args(["-L", sysroot, program]),
            None => emulator.arg(program),
        }
    }
}

/// Returns an emulator that suits the lane: the installed one, or else a current one from this
/// release of Debian or Ubuntu or its backports, or else the one of this release.
fn emulator(cache: &Cache, target: &Target) -> Result<String> {
    let current = || -> Result<String> {
        let suite = debian::offering(cache, "qemu-user", CURRENT);
        let folder = debian::fetch(cache, &["qemu-user"], suite)?;
        suitable(&folder.join("usr/bin").join(target.emulator), target)
    };
    let packaged = || -> Result<String> {
        install(&["qemu-user"])?;
        installed(target)
    };
    installed(target).or_else(|_none| current()).or_else(|_no_current| packaged())
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
    if target.versions.contains(&version) {
        return Ok(program);
    }
    Err(Lacks::Emulator.error(format_args!("{program} is of version {version}")))
}

/// Returns 10 for `qemu-aarch64 version 10.0.2 (Debian …)`.
fn major_version(program: &str) -> Result<u32> {
    let text = Cmd::new(program).arg("--version").read()?;
    text.split_once("version ")
        .and_then(|(_, rest)| rest.split('.').next()?.parse().ok())
        .with_context(|| format!("{program} does not say its version"))
}
