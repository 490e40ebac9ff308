//! Unmodified clients of libpmem, from packages, in machines: with the library of the packages as the control, and with
//! another one of the same name. The other one is in a directory that the loader searches first, which is the one
//! difference between the two runs.

mod cuts;
mod fences;
mod mappings;
mod programs;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::capi::LIBPMEM;
use crate::command::Cmd;
use crate::lab::Lab;
use crate::lab::compilers;
use crate::lab::lane::Lane;
use lose_lines::architecture::Architecture;
use lose_lines::debian::{self, Suite};
use lose_lines::program::HostProgram;
use lose_lines::unavailable::Unavailable;

/// The packages of libpmemobj, with those that it needs.
const PACKAGES: [&str; 1] = ["libpmemobj-dev"];

pub(super) fn lanes() -> Vec<Lane> {
    let mut lanes = cuts::lanes();
    lanes.extend(fences::lanes());
    lanes.extend(mappings::lanes());
    lanes.extend(programs::lanes());
    lanes
}

/// Prepares the transactions of libpmemobj and this project's library, for machines that lose lines.
fn transactions_losing_lines(
    lab: &Lab<'_>,
    architecture: Architecture,
) -> Result<(Client, PathBuf)> {
    lab.can_lose_lines(architecture)?;
    let client = lab.client(architecture, "transactions", "pmemobj", &PACKAGES)?;
    Ok((client, lab.libpmem(architecture)?))
}

/// A program of `tests/clients`, built against packages.
struct Client {
    /// The unpacked packages.
    root: PathBuf,
    program: PathBuf,
}

impl Client {
    /// Returns the client as a machine runs it. `first` is the directory of a library that replaces that of the
    /// packages.
    fn with(&self, first: Option<&Path>) -> Result<HostProgram> {
        HostProgram::packaged(&self.root, &self.program, first)
    }
}

impl Lab<'_> {
    /// Builds this project's library. Returns its directory.
    fn libpmem(&self, architecture: Architecture) -> Result<PathBuf> {
        let (host, tree) = (self.sources.host, self.sources.tree());
        let triple = architecture.triple();
        let folder = self.sources.work().join("libpmem").join(architecture.debian());
        self.sources.make_once(&folder.join(LIBPMEM.soname), |_library| {
            let compiler = compilers::compiler(host, triple)?;
            let cc = compilers::c_compiler(host, triple)?;
            let build = self.sources.work().join("target");
            let archive = LIBPMEM.archive(&compiler, triple, tree, &build)?;
            LIBPMEM.shared(&cc, &archive, tree, &folder).map(drop)
        })?;
        Ok(folder)
    }

    /// Builds a client with a library of these packages.
    fn client(
        &self,
        architecture: Architecture,
        name: &str,
        library: &str,
        packages: &[&str],
    ) -> Result<Client> {
        let root =
            debian::root(self.sources.host.cache(), architecture.debian(), packages, Suite::System)
                .map_err(Unavailable::because)?;
        let program = self.sources.work().join("clients").join(architecture.debian()).join(name);
        let libraries = root.join(format!("usr/lib/{}-linux-gnu", architecture.qemu()));
        self.sources.make_once(&program, |program| {
            Cmd::new(compilers::c_compiler(self.sources.host, architecture.triple())?)
                .words("-std=c11 -O2 -Wall -Wextra -Werror")
                .arg(format!("-I{}", root.join("usr/include").display()))
                .arg(format!("{}/tests/clients/{name}.c", self.sources.tree().display()))
                .args(["-o", &program.display().to_string()])
                .arg(format!("-L{}", libraries.display()))
                .arg(format!("-l{library}"))
                // The libraries that it needs itself are in the packages, and not on this system.
                .arg("-Wl,--unresolved-symbols=ignore-in-shared-libs")
                .read()
                .map(drop)
        })?;
        Ok(Client { root, program })
    }
}
