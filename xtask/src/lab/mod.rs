//! The lab runs every claim on CPUs and whole machines other than this one. `tests/lab/LANES.md` lists the claim that
//! each lane proves, and `tests/lab/README.md` what no emulator can prove.
//!
//! Each [`Lane`](lane::Lane) is prepared first, one after the other: its prerequisites are found, fetched or built. If
//! one is unavailable, the lane is skipped for this reason; if one does not build, the lane fails. Meanwhile the
//! prepared lanes run side by side, as many as there are cores, each with a log of its own.

mod board;
mod c_programs;
mod compilers;
mod cpus;
mod expectation;
mod freestanding;
mod lane;
mod last_events;
mod libpmem;
mod machines;
mod programs;
pub(crate) mod prove;
pub(crate) mod request;
mod selftest;
mod sources;
mod targets;
mod user_emulation;

use alloc::collections::BTreeMap;
use core::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lose_lines::architecture::Architecture;
use lose_lines::cache;
use lose_lines::elf;
use lose_lines::emulator::{Emulated, Emulators};
use lose_lines::initramfs::Initramfs;
use lose_lines::kit::{Kit, Kits};
use lose_lines::plugin::Plugin;
use lose_lines::unavailable::Unavailable;

use self::programs::{Built, Linked, Programs, Scope};
use self::sources::Sources;
use self::user_emulation::Targets;
use crate::host::Host;

/// The sources under test, and the programs built from them that lanes share.
struct Lab<'a> {
    sources: Sources<'a>,
    kits: Kits,
    /// The archives with the agent.
    agents: RefCell<BTreeMap<Architecture, PathBuf>>,
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
        let machines = work.join("machines");
        Self {
            sources: Sources::new(host, tree, work),
            kits: Kits::new(host.cache().clone(), Emulated::Every, machines),
            agents: RefCell::default(),
            targets: Targets::default(),
            programs: Built::default(),
        }
    }

    /// Returns the emulators of whole machines.
    fn emulators(&self) -> Result<Emulators, Unavailable> {
        self.kits.emulators()
    }

    /// Returns the plugin of the emulator.
    fn plugin(&self) -> Result<Plugin> {
        cache::make(self.kits.work())?;
        Plugin::in_folder(self.kits.work())
    }

    /// Checks that the emulator of an architecture can load the plugin, by which a machine loses lines.
    fn can_lose_lines(&self, architecture: Architecture) -> Result<()> {
        Ok(Plugin::fits(&self.emulators()?.system(architecture.qemu()))?)
    }

    /// Returns the kit for an architecture.
    fn kit(&self, architecture: Architecture) -> Result<Kit> {
        cache::make(self.kits.work())?;
        self.kits.kit(architecture, self.agent(architecture)?)
    }

    /// Returns the archive with the agent, which is built once.
    fn agent(&self, architecture: Architecture) -> Result<PathBuf> {
        if let Some(agent) = self.agents.borrow().get(&architecture) {
            return Ok(agent.clone());
        }
        let program = self.sources.static_program_with_symbols(
            architecture,
            "cachemaint-lab-guest",
            "lab-guest",
        )?;
        let file = |kind| agent_file(self.kits.work(), architecture, kind);
        let [archive, init] = [file("cpio"), file("init")];
        // Each start of a machine unpacks the agent.
        let bytes = fs::read(&program).with_context(|| format!("{}", program.display()))?;
        fs::write(&init, elf::without_symbols(bytes)?)?;
        fs::copy(&program, file("symbols"))?;
        Initramfs::default().file("/init", init).write(&archive)?;
        self.agents.borrow_mut().insert(architecture, archive.clone());
        Ok(archive)
    }

    /// Returns the programs of a scope, linked statically, so that they run in machines too, and on this one.
    fn static_tests(&self, triple: &str, scope: Scope) -> Result<Programs> {
        let cargo = |line: &str| self.sources.cargo_static(triple, line);
        self.programs.build(triple, Linked::Static, scope, cargo)
    }
}

/// Returns a file of the agent in the folder of machines.
fn agent_file(machines: &Path, architecture: Architecture, kind: &str) -> PathBuf {
    machines.join(format!("agent-{}.{kind}", architecture.debian()))
}
