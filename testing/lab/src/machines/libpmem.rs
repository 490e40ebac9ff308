//! Power cuts within the transactions of unmodified libpmemobj, from packages, with this project's libpmem: it is in a
//! directory that the loader searches first. A streaming store counts as an ordinary one, the least that a manual promises.

use core::time::Duration;
use std::io::Write as _;

use anyhow::{Result, bail, ensure};
use lose_lines::check::Tested;
use lose_lines::crash::{CrashTest, Cuts};
use lose_lines::trial::{Trials as _, first_failure};
use lose_lines_machine::architecture::Architecture;
use lose_lines_machine::kit::Kit;
use lose_lines_machine::losses::seed_of_run;
use lose_lines_machine::program::HostProgram;
use lose_lines_machine::transcript::Transcript;
use lose_lines_plugin::policy::Policy;
use xtask::c_libraries::LIBPMEM;
use xtask::command::Cmd;

use crate::cross::{self, Linking};
use crate::lab::Lab;
use crate::lane::{Lane, again};

/// The packages of libpmemobj, with those that it needs.
const PACKAGES: [&str; 1] = ["libpmemobj-dev"];

/// The transactions of a run, and the cuts.
const TRANSACTIONS: &str = "12";
const CUTS: u64 = 6;

pub(super) fn lanes() -> Vec<Lane> {
    [Architecture::X86, Architecture::Arm64].into_iter().map(lane).collect()
}

fn lane(architecture: Architecture) -> Lane {
    let name = format!("machine/{}/lose-libpmemobj", architecture.qemu());
    Lane::new(name.clone(), move |lab| {
        let kit = lab.losing_kit(architecture)?;
        let program = transactions(lab, architecture)?;
        Ok(Box::new(move |log| nothing_is_lost(&kit, &program, &name, log)))
    })
}

/// Runs the program without a cut, and then with each one.
fn nothing_is_lost(
    kit: &Kit,
    program: &HostProgram,
    name: &str,
    log: &mut Transcript,
) -> Result<()> {
    let with = |line: &str| program.clone().with(line.split(' ').map(str::to_owned).collect());
    let test = Tested {
        kit,
        name: &name.replace('/', "-"),
        program: with(&format!("update {TRANSACTIONS}")),
        prepare: Some(with("create")),
        check: with("check"),
        environment: Vec::new(),
        limit: Duration::from_secs(120),
        may_fail: false,
    };
    let test = CrashTest { test, is_streaming_evicting: false };
    let made = test.make(log)?;
    let (_run, counted) = test.count(&made, log)?;
    writeln!(log, "{TRANSACTIONS} transactions: {counted:?}")?;
    ensure!(counted.counts.writebacks > 0, "libpmemobj persists by pages: it has no MAP_SYNC");
    let seed = seed_of_run();
    let states = counted.cuts(CUTS, seed, Policy::Any).into_iter().enumerate();
    let cuts = Cuts { test, made: &made, log };
    let (found, failed) = first_failure(&cuts, states, 1)?;
    if let Some(failed) = failed {
        let (reason, repeating) = (cuts.reason(&failed)?, again(name, seed));
        bail!("acknowledged transactions are lost: {reason:#?}\n{repeating}");
    }
    ensure!(found.pending > 0, "no line was dirty at a cut");
    Ok(())
}

/// Builds this project's library, and the program of transactions (`testing/clients`) against the packages.
fn transactions(lab: &Lab, architecture: Architecture) -> Result<HostProgram> {
    let triple = architecture.triple();
    let Linking { compiler, cc, .. } = cross::linking(triple)?;
    let (work, tree) = (lab.work(), lab.tree());
    let ours = work.join("libpmem").join(architecture.debian());
    let archive = LIBPMEM.archive(&compiler, triple, tree, &lab.target())?;
    LIBPMEM.shared(&cc, &archive, tree, &ours)?;

    let root = lab.packages(architecture.debian(), &PACKAGES)?;
    let program = work.join(format!("transactions-{}", architecture.debian()));
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", architecture.qemu()));
    Cmd::new(cc)
        .words("-std=c11 -O2 -Wall -Wextra -Werror")
        .arg(format!("-I{}", root.join("usr/include").display()))
        .path(tree.join("testing/clients/transactions.c"))
        .arg("-o")
        .path(&program)
        .arg(format!("-L{}", libraries.display()))
        // The libraries that it needs itself are in the packages, and not on this system.
        .words("-lpmemobj -Wl,--unresolved-symbols=ignore-in-shared-libs")
        .read()?;
    HostProgram::packaged(&root, &program, &ours)
}
