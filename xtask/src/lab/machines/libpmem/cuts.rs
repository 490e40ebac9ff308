//! Power cuts within the transactions of libpmemobj, on machines that lose dirty lines.

use core::time::Duration;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::super::lane_with;
use super::transactions_losing_lines;
use crate::lab::Lab;
use crate::lab::lane::Lane;
use lose_lines::architecture::Architecture;
use lose_lines::crash::{CrashTest, Summary, cut_all};
use lose_lines::kit::Kit;
use lose_lines::log::Log;
use lose_lines::losses::{Policy, SEED, seed_of_run};
use lose_lines::plugin::Streaming;
use lose_lines::program::HostProgram;

/// The transactions of a run.
const TRANSACTIONS: &str = "12";

/// The cuts of a usual lane, and those of each trial of a long one.
const CUTS: u64 = 6;
const MANY_CUTS: u64 = 100;

/// A library on a model of a machine.
#[derive(Clone, Copy, Debug)]
struct Trial {
    library: Library,
    streaming: Streaming,
    loses: Loses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    Ours,
    /// The library of the packages.
    Original,
}

/// The demand on the acknowledged transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loses {
    Nothing,
    /// A check fails. So the machine notices a library that relies on more than the model promises.
    Something,
}

/// This project's library, on the model that promises least.
const STRICT: Trial =
    Trial { library: Library::Ours, streaming: Streaming::Ordinary, loses: Loses::Nothing };

/// Returns the controls. On x86-64 the original relies on streaming stores that evict. On arm64 its drain is a DMB, which
/// completes no write-back.
fn controls(architecture: Architecture) -> Vec<Trial> {
    let strict = Trial::original(Streaming::Ordinary, Loses::Something);
    match architecture {
        Architecture::X86 => vec![Trial::original(Streaming::Evicting, Loses::Nothing), strict],
        Architecture::Arm64 | Architecture::Riscv64 => vec![strict],
    }
}

pub(super) fn lanes() -> Vec<Lane> {
    let mut lanes = Vec::new();
    for architecture in [Architecture::X86, Architecture::Arm64] {
        let few = lane(architecture, "lose-libpmemobj", CUTS, vec![STRICT]);
        // The many cuts contain them, and x86 has one of the two in each run.
        lanes.push(if architecture == Architecture::X86 { few } else { few.long() });
        let trials = [vec![STRICT], controls(architecture)].concat();
        lanes.push(lane(architecture, "lose-libpmemobj-100", MANY_CUTS, trials).long());
    }
    lanes
}

fn lane(architecture: Architecture, name: &str, cuts: u64, trials: Vec<Trial>) -> Lane {
    let name = format!("machine/{}/{name}", architecture.qemu());
    let proves = "libpmemobj's acknowledged transactions are whole after power cuts with this project's libpmem";
    let prepare = move |lab: &Lab<'_>| transactions_losing_lines(lab, architecture);
    lane_with(architecture, &name, proves, prepare, move |kit, (client, ours), name, log| {
        let mut made = 0;
        for trial in &trials {
            let program = client.with((trial.library == Library::Ours).then_some(&**ours))?;
            let found = trial.make(kit, name, &program, cuts, log)?;
            trial.judge(&found).with_context(|| format!("{trial:?}"))?;
            made += found.cuts;
        }
        Ok(usize::try_from(made)?)
    })
}

impl Trial {
    const fn original(streaming: Streaming, loses: Loses) -> Self {
        Self { library: Library::Original, streaming, loses }
    }

    fn judge(self, found: &Summary) -> Result<()> {
        ensure!((found.failures == 0) == (self.loses == Loses::Nothing), "{found}");
        ensure!(found.dirty > 0, "no line was dirty at a cut");
        Ok(())
    }

    /// Runs the program without a cut, and then with each one.
    fn make(
        self,
        kit: &Kit,
        name: &str,
        program: &HostProgram,
        cuts: u64,
        log: &mut Log,
    ) -> Result<Summary> {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        let test = CrashTest {
            kit,
            name: &name.replace('/', "-"),
            program,
            prepare: words("create"),
            arguments: words(&format!("update {TRANSACTIONS}")),
            check: words("check"),
            environment: Vec::new(),
            policy: Policy::Any,
            is_streaming_evicting: self.streaming == Streaming::Evicting,
            limit: Duration::from_secs(120),
        };
        let made = test.make(log)?;
        let counted = test.count(&made, log)?;
        writeln!(log, "{self:?}, {TRANSACTIONS} transactions: {counted:?}")?;
        ensure!(counted.counts.writebacks > 0, "libpmemobj persists by pages: it has no MAP_SYNC");
        let seed = seed_of_run();
        let cuts = counted.cuts(cuts, seed);
        let repeating = format!("{SEED}={seed} cargo xtask lab {name}");
        let mut out = log.writer()?;
        let summary = cut_all(&test, &made, &cuts, log, |number, cut| {
            Ok(writeln!(out, "{}", cut.in_words((number, cuts.len()), &repeating))?)
        })?;
        writeln!(out, "{summary}")?;
        Ok(summary)
    }
}
