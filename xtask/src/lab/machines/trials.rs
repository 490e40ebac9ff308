//! Trials: a program's files crash by thousands, without an end of the machine (`tests/lab/guest/src/trials`). Its
//! acknowledged work must be there; and if one write-back or fence is left out, some must be lost.

use alloc::collections::BTreeMap;
use core::ops::Range;
use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::trials::{Found, WORKS};

use super::tree::{Kind, Tree};
use super::{Architecture, Kit, Lane, Log, Machine, Setup, emulated, losing_lane, start_on_dax};
use crate::command::Cmd;
use crate::lab::agent_file;
use lose_lines::elf;
use lose_lines::losses::{Policy, random};

/// The trials of a work in a usual run.
const USUAL: u64 = 60;
/// The trials of a work in the long run, and those of one request.
const LONG: u64 = 2000;
const AT_ONCE: u64 = 100;

/// A thread may write back on one of them, and fence on the other.
const CPUS: u32 = 2;

/// One in so many stores has its line evicted, and persist: on x86, so that both kinds of machines are tried.
const EVICTED: u64 = 64;

/// The instructions that are left out.
struct LeftOut {
    /// The number of those that must be noticed, after which the run ends.
    noticed: usize,
    /// The greatest number of those that are tried. The seed chooses them.
    most: usize,
    /// The trials of each work that may miss one. Some defects need a crash between two instructions.
    trials: u64,
}

/// The usual run, which shows that the trials can fail. They notice about every second instruction, so that 20 of these
/// hold one by all odds.
const SAMPLE: LeftOut = LeftOut { noticed: 1, most: 20, trials: AT_ONCE };
/// The long run.
const ALL: LeftOut = LeftOut { noticed: usize::MAX, most: usize::MAX, trials: 6000 };
/// The trials of each work that may notice one with a reason not to.
const EXCUSED: u64 = 600;

/// An instruction without which nothing is lost: its event, the call that it belongs to, and the reason.
const NOT_NEEDED: [(&str, &str, &str, &str); 2] = [
    (
        "fence",
        "dax/view.rs:390 deep_persist",
        "persist_lines(&range, cache)",
        "on a medium without a deep flush the kernel's msync follows, which writes back the pages by itself",
    ),
    (
        "fence",
        "preserve/writing/open.rs:442 ",
        "fence()",
        "it is for a record that a killed process has left in the caches; a life ends with a crash, so each one is durable",
    ),
];

/// Returns the reason why nothing is lost without an instruction.
fn reason(event: &str, place: &str) -> Option<&'static str> {
    let is_it =
        |(known, call, ..): &&(&str, &str, &str, &str)| *known == event && place.contains(call);
    NOT_NEEDED.iter().find(is_it).map(|(.., reason)| *reason)
}

pub(super) fn lanes() -> Vec<Lane> {
    let on_ram = [
        (Architecture::Arm64, "cortex-a53", "the same on RAM, without DC CVAP (Cortex-A53)"),
        (Architecture::Riscv64, "rv64", "the same on RAM (Zicbom)"),
    ];
    let on_ram = on_ram.into_iter().map(|(architecture, cpu, proves)| {
        let lane = losing_lane(architecture, "trials-ram", proves, move |kit, name, log| {
            let tree = Tree::new(kit, name, (cpu, CPUS), Kind::Ram)?;
            nothing_is_lost(kit, Some(&tree), name, log, USUAL)
        });
        // With DC CVAP the same machine runs the trials, with another operand of the instruction.
        if architecture == Architecture::Arm64 { lane.long() } else { lane }
    });
    [Architecture::X86, Architecture::Arm64]
        .into_iter()
        .flat_map(|architecture| {
            let proves = "acknowledged work is there after every crash of a file that loses lines";
            let fails =
                "if one write-back or fence of the library is left out, acknowledged work is lost";
            let one = "one of them is noticed within few trials";
            let sample = losing_lane(architecture, "left-out", one, |kit, name, log| {
                something_is_lost(kit, name, log, &SAMPLE)
            });
            // The machine code of one architecture shows that the trials notice.
            let sample = if architecture == Architecture::X86 { sample } else { sample.long() };
            [
                losing_lane(architecture, "trials", proves, |kit, name, log| {
                    nothing_is_lost(kit, tree(kit, name)?.as_ref(), name, log, USUAL)
                }),
                losing_lane(architecture, "trials-long", proves, |kit, name, log| {
                    nothing_is_lost(kit, tree(kit, name)?.as_ref(), name, log, LONG)
                })
                .long(),
                sample,
                losing_lane(architecture, "left-out-all", fails, |kit, name, log| {
                    something_is_lost(kit, name, log, &ALL)
                })
                .long(),
            ]
        })
        .chain(on_ram)
        .collect()
}

/// Returns the number of lives that crashed, and lost nothing.
fn nothing_is_lost(
    kit: &Kit,
    tree: Option<&Tree>,
    name: &str,
    log: &mut Log,
    count: u64,
) -> Result<usize> {
    let mut setup = tree.map_or_else(|| emulated(name), |tree| tree.setup.clone());
    if let (Architecture::X86, Some(losses)) = (kit.architecture, &mut setup.losses) {
        losses.more.push(format!("evict={EVICTED}"));
    }
    let mut machine = start(kit, setup, log)?;
    let seed = random(name);
    let mut crashed = 0;
    for work in WORKS {
        let (mut lives, before) = (0, crashed);
        for first in (0..count).step_by(usize::try_from(AT_ONCE)?) {
            let found = run(&mut machine, work, seed, first..count.min(first + AT_ONCE), 0)?;
            if let Some(failure) = found.failure {
                bail!("{work}, seed {seed}: {failure}");
            }
            lives += found.lives;
            crashed += found.crashed;
        }
        let here = crashed - before;
        writeln!(log, "{work}: {lives} lives, {here} crashed before their end, nothing lost")?;
        ensure!(here > 0, "{work}: no life has crashed");
    }
    machine.power_off()?;
    Ok(usize::try_from(crashed)?)
}

/// Returns the device tree of an arm64 machine.
fn tree(kit: &Kit, name: &str) -> Result<Option<Tree>> {
    let is_needed = kit.architecture == Architecture::Arm64;
    is_needed.then(|| Tree::new(kit, name, ("neoverse-n1", CPUS), Kind::Pmem)).transpose()
}

/// Starts a machine with a file system whose files can crash.
fn start(kit: &Kit, mut setup: Setup, log: &Log) -> Result<Machine> {
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

/// Leaves out one instruction after the other, until enough are noticed. Returns their number.
fn something_is_lost(kit: &Kit, name: &str, log: &mut Log, left_out: &LeftOut) -> Result<usize> {
    let tree = tree(kit, name)?;
    let setup = tree.as_ref().map_or_else(|| emulated(name), |tree| tree.setup.clone());
    let mut machine = start(kit, setup, log)?;
    let seed = random(name);
    let mut instructions = executed(&mut machine, seed)?;
    writeln!(log, "the works execute {} instructions", instructions.len())?;
    let (mut noticed, mut tried, mut survivors) = (0, 0, Vec::new());
    while noticed < left_out.noticed && tried < left_out.most && !instructions.is_empty() {
        let next = usize::try_from(random(name))? % instructions.len();
        let instruction = instructions.swap_remove(next);
        let place = place(kit, instruction.offset)?;
        let Instruction { offset, event, works } = &instruction;
        let reason = reason(event, &place);
        let trials = if reason.is_some() { EXCUSED.min(left_out.trials) } else { left_out.trials };
        tried += 1;
        let fate = match (notice(&mut machine, &instruction, seed, trials)?, reason) {
            (Some(by), _) => {
                noticed += 1;
                by
            }
            (None, Some(why)) => format!("not needed: {why}"),
            (None, None) => {
                survivors.push(format!("{event} at {place} ({works:?})"));
                "SURVIVED".to_owned()
            }
        };
        writeln!(log, "left out: {offset:#x} | {event} | {place} | {fate}")?;
    }
    let is_enough = noticed >= left_out.noticed || survivors.is_empty();
    ensure!(is_enough, "{} of {tried} are not noticed: {}", survivors.len(), survivors.join("; "));
    machine.power_off()?;
    Ok(tried)
}

/// Returns the instructions that the works execute.
fn executed(machine: &mut Machine, seed: u64) -> Result<Vec<Instruction>> {
    let mut found: BTreeMap<u64, Instruction> = BTreeMap::new();
    for work in WORKS {
        let before = machine.losses()?.len();
        let base = passing(machine, work, seed, 0..AT_ONCE)?.base;
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
fn passing(machine: &mut Machine, work: &str, seed: u64, trials: Range<u64>) -> Result<Found> {
    let found = run(machine, work, seed, trials, 0)?;
    match &found.failure {
        None => Ok(found),
        Some(failure) => bail!("{work} with every instruction: {failure}"),
    }
}

/// Runs the works without the instruction. Returns the work that noticed it, with the trial; `None` if none did.
fn notice(
    machine: &mut Machine,
    instruction: &Instruction,
    seed: u64,
    trials: u64,
) -> Result<Option<String>> {
    for first in (0..trials).step_by(usize::try_from(AT_ONCE)?) {
        for work in &instruction.works {
            let trials = first..first + AT_ONCE;
            let found = run(machine, work, seed, trials.clone(), instruction.offset)?;
            if let Some(failure) = found.failure {
                // Passing with every instruction, these trials fail for the one that is left out.
                passing(machine, work, seed, trials)?;
                return Ok(Some(format!("{work}: {failure}")));
            }
        }
    }
    Ok(None)
}

/// The folders whose calls every path makes.
const COMMON: [&str; 5] = ["arch/", "cache/", "dax/", "medium/", "core/"];

/// The calls that are shown of a path with common ones alone.
const OUTERMOST: usize = 3;

/// Returns the calls that lead to a place in the guest, from the inside: those of the rooms above the common ones, or
/// the outermost if there are no others.
fn place(kit: &Kit, offset: u64) -> Result<String> {
    let symbols = agent_file(&kit.work, kit.architecture, "symbols");
    let bytes = fs::read(&symbols).with_context(|| symbols.display().to_string())?;
    // The address is 0 for an agent that runs at any place.
    let lines = Cmd::new(format!("{}-linux-gnu-addr2line", kit.architecture.qemu()))
        .words("-i -f -C -e")
        .arg(symbols.display().to_string())
        .arg(format!("{:#x}", offset + elf::first_address(&bytes)?))
        .read()?;
    let lines: Vec<&str> = lines.lines().collect();
    let calls: Vec<String> = lines.chunks(2).filter_map(call).collect();
    let is_common = |call: &&String| COMMON.iter().any(|folder| call.starts_with(folder));
    let own: Vec<&str> = calls.iter().filter(|call| !is_common(call)).map(String::as_str).collect();
    let outermost = calls.len().saturating_sub(OUTERMOST);
    Ok(if own.is_empty() { calls[outermost..].join(" < ") } else { own.join(" < ") })
}

/// Returns `journal/append.rs:74 commit` for the two lines of a call, which name the function and the line.
fn call(lines: &[&str]) -> Option<String> {
    let [function, line] = lines else { return None };
    let (_, line) = line.rsplit_once("/src/").or_else(|| line.rsplit_once("/../"))?;
    let line = line.split(' ').next()?.trim_start_matches("../");
    let function = without_arguments(function);
    Some(format!("{line} {}", function.rsplit("::").next()?))
}

/// Returns the path of a function without its generic arguments: `a::b` for `a::b<c::D>`.
fn without_arguments(function: &str) -> String {
    let mut depth = 0_u32;
    let is_outside = |letter: &char| {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    function.chars().filter(is_outside).collect()
}

#[cfg(test)]
mod tests {
    use super::{NOT_NEEDED, call, reason, site};
    use std::fs;
    use std::path::Path;

    #[test]
    fn instructions_that_are_not_needed_are_at_their_lines() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("src");
        for (_, place, words, _) in NOT_NEEDED {
            let (file, rest) = place.split_once(':').unwrap();
            let number: usize = rest.split(' ').next().unwrap().parse().unwrap();
            let text = fs::read_to_string(sources.join(file)).unwrap();
            let line = text.lines().nth(number - 1).unwrap();
            assert!(line.contains(words), "{place} is another line: {line}");
        }
    }

    #[test]
    fn a_reason_belongs_to_an_event_of_one_call() {
        let (event, call, _, why) = NOT_NEEDED[0];
        let place = format!("arch/x86/mod.rs:9 fence < {call} < trials/file.rs:80 perform");
        assert_eq!(reason(event, &place), Some(why));
        assert_eq!(reason("writeback", &place), None);
        assert_eq!(reason(event, &place.replace(".rs:", ".rs:9")), None);
    }

    #[test]
    fn the_output_of_tools_is_read() {
        assert_eq!(site("site at=0x401000 event=fence"), Some((0x40_1000, "fence")));
        assert_eq!(site("trial events=4 crash=3 seed=1 changed=0"), None);
        for name in ["commit", "commit<a::Medium, b::Other<c::D>>", "<a::B<c> as d::E>::commit"] {
            let found = [&*format!("cachemaint::journal::{name}"), "/w/src/journal/append.rs:74"];
            assert_eq!(call(&found).as_deref(), Some("journal/append.rs:74 commit"));
        }
        assert_eq!(call(&["??", "??:0"]), None);
    }
}
