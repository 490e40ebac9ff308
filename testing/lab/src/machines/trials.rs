//! Trials: a program's files crash by thousands, without an end of the machine (`testing/lab/guest/src/trials`). Its
//! acknowledged work must be there; and if one write-back or fence is left out, some must be lost.

use alloc::collections::BTreeMap;
use core::ops::Range;
use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::trials::{Found, WORKS};
use lose_lines_machine::elf;
use lose_lines_machine::losses::random;
use lose_lines_plugin::policy::Policy;
use xtask::command::Cmd;

use super::tree::{Kind, Tree};
use super::{Architecture, Kit, Machine, Setup, Stage, Transcript, emulated, start_on_dax};
use crate::lab::agent_file;

/// The trials of a work.
const TRIALS: u64 = 60;
/// The trials of a work without one of its instructions.
const AT_ONCE: u64 = 100;

/// A thread may write back on one of them, and fence on the other.
const CPUS: u32 = 2;

/// One in so many stores has its line evicted, and persist: on x86, so that both kinds of machines are tried.
const EVICTED: u64 = 64;

/// The greatest number of instructions that are left out, until one is noticed. The trials notice about every second
/// instruction; some defects need a crash between two instructions.
const LEFT_OUT: usize = 20;

pub(super) fn on_pmem(stage: &Stage, log: &mut Transcript) -> Result<()> {
    if stage.kit.architecture == Architecture::Arm64 {
        let tree = tree(stage, "neoverse-n1", Kind::Pmem)?;
        return nothing_is_lost(stage, tree.setup.clone(), log);
    }
    let mut setup = emulated(&stage.name);
    if let Some(losses) = &mut setup.losses {
        losses.more.push(format!("evict={EVICTED}"));
    }
    nothing_is_lost(stage, setup, log)
}

pub(super) fn on_ram(stage: &Stage, log: &mut Transcript) -> Result<()> {
    let is_arm = stage.kit.architecture == Architecture::Arm64;
    let tree = tree(stage, if is_arm { "cortex-a53" } else { "rv64" }, Kind::Ram)?;
    nothing_is_lost(stage, tree.setup.clone(), log)
}

fn tree(Stage { kit, name, .. }: &Stage, cpu: &str, kind: Kind) -> Result<Tree> {
    Tree::new(kit, name, (cpu, CPUS), kind)
}

/// Checks that lives crash and lose nothing.
fn nothing_is_lost(
    Stage { kit, name, .. }: &Stage,
    setup: Setup,
    log: &mut Transcript,
) -> Result<()> {
    let mut machine = start(kit, setup, log)?;
    let seed = random(name);
    for work in WORKS {
        let Found { failure, lives, crashed, .. } = run(&mut machine, work, seed, 0..TRIALS, 0)?;
        if let Some(failure) = failure {
            bail!("{work}, seed {seed}: {failure}");
        }
        writeln!(log, "{work}: {lives} lives, {crashed} crashed before their end, nothing lost")?;
        ensure!(crashed > 0, "{work}: no life has crashed");
    }
    machine.power_off()
}

/// Starts a machine with a file system whose files can crash.
fn start(kit: &Kit, mut setup: Setup, log: &Transcript) -> Result<Machine> {
    if let Some(losses) = &mut setup.losses {
        losses.policy = Policy::Any;
        losses.follows_stores = true;
    }
    // The emulator translates a page of a program once, and the plugin knows its instructions by the first address.
    setup.command_line.push_str(" norandmaps");
    setup.limit *= 6;
    setup.cpus = CPUS;
    start_on_dax(kit, &setup, log)
}

/// Runs trials of a work, with the instruction at this offset in the program left out unless it is 0.
fn run(
    machine: &mut Machine,
    work: &str,
    seed: u64,
    trials: Range<u64>,
    omitted: u64,
) -> Result<Found> {
    let (first, count) = (trials.start, trials.end - trials.start);
    let line = format!("/init trials {work} /mnt/{work} {seed} {first} {count} {omitted}");
    let document = machine.document(&line)?;
    serde_json::from_value(document).with_context(|| line)
}

/// An instruction of the guest that writes back or fences.
#[derive(Debug)]
struct Instruction {
    /// The place of the instruction in the program.
    offset: u64,
    event: String,
    /// The works that execute it.
    works: Vec<&'static str>,
}

/// Leaves out one instruction after the other, until one is noticed.
pub(super) fn left_out(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let mut machine = start(kit, emulated(name), log)?;
    let seed = random(name);
    let mut instructions = executed(&mut machine, seed)?;
    writeln!(log, "the works execute {} instructions", instructions.len())?;
    for _tried in 0..LEFT_OUT.min(instructions.len()) {
        let next = usize::try_from(random(name))? % instructions.len();
        let instruction = instructions.swap_remove(next);
        let noticed = notice(&mut machine, &instruction, seed)?;
        let fate = noticed.as_deref().unwrap_or("not noticed");
        let place = place(kit, instruction.offset)?;
        writeln!(
            log,
            "left out: {:#x} | {} | {place} | {fate}",
            instruction.offset, instruction.event
        )?;
        if noticed.is_some() {
            return machine.power_off();
        }
    }
    bail!("none of {LEFT_OUT} is noticed")
}

/// Returns the instructions that the works execute.
fn executed(machine: &mut Machine, seed: u64) -> Result<Vec<Instruction>> {
    let mut found: BTreeMap<u64, Instruction> = BTreeMap::new();
    for work in WORKS {
        let before = machine.losses()?.len();
        let base = passing(machine, work, seed)?.base;
        for line in machine.losses()?[before..].lines() {
            let Some((at, event)) = site(line) else { continue };
            let offset = at.checked_sub(base).context("an instruction before the program")?;
            let new = Instruction { offset, event: event.to_owned(), works: Vec::new() };
            let works = &mut found.entry(offset).or_insert(new).works;
            if !works.contains(&work) {
                works.push(work);
            }
        }
    }
    ensure!(!found.is_empty(), "no work writes back or fences");
    Ok(found.into_values().collect())
}

/// Returns the address and the event of a line `site at=0x… event=…`.
fn site(line: &str) -> Option<(u64, &str)> {
    let (at, event) = line.strip_prefix("site at=0x")?.split_once(" event=")?;
    Some((u64::from_str_radix(at, 16).ok()?, event))
}

/// Runs trials with every instruction, which must pass.
fn passing(machine: &mut Machine, work: &str, seed: u64) -> Result<Found> {
    let found = run(machine, work, seed, 0..AT_ONCE, 0)?;
    match &found.failure {
        None => Ok(found),
        Some(failure) => bail!("{work} with every instruction: {failure}"),
    }
}

/// Runs the works without the instruction. Returns the work that noticed it, with the trial; `None` if none did.
fn notice(machine: &mut Machine, instruction: &Instruction, seed: u64) -> Result<Option<String>> {
    for work in &instruction.works {
        let found = run(machine, work, seed, 0..AT_ONCE, instruction.offset)?;
        if let Some(failure) = found.failure {
            // Passing with every instruction, these trials fail for the one that is left out.
            passing(machine, work, seed)?;
            return Ok(Some(format!("{work}: {failure}")));
        }
    }
    Ok(None)
}

/// Returns the calls that lead to a place in the guest, from the inside.
fn place(kit: &Kit, offset: u64) -> Result<String> {
    let symbols = agent_file(&kit.work, kit.architecture, "symbols");
    let bytes = fs::read(&symbols).with_context(|| symbols.display().to_string())?;
    // The address is 0 for an agent that runs at any place.
    let lines = Cmd::new("addr2line")
        .words("-i -s -p -e")
        .arg(symbols.display().to_string())
        .arg(format!("{:#x}", offset + elf::first_address(&bytes)?))
        .read()?;
    Ok(lines.replace("\n (inlined by)", " <").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::site;

    #[test]
    fn the_plugins_lines_about_instructions_are_read() {
        assert_eq!(site("site at=0x401000 event=fence"), Some((0x40_1000, "fence")));
        assert_eq!(site("trial events=4 crash=3 seed=1 changed=0"), None);
    }
}
