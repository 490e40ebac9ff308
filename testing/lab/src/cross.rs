//! Compilers and emulators of programs for the lab's targets.

use std::path::PathBuf;

use anyhow::{Context as _, Error, Result, bail};
use lose_lines_machine::cache::Cache;
use lose_lines_machine::command::Cmd;
use lose_lines_machine::debian;
use lose_lines_machine::emulator::CURRENT;
use xtask::absent::Lacks;
use xtask::command::find_program;
use xtask::host::fetched;
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
    install(packages).map_err(
        |why| {
            if is_unknown(&why) { Lacks::CrossCompiler.error(why) } else { why }
        },
    )
}

/// Returns true if apt knows no such package.
fn is_unknown(why: &Error) -> bool {
    let told = format!("{why:#}");
    ["Unable to locate package", "has no installation candidate"]
        .iter()
        .any(|words| told.contains(words))
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

/// Returns an emulator that suits the lane: the installed one, or else a current one from this release of Debian or Ubuntu or
/// its backports, or else the one of this release. One is passed over only if it is of another version.
fn emulator(cache: &Cache, target: &Target) -> Result<String> {
    let current = || {
        let suite = debian::offering(cache, "qemu-user", CURRENT);
        match fetched(debian::fetch(cache, &["qemu-user"], suite)) {
            Err(why) if is_unknown(&why) => Ok(Vec::new()),
            folder => Ok(vec![folder?.join("usr/bin").join(target.emulator)]),
        }
    };
    let packaged = || install(&["qemu-user"]).map(|()| installed(target));
    let ways: [&dyn Fn() -> Result<Vec<PathBuf>>; 3] =
        [&|| Ok(installed(target)), &current, &packaged];
    let mut other = None;
    for way in ways {
        for program in way()? {
            let program = program.display().to_string();
            let version = major_version(&Cmd::new(&program))?;
            if target.versions.contains(&version) {
                return Ok(program);
            }
            other = Some((program, version));
        }
    }
    let (program, version) = other.with_context(|| format!("no {}", target.emulator))?;
    not_older(&program, version, *target.versions.start())?;
    bail!("{program} is of version {version}, which is newer than the lane's")
}

fn installed(target: &Target) -> Vec<PathBuf> {
    let names = ["", "-static"].map(|suffix| format!("{}{suffix}", target.emulator));
    names.iter().filter_map(find_program).collect()
}

/// Skips a check for which an emulator is too old.
fn not_older(program: &str, version: u32, least: u32) -> Result<()> {
    if version >= least {
        return Ok(());
    }
    Err(Lacks::Emulator.error(format_args!("{program} is of version {version}")))
}

/// Skips a check for which the emulator of a machine is too old.
pub(super) fn current(emulator: &Cmd) -> Result<()> {
    not_older("the emulator", major_version(emulator)?, CURRENT)
}

/// Returns 10 for `qemu-aarch64 version 10.0.2 (Debian …)`.
fn major_version(program: &Cmd) -> Result<u32> {
    let text = program.clone().arg("--version").read()?;
    text.split_once("version ")
        .and_then(|(_, rest)| rest.split('.').next()?.parse().ok())
        .with_context(|| format!("`{program}` does not say its version"))
}
