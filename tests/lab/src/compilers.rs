//! Compilers that link programs for the lab's targets.

use anyhow::{Context as _, Result};
use xtask::absent::Lacks;
use xtask::command::find_program;
use xtask::install::install;
use xtask::toolchain::{self, Compiler};

use super::targets::{TARGETS, Target};

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
