//! A C program with a forgotten write-back, and the same program without this defect, tested for crashes as a user tests
//! one: by `lose-lines cut`. A C program that uses `cachemaint.h` is tested in the same way.

use core::time::Duration;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};

use super::{Architecture, Kit, Lab, Lane, Log, lane_with};
use crate::command::{Cmd, find_program, quoted};
use crate::lab::c_programs;
use lose_lines::crash::{CrashTest, Summary, cut_all};
use lose_lines::losses::{Policy, seed_of_run};
use lose_lines::program::HostProgram;
use lose_lines::unavailable::Unavailable;

/// The cuts of each program; the last one comes after its end.
const CUTS: u64 = 2;

const QUEUE: &str = "capi/examples/queue.c";

/// A program in a machine.
struct Subject<'a> {
    kit: &'a Kit,
    /// The name of the machines.
    name: &'static str,
    program: &'a Path,
    /// The arguments with which it stores, and those with which it checks.
    arguments: [&'static str; 2],
}

pub(super) fn lanes() -> Vec<Lane> {
    vec![forgotten_flush(), c_library()]
}

fn forgotten_flush() -> Lane {
    let proves = "a forgotten write-back of an unchanged C program is found by power cuts, and the same program with it \
                  passes";
    let prepare = |lab: &Lab<'_>| {
        lab.can_lose_lines(Architecture::X86)?;
        Ok([lab.compiled("wrong", None)?, lab.compiled("right", Some("-DRIGHT"))?])
    };
    let name = "machine/x86_64/lose-c";
    lane_with(Architecture::X86, name, proves, prepare, |kit, [wrong, right], _name, log| {
        compare(kit, wrong, right, log)
    })
}

/// The queue of `capi/examples`.
fn c_library() -> Lane {
    let proves = "a C program that persists by `cachemaint.h` keeps every acknowledged record over power cuts";
    let name = "machine/x86_64/lose-c-library";
    let prepare = move |lab: &Lab<'_>| {
        lab.can_lose_lines(Architecture::X86)?;
        c_programs::example(lab, name, QUEUE)
    };
    lane_with(Architecture::X86, name, proves, prepare, |kit, program, _name, log| {
        let name = "machine-x86_64-lose-c-library";
        let arguments = ["queue push 300", "queue check"];
        let found = Subject { kit, name, program, arguments }.tested(Policy::Torn, log)?;
        ensure!(found.failures == 0, "the queue fails: {found}");
        Ok(())
    })
}

impl Lab<'_> {
    /// Compiles the program with the compiler of this system.
    fn compiled(&self, name: &str, option: Option<&str>) -> Result<PathBuf> {
        if find_program("cc").is_none() {
            return Err(Unavailable::because(anyhow!("there is no C compiler `cc`")).into());
        }
        let source = self.sources.tree().join("lab/examples/forgotten_flush.c");
        let program = self.sources.work().join(format!("forgotten-flush-{name}"));
        Cmd::new("cc")
            .words("-O2 -Wall -Wextra -Werror")
            .args(option)
            .arg(source.display().to_string())
            .arg("-o")
            .arg(program.display().to_string())
            .read()?;
        Ok(program)
    }
}

fn compare(kit: &Kit, wrong: &Path, right: &Path, log: &mut Log) -> Result<()> {
    let tested = |program, policy, log: &mut Log| {
        let name = "machine-x86_64-lose-c";
        Subject { kit, name, program, arguments: ["update", "check"] }.tested(policy, log)
    };
    let found = tested(wrong, Policy::None, log)?;
    ensure!(found.failures > 0, "the forgotten write-back is not found: {found}");
    let found = tested(right, Policy::Torn, log)?;
    ensure!(found.failures == 0, "the right program fails: {found}");
    Ok(())
}

impl Subject<'_> {
    fn tested(&self, policy: Policy, log: &mut Log) -> Result<Summary> {
        let found = HostProgram::find(self.program, &[])?;
        let [arguments, check] =
            self.arguments.map(|line| line.split(' ').map(str::to_owned).collect());
        let limit = Duration::from_secs(60);
        let test = CrashTest {
            kit: self.kit,
            name: self.name,
            program: &found,
            prepare: Vec::new(),
            arguments,
            check,
            environment: Vec::new(),
            policy,
            is_streaming_evicting: false,
            limit,
        };
        let made = test.make(log)?;
        let cuts = test.count(&made, log)?.cuts(CUTS, seed_of_run());
        let (program, [arguments, check]) = (self.program.display(), self.arguments);
        let (check, mut out) = (quoted(check), log.writer()?);
        let summary = cut_all(&test, &made, &cuts, log, |number, cut| {
            let repeating = format!(
                "lose-lines cut --cut {} --seed {} --policy {policy} --check {check} {program} {arguments}",
                cut.moment, cut.seed
            );
            Ok(writeln!(out, "{}", cut.in_words((number, cuts.len()), &repeating))?)
        })?;
        writeln!(out, "{summary}")?;
        ensure!(summary.dirty > 0, "no line was dirty at a cut of {}", self.program.display());
        Ok(summary)
    }
}
