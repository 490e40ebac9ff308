//! The lab runs every claim on CPUs and whole machines other than this one. `tests/lab/README.md` lists the claim that
//! each lane proves, and the claims that no emulator can prove.
//!
//! Each [`Lane`](lane::Lane) is prepared first, one after the other: its prerequisites are found, fetched or built. If
//! one is unavailable, the lane is skipped for this reason; if one does not build, the lane fails. Meanwhile the
//! prepared lanes run side by side, as many as there are cores, each with a log of its own.

mod architecture;
mod board;
mod c_programs;
mod compilers;
mod cpus;
mod crashes;
mod elf;
mod emulator;
mod expectation;
mod freestanding;
mod host_program;
mod initramfs;
mod kit;
mod lane;
mod lanes;
mod last_events;
mod libpmem;
mod losses;
mod machine;
mod machines;
mod plugin;
mod programs;
mod prove;
pub(crate) mod request;
pub(crate) mod runner;
mod selftest;
mod sources;
mod targets;
mod temporary;
mod unavailable;
mod user_emulation;

use std::path::{Path, PathBuf};

use anyhow::Result;

use lose_lines::architecture::Architecture;
use lose_lines::emulator::Emulators;
use lose_lines::kit::{Generation, Kit, Kits};
use lose_lines::plugin::Plugin;
use self::programs::{Built, Programs, Scope};
use self::sources::Sources;
use lose_lines::unavailable::Unavailable;
use self::user_emulation::Targets;
use crate::host::Host;

/// The sources under test, and the programs built from them that lanes share.
struct Lab<'a> {
    sources: Sources<'a>,
    kits: Kits,
    targets: Targets,
    programs: Built,
}

impl<'a> Lab<'a> {
    fn new(host: &'a Host) -> Self {
        Self::of(host, host.root(), host.target_dir("lab"))
    }

    /// Returns the lab for another tree than its own. It needs a folder of its own: if two trees share one, cargo takes
    /// the products of the copy for those of the original.
    fn of(host: &'a Host, tree: &Path, work: PathBuf) -> Self {
        Self {
            sources: Sources::new(host, tree, work),
            kits: Kits::default(),
            targets: Targets::default(),
            programs: Built::default(),
        }
    }

    /// Returns the emulators of whole machines.
    fn emulators(&self) -> Result<Emulators, Unavailable> {
        self.kits.emulators(self.sources.host)
    }

    /// Checks that the emulator of an architecture can load the plugin, by which a machine loses lines.
    fn can_lose_lines(&self, architecture: Architecture) -> Result<()> {
        Ok(Plugin::fits(&self.emulators()?.system(architecture.qemu()))?)
    }

    /// Returns the kit for an architecture.
    fn kit(&self, architecture: Architecture) -> Result<Kit> {
        self.kits.kit(&self.sources, architecture, Generation::Usual)
    }

    /// Returns the kit with a newer kernel.
    fn newer_kit(&self, architecture: Architecture) -> Result<Kit> {
        self.kits.kit(&self.sources, architecture, Generation::Newer)
    }

    /// Returns the programs of a scope, linked statically, so that they run in machines too, and on this one.
    fn static_tests(&self, triple: &str, scope: Scope) -> Result<Programs> {
        let built_for = format!("static {triple}");
        let cargo = |line: &str| self.sources.cargo_static(triple, line);
        self.programs.build(&built_for, scope, cargo)
    }
}
