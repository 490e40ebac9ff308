//! The replacement of PMDK's library on CPUs where no instruction reaches the point of persistence.
//!
//! A lane links the library for its target, compiles programs of `capi/libpmem/tests`, and runs them in user emulation
//! of such a CPU.

use anyhow::{Context as _, Result};

use super::Lab;
use super::compilers;
use super::lane::{Lane, Run};
use super::targets::TARGETS;
use crate::capi::LIBPMEM;
use crate::command::Cmd;
use crate::report::{Finding, Tests};
use lose_lines::cache::make_empty;
use lose_lines::log::Log;

/// The architectures by name, triple and emulated CPU.
const CPUS: [[&str; 3]; 2] = [
    ["aarch64", "aarch64-unknown-linux-gnu", "cortex-a53"],
    ["riscv64", "riscv64gc-unknown-linux-gnu", "rv64,zicbom=false"],
];

/// The programs, and their arguments after a folder.
const PROGRAMS: [(&str, &[&str]); 4] =
    [("short", &[]), ("calls", &[]), ("random", &["1"]), ("early", &[])];

pub(super) fn lanes() -> Vec<Lane> {
    let lane = |[name, triple, cpu]: [&'static str; 3]| {
        let proves =
            "the replacement of libpmem reports a CPU that cannot persist, or ends with it";
        let folder = format!("c/libpmem-{name}");
        let lane = Lane::new(folder.clone(), proves, move |lab| prepare(lab, &folder, triple, cpu));
        // The same code, and the link for another target.
        if name == "riscv64" { lane.long() } else { lane }
    };
    CPUS.into_iter().map(lane).collect()
}

fn prepare(lab: &Lab<'_>, lane: &str, triple: &str, cpu: &str) -> Result<Run> {
    let target = TARGETS.iter().find(|target| target.triple == triple).context("no such target")?;
    let model = target.models.iter().find(|model| model.cpu == cpu).context("no such CPU")?;
    let compiler = compilers::compiler(lab.sources.host, triple)?;
    let cc = compilers::c_compiler(lab.sources.host, triple)?;
    let emulator = lab.targets.ready(lab.sources.host, target)?;
    let (work, tree) = (lab.sources.work().join(lane), lab.sources.tree());
    let archive = LIBPMEM.archive(&compiler, triple, tree, &lab.sources.work().join("target"))?;
    LIBPMEM.shared(&cc, &archive, tree, &work)?;
    let folder = tree.join("capi/libpmem");
    let mut programs = Vec::new();
    for (name, arguments) in PROGRAMS {
        let (program, files) = (work.join(name), work.join(format!("{name}.files")));
        Cmd::new(&cc)
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

fn run(programs: &[Cmd], log: &mut Log) -> Result<Finding> {
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
    let (run, failed) = (programs.len() + 1, failures.len());
    Ok(Finding::of(Tests::counted(run - failed, failed, 0), failures.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::{CPUS, TARGETS};

    #[test]
    fn every_cpu_is_one_of_the_targets() {
        for [_, triple, cpu] in CPUS {
            let target = TARGETS.iter().find(|target| target.triple == triple).unwrap();
            assert!(target.models.iter().any(|model| model.cpu == cpu), "{triple} {cpu}");
        }
    }
}
