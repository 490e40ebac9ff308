//! Forgotten write-backs and fences: the emulator's plugin watches the library's own binary code in a
//! machine and counts lines that a path left dirty, or written back and unfenced.
//!
//! A streaming store counts as one that leaves the line dirty in one run, and as one that evicts it in
//! the other: CPUs differ, and the library must be right on both.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::{Reply, Request};

use super::arm64::Tree;
use super::{Contents, DAX, emulated, make_ext4, make_namespace, nvdimm};
use crate::lab::kit::{Architecture, Kit};
use crate::lab::machine::{Machine, Setup};
use crate::lab::plugin::{Plugin, Streaming, Verdict};
use crate::lab::{Lane, Log};
use crate::report::{Finding, Tests};

/// Marks on files, the first of all: where the caches are in the persistence domain these need no
/// write-back, and only the fence is asked for.
const ON_FILE: u64 = 9;

/// What is demanded of a file's paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    WriteBackAndFence,
    FenceOnly,
}

/// A machine to watch.
struct Watched {
    architecture: Architecture,
    name: &'static str,
    cpu: &'static str,
    demand: Demand,
}

const fn x86(name: &'static str, cpu: &'static str, demand: Demand) -> Watched {
    Watched { architecture: Architecture::X86, name, cpu, demand }
}

const fn arm64(cpu: &'static str) -> Watched {
    let demand = Demand::WriteBackAndFence;
    Watched { architecture: Architecture::Arm64, name: cpu, cpu, demand }
}

/// `max` is taken for a CPU of AMD's, whose CLFLUSH is completed by MFENCE.
const WATCHED: [Watched; 6] = [
    x86("max", "max", Demand::WriteBackAndFence),
    x86("max,-clwb", "max,-clwb", Demand::WriteBackAndFence),
    x86("max,-clwb,-clflushopt", "max,-clwb,-clflushopt", Demand::WriteBackAndFence),
    x86("eadr", "max", Demand::FenceOnly),
    arm64("neoverse-n1"),
    arm64("neoverse-v1"),
];

pub(super) fn lanes() -> Vec<Lane> {
    WATCHED.iter().map(lane).collect()
}

fn lane(watched: &'static Watched) -> Lane {
    let name = format!("flush/{}/{}", watched.architecture.qemu(), watched.name);
    let proves = "no path of the library leaves a line dirty or a write-back unfenced";
    Lane::new(name.clone(), proves, move |lab| {
        Plugin::fits(&lab.emulators()?.system(watched.architecture.qemu()))?;
        let plugin = Plugin::build(lab)?;
        let kit = lab.kit(watched.architecture)?;
        Ok(Box::new(move |log| {
            let mut paths = 0;
            for streaming in [Streaming::Ordinary, Streaming::Evicting] {
                paths += watched
                    .run(&kit, &name, &plugin, streaming, log)
                    .with_context(|| format!("with streaming stores as {streaming:?}"))?;
            }
            Ok(Finding::passed(Tests::counted(paths, 0, 0)))
        }))
    })
}

impl Watched {
    /// Runs every path under the plugin; how many there were.
    fn run(
        &self,
        kit: &Kit,
        name: &str,
        plugin: &Plugin,
        streaming: Streaming,
        log: &mut Log,
    ) -> Result<usize> {
        let out = Output::new(kit, name);
        let arguments = plugin.arguments(streaming, &out.0);
        let names = match (self.architecture, self.demand) {
            (Architecture::Arm64, _) => {
                let tree = Tree::new(kit, name, self.cpu)?;
                on(kit, &tree.setup.clone().devices(arguments), log, false)
            }
            (Architecture::X86, Demand::WriteBackAndFence) => {
                on(kit, &emulated(name).cpu(self.cpu).devices(arguments), log, false)
            }
            (Architecture::X86, Demand::FenceOnly) => {
                let contents = Contents::new(kit, name)?;
                let setup = nvdimm(name, Some("cpu"), &contents).devices(arguments);
                on(kit, &setup, log, true)
            }
        }?;
        self.judge(&names, &Verdict::read(&out.0)?)?;
        Ok(names.len())
    }

    /// Each path has one verdict, under its number; it stored and fenced something, and left nothing
    /// behind.
    fn judge(&self, names: &[String], verdicts: &[Verdict]) -> Result<()> {
        ensure!(
            verdicts.iter().map(|verdict| verdict.id).eq(0..names.len() as u64),
            "{} paths, and {} verdicts",
            names.len(),
            verdicts.len()
        );
        let wrong: Vec<String> = names
            .iter()
            .zip(verdicts)
            .filter(|(_, verdict)| !self.is_right(verdict))
            .map(|(name, verdict)| format!("{name}: {verdict:?}"))
            .collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }

    fn is_right(&self, verdict: &Verdict) -> bool {
        let stored_and_fenced = verdict.stores + verdict.streaming > 0 && verdict.fences > 0;
        let wrote_back = verdict.writebacks > 0 && verdict.dirty_lines == 0;
        let in_domain = self.demand == Demand::FenceOnly && verdict.id < ON_FILE;
        stored_and_fenced && verdict.unfenced_lines == 0 && (wrote_back || in_domain)
    }
}

/// Starts the machine, makes its file system and has every path run.
fn on(kit: &Kit, setup: &Setup, log: &mut Log, is_nvdimm: bool) -> Result<Vec<String>> {
    let mut machine = Machine::start(kit, setup, log)?;
    if is_nvdimm {
        make_namespace(&mut machine, "region0", "fsdax")?;
    }
    make_ext4(&mut machine, "/dev/pmem0", DAX)?;
    let names = match machine.ask(&Request::PersistEveryWay { path: String::from("/mnt/file") })? {
        Reply::Names(names) => names,
        other => bail!("persisting in every way: {other:?}"),
    };
    machine.power_off()?;
    Ok(names)
}

/// The file that the plugin writes.
struct Output(PathBuf);

impl Output {
    fn new(kit: &Kit, name: &str) -> Self {
        Self(Path::new(&kit.work).join(format!("{}.verdicts", name.replace('/', "-"))))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // A small file in the build folder that stays behind harms nobody.
        drop(std::fs::remove_file(&self.0));
    }
}
