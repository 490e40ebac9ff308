//! Compilers for other targets, by rustup.

use core::time::Duration;
use std::path::Path;
use std::thread;

use anyhow::Result;

use crate::absent::Lacks;
use crate::command::{Cmd, find_program};
use crate::host::{fetched, without_network};

/// The seconds before each further attempt of rustup: a server may be away for a while.
const PAUSES: [u64; 2] = [5, 30];

/// The command line of cargo that compiles for a target.
#[derive(Clone, Debug)]
pub struct Compiler {
    triple: String,
    linker: Option<String>,
}

impl Compiler {
    /// Returns the compiler in use, with this target. rustup adds the target if it is missing.
    pub fn new(triple: &str) -> Result<Self> {
        let folder =
            Cmd::new("rustc").words("--print target-libdir --target").arg(triple).read()?;
        if !Path::new(folder.trim()).is_dir() {
            rustup(&format!("target add {triple}"))?;
        }
        Ok(Self { triple: triple.to_owned(), linker: None })
    }

    /// Returns the same compiler with this program as the linker.
    pub fn with_linker(self, program: &str) -> Self {
        Self { linker: Some(program.to_owned()), ..self }
    }

    /// Returns `cargo` with the words of `line`, which compiles for the target.
    pub fn cargo(&self, line: &str) -> Cmd {
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
pub fn native() -> Result<String> {
    Ok(Cmd::new("rustc").args(["--print", "host-tuple"]).read()?.trim().to_owned())
}

/// Makes the release named as `rust-version` available. Returns the word that selects it (`+1.89.0`).
pub fn msrv() -> Result<String> {
    let version = env!("CARGO_PKG_RUST_VERSION");
    let patch = if version.matches('.').count() == 1 { ".0" } else { "" };
    let select = format!("+{version}{patch}");
    let probe = Cmd::new("rustc").args([&select, "--version"]).env("RUSTUP_AUTO_INSTALL", "0");
    if probe.read().is_err() {
        let line = format!("toolchain install {version}{patch} --profile minimal --no-self-update");
        rustup(&line)?;
    }
    Ok(select)
}

/// Makes the nightly compiler available, with Miri and the sources of the standard library.
pub fn nightly() -> Result<()> {
    let probe = Cmd::cargo("+nightly miri --version").env("RUSTUP_AUTO_INSTALL", "0");
    if probe.read().is_err() {
        let components = "toolchain install nightly --profile minimal --component miri,rust-src --no-self-update";
        rustup(components)?;
    }
    Ok(())
}

/// Makes a component of the toolchain in use (clippy, rustfmt) available.
pub fn component(name: &str, program: &str) -> Result<()> {
    if Cmd::new(program).arg("--version").read().is_err() {
        rustup(&format!("component add {name}"))?;
    }
    Ok(())
}

/// Runs rustup, again if it fails. It has no time limit, since a busy machine needs minutes for a toolchain; rustup
/// itself ends a download that stands still.
fn rustup(line: &str) -> Result<()> {
    if find_program("rustup").is_none() {
        return Err(Lacks::Rustup.error(format_args!("`rustup {line}` cannot be run")));
    }
    let attempt = || Cmd::new("rustup").words(line).read().map(drop);
    let mut result = attempt();
    for pause in PAUSES {
        if result.is_ok() || without_network() {
            break;
        }
        thread::sleep(Duration::from_secs(pause));
        result = attempt();
    }
    fetched(result)
}
