//! QEMU's user emulation of each target.

use std::path::Path;

use anyhow::{Context as _, Result};

use lose_lines::command::Cmd;
use lose_lines::debian;
use lose_lines::emulator::CURRENT;
use xtask::absent::Lacks;
use xtask::command::find_program;
use xtask::host::Host;
use xtask::install::install;

use super::compilers::{self, Linking};
use super::targets::{Model, Target};

/// Seconds for one test program on one model.
pub(super) const LIMIT: u32 = 2700;

/// A target with its prerequisites, found or installed.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) linking: Linking,
    emulator: String,
}

impl Ready {
    pub(super) fn find(host: &Host, target: &'static Target) -> Result<Self> {
        let linking = compilers::linking(target.triple)?;
        Ok(Self { linking, emulator: emulator(host, target)? })
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
fn emulator(host: &Host, target: &Target) -> Result<String> {
    let current = || -> Result<String> {
        let suite = debian::offering(host.cache(), "qemu-user", CURRENT);
        let folder = debian::fetch(host.cache(), &["qemu-user"], suite)?;
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
