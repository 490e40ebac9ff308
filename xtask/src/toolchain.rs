//! Compilers for other targets, by rustup. An error of this module is a reason to skip a check.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

use crate::command::{Cmd, find_program};

const COMPONENT_LIMIT: u32 = 60;
const TOOLCHAIN_LIMIT: u32 = 180;

/// The command line of cargo that compiles for a target.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    triple: String,
    linker: Option<String>,
}

impl Compiler {
    /// Returns the compiler in use, with this target. rustup adds the target if it is missing.
    pub(crate) fn new(triple: &str) -> Result<Self> {
        let folder =
            Cmd::new("rustc").words("--print target-libdir --target").arg(triple).read()?;
        if !Path::new(folder.trim()).is_dir() {
            rustup(&format!("target add {triple}"), COMPONENT_LIMIT)?;
        }
        Ok(Self { triple: triple.to_owned(), linker: None })
    }

    /// Returns the same compiler with this program as the linker.
    pub(crate) fn with_linker(self, program: &str) -> Self {
        Self { linker: Some(program.to_owned()), ..self }
    }

    /// Returns `cargo` with the words of `line`, which compiles for the target.
    pub(crate) fn cargo(&self, line: &str) -> Cmd {
        let cmd = Cmd::cargo(line).args(["--target", &self.triple]);
        match &self.linker {
            Some(linker) => {
                cmd.args(["--config", &format!("target.{}.linker={linker:?}", self.triple)])
            }
            None => cmd,
        }
    }
}

/// Returns the target that the compiler in use makes programs for by default.
pub(crate) fn native() -> Result<String> {
    Ok(Cmd::new("rustc").args(["--print", "host-tuple"]).read()?.trim().to_owned())
}

/// Makes the release named as `rust-version` available. Returns the word that selects it (`+1.89.0`).
pub(crate) fn msrv() -> Result<String> {
    let version = env!("CARGO_PKG_RUST_VERSION");
    let patch = if version.matches('.').count() == 1 { ".0" } else { "" };
    let select = format!("+{version}{patch}");
    let probe = Cmd::new("rustc").args([&select, "--version"]).env("RUSTUP_AUTO_INSTALL", "0");
    if probe.read().is_err() {
        let line = format!("toolchain install {version}{patch} --profile minimal --no-self-update");
        rustup(&line, TOOLCHAIN_LIMIT)?;
    }
    Ok(select)
}

/// Makes the nightly compiler available, with Miri and the sources of the standard library.
pub(crate) fn nightly() -> Result<()> {
    let probe = Cmd::cargo("+nightly miri --version").env("RUSTUP_AUTO_INSTALL", "0");
    if probe.read().is_err() {
        let components = "toolchain install nightly --profile minimal --component miri,rust-src --no-self-update";
        rustup(components, TOOLCHAIN_LIMIT)?;
    }
    Ok(())
}

/// Makes a component of the toolchain in use (clippy, rustfmt) available.
pub(crate) fn component(name: &str, program: &str) -> Result<()> {
    if Cmd::new(program).arg("--version").read().is_err() {
        rustup(&format!("component add {name}"), COMPONENT_LIMIT)?;
    }
    Ok(())
}

/// Runs rustup with a time limit. After the first time-out it is not tried again.
fn rustup(line: &str, limit: u32) -> Result<()> {
    static UNREACHABLE: OnceLock<String> = OnceLock::new();
    if let Some(reason) = UNREACHABLE.get() {
        bail!("{reason}");
    }
    find_program("rustup").context("rustup is not installed")?;
    Cmd::new("rustup").words(line).limit(limit).read().map(drop).inspect_err(|error| {
        if error.to_string().contains("took longer") {
            UNREACHABLE.get_or_init(|| format!("{error:#}"));
        }
    })
}
