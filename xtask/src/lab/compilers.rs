//! Compilers that link programs for the lab's targets.

use anyhow::{Context as _, Result, anyhow, bail};

use super::targets::{Cross, TARGETS, Target};
use crate::command::find_program;
use crate::host::Host;
use crate::install::install;
use crate::toolchain::{self, Compiler};
use lose_lines::unavailable::Unavailable;

/// Returns a compiler that links for a target of these lanes.
pub(super) fn compiler(host: &Host, triple: &str) -> Result<Compiler> {
    let target = TARGETS.iter().find(|target| target.triple == triple);
    let target = target.with_context(|| format!("no lane is for {triple}"))?;
    let (compiler, _cross) = linking(host, target)?;
    Ok(compiler)
}

/// Returns the C compiler for a target of these lanes.
pub(super) fn c_compiler(host: &Host, triple: &str) -> Result<String> {
    let target = TARGETS.iter().find(|target| target.triple == triple);
    let target = target.with_context(|| format!("no lane is for {triple}"))?;
    let (_compiler, cross) = linking(host, target)?;
    let name = cross.map_or_else(|| String::from("cc"), Cross::linker);
    match find_program(&name) {
        Some(_) => Ok(name),
        None => Err(Unavailable::because(anyhow!("there is no C compiler `{name}`")).into()),
    }
}

/// Returns the C++ compiler for a target of these lanes, which is installed if it is missing.
pub(super) fn cxx_compiler(host: &Host, target: &'static Target) -> Result<String> {
    let (_compiler, cross) = linking(host, target)?;
    let (name, package) = match cross {
        None => (String::from("c++"), String::from("g++")),
        Some(Cross { gnu, .. }) => (format!("{gnu}-g++"), format!("g++-{gnu}")),
    };
    if find_program(&name).is_none() {
        let missing = || format!("there is no C++ compiler `{name}`");
        install(&[&package]).with_context(missing)?;
    }
    Ok(name)
}

/// Returns such a compiler for a target, with the cross tools unless this machine is of that architecture.
pub(super) fn linking(
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
        install(&cross.packages(debian_arch).each_ref().map(String::as_str))
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
