//! The lab: every claim run on CPUs and whole machines that this one is not. What each lane proves,
//! and what no emulator can, is told in `tests/lab/README.md`.
//!
//! A [`Lane`](lane::Lane) is prepared first, one after the other: what it needs is found, fetched or built. What
//! cannot be had is the reason to skip it; what does not build is its failure. Meanwhile those that
//! are prepared run side by side, as many as there are cores, each with a log of its own.

mod architecture;
mod board;
mod compilers;
mod cpus;
mod elf;
mod emulator;
mod expectation;
mod freestanding;
mod initramfs;
mod kit;
mod lane;
mod lanes;
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
mod unavailable;
mod user_emulation;

use std::path::{Path, PathBuf};

use anyhow::Result;

use self::architecture::Architecture;
use self::emulator::Emulators;
use self::kit::{Kit, Kits};
use self::programs::{Built, Programs, Scope};
use self::sources::Sources;
use self::unavailable::Unavailable;
use self::user_emulation::Targets;
use crate::host::Host;

/// The sources that are put to the test, and what lanes share of what was made of them.
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

    /// The lab for another tree than the one that it is part of. It needs a folder of its own: in one that
    /// two trees share, cargo takes what was built from a copy for what would come of the original.
    fn of(host: &'a Host, tree: &Path, work: PathBuf) -> Self {
        Self {
            sources: Sources::new(host, tree, work),
            kits: Kits::default(),
            targets: Targets::default(),
            programs: Built::default(),
        }
    }

    /// The emulators of whole machines.
    fn emulators(&self) -> Result<Emulators, Unavailable> {
        self.kits.emulators(self.sources.host)
    }

    /// The kit for an architecture.
    fn kit(&self, architecture: Architecture) -> Result<Kit> {
        self.kits.kit(&self.sources, architecture)
    }

    /// The programs that run in a scope, linked statically, so that they run in machines too.
    fn static_tests(&self, architecture: Architecture, scope: Scope) -> Result<Programs> {
        let built_for = format!("static {}", architecture.triple());
        let cargo = |line: &str| self.sources.cargo_static(architecture, line);
        self.programs.build(&built_for, scope, cargo)
    }
}
