//! The replacement of PMDK's library on CPUs where no instruction reaches the point of persistence.
//!
//! A lane links the library for its target, compiles programs of `capi/libpmem/tests`, and runs them in user emulation
//! of such a CPU.

use anyhow::{Context as _, Result};
use lose_lines::cache::make_empty;
use lose_lines::command::Cmd as Program;
use lose_lines::log::Log;
use xtask::c_libraries::LIBPMEM;
use xtask::command::Cmd;

use crate::cpus::passed;
use crate::cross::{self, Linking, Ready};
use crate::lab::Lab;
use crate::lane::{Lane, Run};

const LANE: &str = "capi/libpmem-aarch64";
const TRIPLE: &str = "aarch64-unknown-linux-gnu";
const CPU: &str = "cortex-a53";

/// The programs, and their arguments after a folder.
const PROGRAMS: [(&str, &[&str]); 4] =
    [("short", &[]), ("calls", &[]), ("random", &["1"]), ("early", &[])];

pub(super) fn lanes() -> Vec<Lane> {
    vec![Lane::new(LANE, prepare)]
}

fn prepare(lab: &Lab) -> Result<Run> {
    let target = cross::target(TRIPLE)?;
    let model = target.models.iter().find(|model| model.cpu == CPU).context("no such CPU")?;
    let emulator = Ready::find(&lab.host, target)?;
    let Linking { compiler, cc, .. } = &emulator.linking;
    let (work, tree) = (lab.work().join(LANE), lab.tree());
    let archive = LIBPMEM.archive(compiler, TRIPLE, tree, &lab.target())?;
    LIBPMEM.shared(cc, &archive, tree, &work)?;
    let folder = tree.join("capi/libpmem");
    let mut programs = Vec::new();
    for (name, arguments) in PROGRAMS {
        let (program, files) = (work.join(name), work.join(format!("{name}.files")));
        Cmd::new(cc)
            .words("-std=c11 -O2 -pthread")
            .arg(format!("-I{}", folder.join("include").display()))
            .arg(folder.join(format!("tests/programs/{name}.c")).display().to_string())
            .arg(format!("-L{}", work.display()))
            .arg(format!("-Wl,-rpath,{}", work.display()))
            .words("-l:libpmem.so.1 -o")
            .arg(program.display().to_string())
            .read()?;
        make_empty(&files)?;
        let cmd = emulator.on(model, &program.display().to_string());
        programs.push(cmd.arg(files.display().to_string()).args(arguments.iter().copied()));
    }
    Ok(Box::new(move |log| run(&programs, log)))
}

fn run(programs: &[Program], log: &mut Log) -> Result<()> {
    let mut failures = Vec::new();
    for cmd in programs {
        let mut last = String::new();
        let ending = cmd.watch_in(log, |line| line.clone_into(&mut last))?;
        if ending.code != Some(0) {
            failures.push(format!("`{cmd}` {}: {last}", ending.told));
        }
    }
    if let Some(cmd) = programs.first() {
        let complaint = cmd.clone().env("CACHEMAINT_STRICT", "1").refusal()?;
        if !complaint.contains("libpmem: stores are ") {
            failures.push(format!("`{cmd}` ends without the report: {complaint}"));
        }
    }
    passed(&failures)
}
