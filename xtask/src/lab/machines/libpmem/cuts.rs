//! Power cuts within the transactions of libpmemobj, on machines that lose dirty lines.

use core::time::Duration;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::{Client, PACKAGES};
use crate::lab::architecture::Architecture;
use crate::lab::crashes::{CrashTest, Summary, cut_all};
use crate::lab::kit::Kit;
use crate::lab::lane::Lane;
use crate::lab::losses::{Policy, seed_of_run};
use crate::lab::plugin::Plugin;
use crate::log::Log;
use crate::report::{Finding, Tests};

/// The transactions of a run.
const TRANSACTIONS: &str = "12";

/// Cuts of one run, and their demand.
#[derive(Clone, Copy)]
struct Trial {
    cuts: u64,
    policy: Policy,
    /// The model of the machine: a streaming store writes its line back. Otherwise it is an ordinary store.
    is_streaming_evicting: bool,
    loses: Loses,
}

/// The demand on the acknowledged transactions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loses {
    Nothing,
    /// A check fails. So the machine notices a library that waits for no write-back.
    Something,
}

/// Returns the trial of this project's library, on the model that promises least.
const fn strict(is_long: bool) -> Trial {
    let cuts = if is_long { 100 } else { 6 };
    Trial { cuts, policy: Policy::Any, is_streaming_evicting: false, loses: Loses::Nothing }
}

/// Returns the trials of the packages' library. On x86 it relies on streaming stores that evict; some CPUs' manuals
/// promise less. On arm64 its drain is a DMB, which completes no write-back.
const fn control(architecture: Architecture, is_long: bool) -> &'static [Trial] {
    const fn trial(cuts: u64, is_streaming_evicting: bool, loses: Loses) -> Trial {
        // Of two cuts one must be noticed, and chance may keep every line.
        let policy = if cuts > 2 { Policy::Any } else { Policy::None };
        Trial { cuts, policy, is_streaming_evicting, loses }
    }
    match (architecture, is_long) {
        (Architecture::Arm64, false) => const { &[trial(2, false, Loses::Something)] },
        (Architecture::Arm64, true) => const { &[trial(100, false, Loses::Something)] },
        (_, false) => const { &[trial(2, true, Loses::Nothing)] },
        (_, true) => {
            const { &[trial(100, true, Loses::Nothing), trial(100, false, Loses::Something)] }
        }
    }
}

pub(super) fn lanes() -> Vec<Lane> {
    let mut lanes = Vec::new();
    for architecture in [Architecture::X86, Architecture::Arm64] {
        lanes.push(lane(architecture, "lose-libpmemobj", false));
        lanes.push(lane(architecture, "lose-libpmemobj-100", true).long());
    }
    lanes
}

fn lane(architecture: Architecture, name: &str, is_long: bool) -> Lane {
    let name = format!("machine/{}/{name}", architecture.qemu());
    let proves = "libpmemobj's acknowledged transactions are whole after power cuts";
    Lane::new(name.clone(), proves, move |lab| {
        Plugin::fits(&lab.emulators()?.system(architecture.qemu()))?;
        let client = lab.client(architecture, "transactions", "pmemobj", &PACKAGES)?;
        let ours = lab.libpmem(architecture)?;
        let kit = lab.kit(architecture)?;
        Ok(Box::new(move |log| {
            let found = tested(&kit, &name, &client, Some(&ours), strict(is_long), log)?;
            strict(is_long).judge(&found).context("with this project's library")?;
            let mut cuts = found.cuts;
            for trial in control(architecture, is_long) {
                let found = tested(&kit, &name, &client, None, *trial, log)?;
                trial.judge(&found).context("with the library of the packages")?;
                cuts += found.cuts;
            }
            Ok(Finding::passed(Tests::counted(usize::try_from(cuts)?, 0, 0)))
        }))
    })
}

impl Trial {
    fn judge(&self, found: &Summary) -> Result<()> {
        ensure!((found.failures == 0) == (self.loses == Loses::Nothing), "{found}");
        ensure!(found.dirty > 0, "no line was dirty at a cut");
        Ok(())
    }
}

fn tested(
    kit: &Kit,
    name: &str,
    client: &Client,
    first: Option<&Path>,
    trial: Trial,
    log: &mut Log,
) -> Result<Summary> {
    let program = client.with(first)?;
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    let test = CrashTest {
        kit,
        name: &name.replace('/', "-"),
        program: &program,
        prepare: words("create"),
        arguments: words(&format!("update {TRANSACTIONS}")),
        check: words("check"),
        policy: trial.policy,
        is_streaming_evicting: trial.is_streaming_evicting,
        limit: Duration::from_secs(120),
    };
    let made = test.make(log)?;
    let counted = test.count(&made, log)?;
    writeln!(log, "{TRANSACTIONS} transactions: {counted:?}")?;
    let cuts = counted.cuts(trial.cuts, seed_of_run());
    let repeating = |moment, seed| {
        format!("{TRANSACTIONS} transactions, cut {moment}, seed {seed}, policy {}", trial.policy)
    };
    cut_all(&test, &made, &cuts, repeating, (log, &mut log.writer()?))
}
