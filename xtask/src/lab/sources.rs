//! The tree under test, and the builds of its programs.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::compilers;
use crate::command::Cmd;
use crate::host::Host;
use crate::toolchain::Compiler;
use lose_lines::architecture::Architecture;

/// The places that lanes take their sources from and build in.
pub(super) struct Sources<'a> {
    pub(super) host: &'a Host,
    tree: PathBuf,
    work: PathBuf,
}

impl<'a> Sources<'a> {
    pub(super) fn new(host: &'a Host, tree: &Path, work: PathBuf) -> Self {
        Self { host, tree: tree.to_path_buf(), work }
    }

    /// Returns the workspace under test.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Returns the folder of builds and logs; cargo's folder is in it.
    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    /// Returns cargo's folder. Programs for several machines share it, as they differ in target or profile.
    pub(super) fn target(&self) -> PathBuf {
        self.work.join("target")
    }

    /// Returns `cargo` with the words of `line`, in the workspace under test.
    pub(super) fn cargo(&self, compiler: &Compiler, line: &str) -> Cmd {
        compiler
            .cargo(line)
            .folder(&self.tree)
            .env("CARGO_TARGET_DIR", self.target().display().to_string())
    }

    /// Returns the same for programs that need no library on the machine that runs them, in a folder of their own.
    pub(super) fn cargo_static(&self, triple: &str, line: &str) -> Result<Cmd> {
        let folder = self.static_folder().display().to_string();
        Ok(self.cargo_static_with(triple, line, "symbols")?.env("CARGO_TARGET_DIR", folder))
    }

    /// Returns the same with the sections that the linker strips. The programs are stripped, as they are copied into memory
    /// at each start. A profile's `strip` does not apply to a package that has a profile of its own, as the library has.
    fn cargo_static_with(&self, triple: &str, line: &str, stripped: &str) -> Result<Cmd> {
        let compiler = compilers::linking(triple)?.compiler;
        Ok(self.cargo(&compiler, line).arg("--config").arg(format!(
            r#"target.{triple}.rustflags=["-Ctarget-feature=+crt-static","-Cstrip={stripped}"]"#
        )))
    }

    /// Returns a program of the workspace that needs no library on the machine that runs it.
    pub(super) fn static_program(
        &self,
        architecture: Architecture,
        package: &str,
        name: &str,
    ) -> Result<PathBuf> {
        self.cargo_static(architecture.triple(), &format!("build -p {package}"))?.read()?;
        Ok(self.static_folder().join(architecture.triple()).join("debug").join(name))
    }

    /// Returns such a program, optimised, with its symbols and lines.
    pub(super) fn static_program_with_symbols(
        &self,
        architecture: Architecture,
        package: &str,
        name: &str,
    ) -> Result<PathBuf> {
        let line = format!("build --release -p {package}");
        self.cargo_static_with(architecture.triple(), &line, "none")?
            .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
            // To optimise across units takes a fifth of the compilation (148 CPU seconds, and 119 without, on an AMD
            // EPYC, family 25, model 1).
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .read()?;
        Ok(self.target().join(architecture.triple()).join("release").join(name))
    }

    fn static_folder(&self) -> PathBuf {
        self.work.join("static")
    }
}
