//! The images of `tests/lab/freestanding`: the library at EL1 and in ring 0, without an operating
//! system, on emulated boards.
//!
//! An image prints one verdict a step, what it chose and what it found out; here it is known which
//! steps there must be, and what the manual of the CPU demands. An emulator has no caches: a lane
//! proves what is chosen and that it executes where nobody traps it, never that data became durable.

use std::path::PathBuf;

use anyhow::Result;

use super::{Lab, Lane, Run, Unavailable};
use crate::command::{Cmd, Ending};
use crate::log::Log;
use crate::report::{Finding, Tests};
use crate::toolchain::{self, Compiler};

/// Seconds for one image, which needs less than one.
const LIMIT: u32 = 60;

/// One emulated CPU and what must be said on it.
struct Model {
    cpu: &'static str,
    chosen: &'static str,
    hypervisor: &'static str,
    /// Steps that it cannot run and must say so.
    lacks: &'static [&'static str],
}

impl Model {
    const fn new(cpu: &'static str, chosen: &'static str, hypervisor: &'static str) -> Self {
        Self { cpu, chosen, hypervisor, lacks: &[] }
    }
}

/// A board with the CPUs that it is run with.
struct Board {
    architecture: &'static str,
    triple: &'static str,
    options: &'static str,
    /// The emulator's exit code when the image powers the board off.
    powered_off: i32,
    /// The steps that only this architecture has.
    own_steps: [&'static str; 2],
    models: &'static [Model],
}

/// On every board, before its own.
const STEPS: [&str; 7] = [
    "privileged",
    "whole cache refused",
    "writeback",
    "invalidate",
    "writeback_invalidate",
    "batch",
    "every instruction",
];
const LAST_STEP: &str = "panic write-back";

const CLWB: &str = "writeback=clwb,persistence=clwb,deep=refused,line=64";

/// QEMU raises #UD for an instruction whose CPUID bit is off. Its emulation announces itself as a
/// hypervisor, with a signature unless `tcg-cpuid` is off.
const X86: &[Model] = &[
    Model::new("max", CLWB, "TCGTCGTCGTCG"),
    Model::new(
        "max,-clwb",
        "writeback=clflushopt,persistence=clflushopt,deep=refused,line=64",
        "TCGTCGTCGTCG",
    ),
    Model::new(
        "max,-clwb,-clflushopt",
        "writeback=clflush,persistence=clflush,deep=refused,line=64",
        "TCGTCGTCGTCG",
    ),
    Model::new("max,-hypervisor", CLWB, "absent"),
    Model::new("max,tcg-cpuid=off", CLWB, "unnamed"),
    Model { lacks: &["wbnoinvd"], ..Model::new("max,-wbnoinvd", CLWB, "TCGTCGTCGTCG") },
];

const CVADP: &str = "writeback=dc cvac,persistence=dc cvap,deep=dc cvadp,line=64";

/// As for user mode; and Cortex-A53 r0p0, where the errata 826319, 827319, 824069 and 819472 forbid a
/// clean. `max` has lines of 64 bytes in a whole machine (QEMU `target/arm/tcg/cpu64.c`).
const ARM64: &[Model] = &[
    Model::new(
        "cortex-a53,midr=0x410fd030",
        "writeback=dc civac,persistence=refused,deep=refused,line=64",
        "unknown",
    ),
    Model::new(
        "cortex-a57",
        "writeback=dc cvac,persistence=refused,deep=refused,line=64",
        "unknown",
    ),
    Model::new(
        "neoverse-n1",
        "writeback=dc cvac,persistence=dc cvap,deep=refused,line=64",
        "unknown",
    ),
    Model::new("a64fx", "writeback=dc cvac,persistence=dc cvap,deep=refused,line=256", "unknown"),
    Model::new("neoverse-v1", CVADP, "unknown"),
    Model::new("max", CVADP, "unknown"),
];

const BOARDS: [Board; 2] = [
    Board {
        architecture: "x86_64",
        triple: "x86_64-unknown-none",
        options: "-M q35 -device isa-debug-exit",
        // The image's 0x10 (QEMU `hw/misc/debugexit.c`: value << 1 | 1).
        powered_off: 33,
        own_steps: ["wbinvd", "wbnoinvd"],
        models: X86,
    },
    Board {
        architecture: "aarch64",
        triple: "aarch64-unknown-none",
        options: "-M virt",
        powered_off: 0,
        own_steps: ["dc ivac", "dc cisw"],
        models: ARM64,
    },
];

pub(super) fn lanes() -> Vec<Lane> {
    let lane = |board: &'static Board, model: &'static Model| {
        let name = format!("freestanding/{}/{}", board.architecture, model.cpu);
        let proves = format!("privileged code runs without a system, choosing {}", model.chosen);
        Lane::new(name, proves, move |lab| prepare(lab, board, model))
    };
    BOARDS
        .iter()
        .flat_map(|board| board.models.iter().map(move |model| lane(board, model)))
        .collect()
}

fn prepare(lab: &Lab<'_>, board: &'static Board, model: &'static Model) -> Result<Run> {
    let emulators = lab.emulators()?;
    let compiler = compiler(lab, board)?;
    let image = build(lab, &compiler, board)?;
    let machine = emulators
        .system(board.architecture)
        .words("-accel tcg -m 128M -no-reboot -serial stdio")
        .words(board.options)
        .args(["-cpu", model.cpu, "-kernel"])
        .arg(image.display().to_string())
        .limit(LIMIT);
    Ok(Box::new(move |log| run(&machine, board, model, log)))
}

fn compiler(lab: &Lab<'_>, board: &Board) -> Result<Compiler, Unavailable> {
    let gnu = format!("{}-linux-gnu", board.architecture);
    toolchain::with_core_and_linker(lab.host, board.triple, &gnu).map_err(Unavailable::because)
}

/// The image, in a folder of its own whatever the compiler.
fn build(lab: &Lab<'_>, compiler: &Compiler, board: &Board) -> Result<PathBuf> {
    let folder = lab.work().join("freestanding");
    lab.cargo(compiler, "build --release -p cachemaint-lab-freestanding")
        .args(["--target", board.triple])
        .env("CARGO_TARGET_DIR", folder.display().to_string())
        .read()?;
    Ok(folder.join(board.triple).join("release/freestanding"))
}

fn run(machine: &Cmd, board: &Board, model: &Model, log: &mut Log) -> Result<Finding> {
    let mut lines = Vec::new();
    let ending = machine.watch_in(log, |line| lines.push(line.trim_end().to_owned()))?;
    Ok(judge(board, model, &lines, &ending))
}

/// Nothing may be wrong: every step with its verdict, what the CPU's manual demands, an ordered end.
fn judge(board: &Board, model: &Model, lines: &[String], ending: &Ending) -> Finding {
    let verdicts: Vec<Verdict<'_>> = lines.iter().filter_map(|line| verdict(line)).collect();
    let count = |word| verdicts.iter().filter(|verdict| verdict.word == word).count();
    let tests = Tests::counted(count("passed"), count("failed"), count("skipped"));
    let mut wrong = wrong_verdicts(board, model, &verdicts);
    wrong.extend(wrong_fact(lines, "chosen", model.chosen));
    wrong.extend(wrong_fact(lines, "hypervisor", model.hypervisor));
    if lines.last().is_none_or(|line| line != "done") {
        wrong.push(String::from("the image did not come to its end"));
    }
    if ending.code != Some(board.powered_off) {
        wrong.push(format!("the emulator {}, not by the image's power-off", ending.told));
    }
    if wrong.is_empty() { Finding::passed(tests) } else { Finding::failed(tests, wrong.join("; ")) }
}

/// `word step` or `word step: why`.
struct Verdict<'a> {
    word: &'a str,
    step: &'a str,
    why: &'a str,
}

impl Verdict<'_> {
    fn told(&self) -> String {
        let Self { word, step, why } = self;
        match *word {
            "passed" => format!("`{step}` passed, which was not expected"),
            _ => format!("`{step}` {word}: {why}"),
        }
    }
}

fn verdict(line: &str) -> Option<Verdict<'_>> {
    let (word, rest) = line.split_once(' ')?;
    let (step, why) = rest.split_once(": ").unwrap_or((rest, ""));
    ["passed", "failed", "skipped"].contains(&word).then_some(Verdict { word, step, why })
}

/// Failures first: they say most.
fn wrong_verdicts(board: &Board, model: &Model, verdicts: &[Verdict<'_>]) -> Vec<String> {
    let wanted = || STEPS.into_iter().chain(board.own_steps).chain([LAST_STEP]);
    let word_on = |step| if model.lacks.contains(&step) { "skipped" } else { "passed" };
    let is_wanted = |verdict: &&Verdict<'_>| {
        wanted().any(|step| step == verdict.step && word_on(step) == verdict.word)
    };
    let mut wrong: Vec<String> =
        verdicts.iter().filter(|verdict| !is_wanted(verdict)).map(Verdict::told).collect();
    let is_missing = |step: &&str| verdicts.iter().all(|verdict| verdict.step != *step);
    let missing: Vec<&str> = wanted().filter(is_missing).collect();
    if !missing.is_empty() {
        wrong.push(format!("no verdict on `{}`", missing.join("`, `")));
    }
    wrong
}

fn wrong_fact(lines: &[String], name: &str, wanted: &str) -> Option<String> {
    let mut facts = lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    match facts.next() {
        Some(found) if found == wanted => None,
        Some(found) => Some(format!("{name} is `{found}`, must be `{wanted}`")),
        None => Some(format!("{name} was not told")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Board, Ending, Finding, LAST_STEP, Model, STEPS, judge};

    const MODEL: Model =
        Model { lacks: &["two"], ..Model::new("a", "writeback=b,line=64", "absent") };
    const BOARD: Board = Board {
        architecture: "x",
        triple: "x-unknown-none",
        options: "",
        powered_off: 33,
        own_steps: ["one", "two"],
        models: &[],
    };

    /// What an image prints if all is well.
    fn whole() -> Vec<String> {
        let mut lines = vec![String::from("chosen writeback=b,line=64")];
        lines.push(String::from("hypervisor absent"));
        lines.extend(STEPS.iter().map(|step| format!("passed {step}")));
        lines.extend(["passed one", "skipped two: no CPUID bit"].map(String::from));
        lines.extend([format!("passed {LAST_STEP}"), String::from("done")]);
        lines
    }

    fn judged(lines: &[String], code: i32, told: &str) -> Finding {
        judge(&BOARD, &MODEL, lines, &Ending { code: Some(code), told: told.to_owned() })
    }

    fn failure(lines: &[String]) -> String {
        judged(lines, 33, "").failure().expect("it fails").to_owned()
    }

    #[test]
    fn an_image_that_says_all_that_it_must_passes() {
        assert_eq!(judged(&whole(), 33, "").failure(), None);
    }

    #[test]
    fn a_step_that_is_not_there_is_named() {
        let mut lines = whole();
        lines.retain(|line| line != "passed batch");
        assert_eq!(failure(&lines), "no verdict on `batch`");
    }

    #[test]
    fn a_failed_step_is_told_with_its_reason_and_with_what_did_not_run() {
        let mut lines = whole();
        lines.truncate(lines.len() - 4);
        lines.push(String::from("failed one: exception 6: #UD"));
        assert_eq!(
            failure(&lines),
            "`one` failed: exception 6: #UD; no verdict on `two`, `panic write-back`; \
             the image did not come to its end"
        );
    }

    #[test]
    fn a_step_is_skipped_only_where_the_cpu_lacks_it_and_then_always() {
        let swap = |from: &str, to: &str| -> Vec<String> {
            whole().iter().map(|line| if line == from { to } else { line }.to_owned()).collect()
        };
        assert_eq!(failure(&swap("passed one", "skipped one: tired")), "`one` skipped: tired");
        assert_eq!(
            failure(&swap("skipped two: no CPUID bit", "passed two")),
            "`two` passed, which was not expected"
        );
    }

    #[test]
    fn another_choice_than_the_manuals_is_told_beside_it() {
        let mut lines = whole();
        lines[0] = String::from("chosen writeback=c,line=64");
        lines.remove(1);
        assert_eq!(
            failure(&lines),
            "chosen is `writeback=c,line=64`, must be `writeback=b,line=64`; \
             hypervisor was not told"
        );
    }

    #[test]
    fn an_end_that_is_no_power_off_is_a_failure() {
        let finding = judged(&whole(), 124, "took longer than 60 s");
        assert_eq!(
            finding.failure(),
            Some("the emulator took longer than 60 s, not by the image's power-off")
        );
        assert!(judged(&[], 124, "took longer than 60 s").failure().is_some());
    }
}
