//! Lines that libpmemobj leaves dirty or unfenced when it acknowledges a transaction, as the emulator's plugin counts them.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

use super::super::flush::output;
use super::super::tree::{Kind, Tree};
use super::super::{emulated, lane_with, start_on_dax};
use super::{Client, transactions_losing_lines};
use crate::lab::Lab;
use crate::lab::lane::Lane;
use lose_lines::architecture::Architecture;
use lose_lines::kit::Kit;
use lose_lines::log::Log;
use lose_lines::machine::setup::Setup;
use lose_lines::plugin::{Streaming, Verdict};

/// The watched transactions.
const TRANSACTIONS: u64 = 12;

pub(super) fn lanes() -> Vec<Lane> {
    [Architecture::X86, Architecture::Arm64].map(lane).into()
}

fn lane(architecture: Architecture) -> Lane {
    let name = format!("flush/{}/libpmemobj", architecture.qemu());
    let proves =
        "a transaction of libpmemobj leaves no write-back unfenced with this project's libpmem";
    let prepare = move |lab: &Lab<'_>| transactions_losing_lines(lab, architecture);
    lane_with(architecture, &name, proves, prepare, move |kit, (client, ours), name, log| {
        let mut watch = |first| watched(kit, name, client, first, log);
        let (own, control) = (watch(Some(&**ours))?, watch(None)?);
        let unfenced = |verdicts: &[Verdict]| -> u64 {
            verdicts.iter().map(|verdict| verdict.unfenced_lines).sum()
        };
        ensure!(unfenced(&own) == 0, "with this project's library {own:?}");
        // The control on arm64: its drain is a DMB, and the plugin notices.
        ensure!(
            (unfenced(&control) > 0) == (architecture == Architecture::Arm64),
            "with the library of the packages {control:?}"
        );
        // Lines that libpmemobj itself does not write back.
        ensure!(dirty(&own).eq(dirty(&control)), "{own:?}, and in the packages {control:?}");
        Ok(own.len() + control.len())
    })
}

fn dirty(verdicts: &[Verdict]) -> impl Iterator<Item = u64> + '_ {
    verdicts.iter().map(|verdict| verdict.dirty_lines)
}

/// Returns a verdict on each transaction, with the library of `first` or with that of the packages.
fn watched(
    kit: &Kit,
    name: &str,
    client: &Client,
    first: Option<&Path>,
    log: &mut Log,
) -> Result<Vec<Verdict>> {
    let out = output(kit, name);
    // An arm64 CPU has no CLFLUSH.
    let arguments = kit.plugin()?.arguments(Streaming::Evicting, "max", &out);
    match kit.architecture {
        Architecture::Arm64 => {
            let tree = Tree::new(kit, name, ("neoverse-n1", 1), Kind::Pmem)?;
            run(kit, tree.setup.clone().keeping().devices(arguments), client, first, log)?;
        }
        _ => run(kit, emulated(name).keeping().devices(arguments), client, first, log)?,
    }
    let verdicts = Verdict::read(&out)?;
    for verdict in &verdicts {
        writeln!(log, "{verdict:?}")?;
    }
    ensure!(
        verdicts.iter().map(|verdict| verdict.id).eq(1..=TRANSACTIONS),
        "{TRANSACTIONS} transactions, and {} verdicts",
        verdicts.len()
    );
    Ok(verdicts)
}

fn run(
    kit: &Kit,
    mut setup: Setup,
    client: &Client,
    first: Option<&Path>,
    log: &Log,
) -> Result<()> {
    let program = client.with(first)?;
    program.add_to(&mut setup.files);
    let mut machine = start_on_dax(kit, &setup, log)?;
    for line in ["create", &format!("watched {TRANSACTIONS}"), "check"] {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let ended = machine.run_request(&program.run(&arguments, &[]))?;
        ensure!(ended == (Some(0), None), "`{line}` ended with {ended:?}");
    }
    machine.power_off()
}
