//! Forgotten write-backs and fences: the emulator's plugin watches the library's own binary code in a
//! machine and counts lines that a path left dirty, or written back and unfenced.
//!
//! A streaming store counts as one that leaves the line dirty in one run, and as one that evicts it in the other: CPUs
//! differ, and the library must be right on both. On an Intel CPU, whose manual promises eviction, it must be right on
//! the evicting one.

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::Request;
use lose_lines_agent::Reply;

use super::tree::{self, Tree};
use super::{
    Architecture, Contents, DAX, Kit, Lane, Machine, PMEM0, Setup, Transcript, emulated, make_ext4,
    make_namespace, nvdimm,
};
use lose_lines_machine::losses::Losses;
use lose_lines_machine::plugin::Left;
use lose_lines_plugin::policy::Policy;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A PC with emulated pmem.
    Pc,
    /// A PC with an NVDIMM whose domain has the CPU caches in it.
    PcEadr,
    /// An arm64 board with pmem in its device tree.
    Board,
}

impl Kind {
    const fn architecture(self) -> Architecture {
        match self {
            Self::Pc | Self::PcEadr => Architecture::X86,
            Self::Board => Architecture::Arm64,
        }
    }
}

/// The effect of a streaming store in the plugin's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streaming {
    /// The store leaves the line dirty.
    Ordinary,
    /// The store leaves the line written back but not fenced.
    Evicting,
}

/// A machine to watch.
struct Watched {
    kind: Kind,
    name: &'static str,
    cpu: &'static str,
    streaming: &'static [Streaming],
}

impl Watched {
    const fn new(kind: Kind, name: &'static str, cpu: &'static str) -> Self {
        Self { kind, name, cpu, streaming: &[Streaming::Ordinary, Streaming::Evicting] }
    }

    const fn evicting(self) -> Self {
        Self { streaming: &[Streaming::Evicting], ..self }
    }
}

/// `max` is taken for a CPU of AMD's, whose CLFLUSH is completed by MFENCE. Features of AMD's alone contradict the name of
/// Intel.
const WATCHED: [Watched; 7] = [
    Watched::new(Kind::Pc, "max", "max"),
    Watched::new(Kind::Pc, "max,-clwb", "max,-clwb"),
    Watched::new(Kind::Pc, "max,-clwb,-clflushopt", "max,-clwb,-clflushopt"),
    Watched::new(Kind::Pc, "max,vendor=GenuineIntel", "max,vendor=GenuineIntel,-svm,-sse4a")
        .evicting(),
    Watched::new(Kind::PcEadr, "eadr", "max"),
    Watched::new(Kind::Board, "neoverse-n1", "neoverse-n1"),
    Watched::new(Kind::Board, "neoverse-v1", "neoverse-v1"),
];

pub(super) fn lanes() -> Vec<Lane> {
    WATCHED.iter().map(lane).collect()
}

fn lane(watched: &'static Watched) -> Lane {
    let architecture = watched.kind.architecture();
    let name = format!("flush/{}/{}", architecture.qemu(), watched.name);
    Lane::new(name.clone(), move |lab| {
        let kit = lab.losing_kit(architecture)?;
        Ok(Box::new(move |log| {
            watched.streaming.iter().try_for_each(|streaming| {
                let ended = watched.run(&kit, &name, *streaming, log);
                ended.with_context(|| format!("with streaming stores as {streaming:?}"))
            })
        }))
    })
}

impl Watched {
    /// Runs every path under the plugin.
    fn run(&self, kit: &Kit, name: &str, streaming: Streaming, log: &mut Transcript) -> Result<()> {
        let (names, lines) = match self.kind {
            Kind::Pc => on(kit, &watched(emulated(name).cpu(self.cpu), streaming), log)?,
            Kind::PcEadr => {
                let contents = Contents::new(kit, name)?;
                // Its own losses: a machine with the caches in the domain has none.
                let setup = nvdimm(name, Some("cpu"), &contents).losing(contents.losses(1 << 32));
                on_nvdimm(kit, &watched(setup, streaming), log)?
            }
            Kind::Board => {
                let tree = Tree::new(kit, name, (self.cpu, 1), tree::Kind::Pmem)?;
                on(kit, &watched(tree.setup.clone(), streaming), log)?
            }
        };
        self.judge(&names, &Left::in_lines(&lines))
    }

    /// Checks each path, by its number: it fenced, and left no dirty or unfenced line.
    fn judge(&self, names: &[String], left: &[Left]) -> Result<()> {
        ensure!(
            left.iter().map(|left| left.id).eq(0..names.len() as u64),
            "{} paths, and {} lines about them",
            names.len(),
            left.len()
        );
        let wrong: Vec<String> = names
            .iter()
            .zip(left)
            .filter(|(name, left)| !self.is_right(name, left))
            .map(|(name, left)| format!("{name}: {left:?}"))
            .collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }

    /// Returns true if a path left what it should. If the caches are in the persistence domain, it needs no write-back.
    fn is_right(&self, name: &str, left: &Left) -> bool {
        let wrote_back = left.writebacks + left.streaming > 0 && left.dirty == confirmations(name);
        left.fences > 0 && left.unfenced == 0 && (wrote_back || self.kind == Kind::PcEadr)
    }
}

/// Returns a machine all of whose memory can be watched, and which loses nothing.
fn watched(mut setup: Setup, streaming: Streaming) -> Setup {
    setup.losses = setup.losses.map(|losses| {
        let losses = Losses { policy: Policy::All, ..losses.of_all_ram() };
        let effect = if streaming == Streaming::Ordinary { "ordinary" } else { "evicting" };
        // Memory and files are watched alike: each path names the point that its instruction reaches.
        let more = ["lines=watched", "point=coherency", &format!("user-streaming={effect}")];
        Losses { more: more.map(str::to_owned).to_vec(), ..losses }
    });
    setup
}

/// Returns the number of lines that a path leaves dirty: those of the word that confirms, which is stored after the fence
/// without a write-back. A journal has one.
fn confirmations(name: &str) -> u64 {
    match name.rsplit(": ").next() {
        Some("create" | "open" | "seal" | "trim") => 0,
        _ if name.contains("journal: ") => 1,
        _ => 0,
    }
}

/// Starts the machine and runs every path. Returns the names of the paths, and the plugin's lines.
fn on(kit: &Kit, setup: &Setup, log: &Transcript) -> Result<(Vec<String>, String)> {
    persist_every_way(Machine::start(kit, setup, log)?)
}

fn on_nvdimm(kit: &Kit, setup: &Setup, log: &Transcript) -> Result<(Vec<String>, String)> {
    let mut machine = Machine::start(kit, setup, log)?;
    make_namespace(&mut machine, "region0", "fsdax")?;
    persist_every_way(machine)
}

fn persist_every_way(mut machine: Machine) -> Result<(Vec<String>, String)> {
    make_ext4(&mut machine, PMEM0, DAX)?;
    let names = match machine.ask(&Request::PersistEveryWay { path: String::from("/mnt/file") })? {
        Reply::Names(names) => names,
        other => bail!("persisting in every way: {other:?}"),
    };
    let lines = machine.losses()?;
    machine.power_off()?;
    Ok((names, lines))
}
