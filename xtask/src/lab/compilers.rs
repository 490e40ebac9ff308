//! Compilers that link programs for the lab's targets.

use anyhow::{Context as _, Result, anyhow};

use super::targets::{TARGETS, Target};
use crate::command::find_program;
use crate::install::install;
use crate::toolchain::{self, Compiler};
use lose_lines::unavailable::Unavailable;

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
    let found = || -> Result<Linking> {
        let compiler = Compiler::new(triple)?;
        if triple == toolchain::native()? {
            find_program("cc").context("there is no C compiler `cc`")?;
            return Ok(Linking { compiler, cc: String::from("cc"), sysroot: None });
        }
        let cc = format!("{gnu}-gcc");
        install(&[&format!("gcc-{gnu}"), &format!("libc6-dev-{debian_arch}-cross")])
            .context("no cross linker")?;
        let compiler = compiler.with_linker(&cc);
        Ok(Linking { compiler, cc, sysroot: Some(format!("/usr/{gnu}")) })
    };
    Ok(found().map_err(Unavailable::because)?)
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
        install(&[&package])
            .map_err(|why| anyhow!("there is no C++ compiler `{name}`: {why:#}"))?;
    }
    Ok(name)
}
