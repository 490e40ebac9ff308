//! The image `freestanding` of `tests/lab/freestanding`: the library at EL1, in ring 0 and in M-mode,
//! without an operating system, on emulated boards.
//!
//! The image prints one verdict per step, its choice and its findings. This file lists the expected steps and the
//! values that the manual of the CPU demands. An emulator has no caches: a lane proves the choice and that it executes
//! where no hypervisor traps it, never that data became durable.

use anyhow::Result;
use lose_lines::command::Ending;

use crate::board::{self, Board};
use crate::cpus::passed;
use crate::lab::Lab;
use crate::lane::{Lane, Run};

/// An emulated CPU with its expected output.
struct Model {
    cpu: &'static str,
    chosen: &'static str,
    hypervisor: &'static str,
    /// The steps that this CPU cannot run; the image must print that they are skipped.
    lacks: &'static [&'static str],
    /// The CPUs of the machine.
    cpus: u32,
}

impl Model {
    const fn new(cpu: &'static str, chosen: &'static str, hypervisor: &'static str) -> Self {
        Self { cpu, chosen, hypervisor, lacks: &[], cpus: 1 }
    }
}

/// The runs on one board.
struct Proof {
    board: Board,
    /// The steps that only this architecture has.
    own_steps: &'static [&'static str],
    models: &'static [Model],
}

/// The steps of every board, before its own.
const STEPS: [&str; 9] = [
    "privileged",
    "report",
    "whole cache asked",
    "writeback",
    "invalidate",
    "writeback_invalidate",
    "batch",
    "every instruction",
    "discard",
];
const LAST_STEP: &str = "panic write-back";

const CLWB: &str = "writeback=clwb,persistence=clwb,deep=refused,line=64";

/// The steps of ring 0, all of which a guest must refuse.
const RING_0: &[&str] =
    &["every cache invalidated", "every cache written back", "a CPU left out", "own caches"];

const fn guest(cpu: &'static str, chosen: &'static str, hypervisor: &'static str) -> Model {
    Model { lacks: RING_0, ..Model::new(cpu, chosen, hypervisor) }
}

/// A machine without a hypervisor, with this number of CPUs.
const fn bare(cpu: &'static str, cpus: u32) -> Model {
    let lacks: &[&str] = if cpus == 1 { &["a CPU left out"] } else { &[] };
    Model { lacks, cpus, ..Model::new(cpu, CLWB, "absent") }
}

/// QEMU raises #UD for an instruction whose CPUID bit is off. Its emulation announces itself as a
/// hypervisor, with a signature unless `tcg-cpuid` is off; with `-hypervisor` it is taken for a bare
/// machine.
const X86: &[Model] = &[
    guest("max", CLWB, "TCGTCGTCGTCG"),
    guest(
        "max,-clwb",
        "writeback=clflushopt,persistence=clflushopt,deep=refused,line=64",
        "TCGTCGTCGTCG",
    ),
    guest(
        "max,-clwb,-clflushopt",
        "writeback=clflush,persistence=clflush,deep=refused,line=64",
        "TCGTCGTCGTCG",
    ),
    bare("max,-hypervisor", 1),
    bare("max,-hypervisor", 2),
    bare("max,-hypervisor", 4),
    guest("max,tcg-cpuid=off", CLWB, "unnamed"),
    bare("max,-hypervisor,-wbnoinvd", 1),
];

const CVADP: &str = "writeback=dc cvac,persistence=dc cvap,deep=dc cvadp,line=64";

/// The steps of EL1.
const EL1: &[&str] = &["coherency accepted", "own caches"];

/// As for user mode; and Cortex-A53 r0p0, where errata forbid a clean. `max` has lines of 64 bytes in a whole machine
/// (QEMU `target/arm/tcg/cpu64.c`).
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

/// The CPU of QEMU `target/riscv/cpu.c`: `rv64` has Zicbom with blocks of 64 bytes, and this size is passed to the
/// image.
const RISCV64: &[Model] = &[Model::new(
    "rv64",
    "writeback=cbo.clean,persistence=refused,deep=refused,line=64",
    "unknown",
)];

const PROOFS: [Proof; 3] = [
    Proof { board: board::X86_64, own_steps: RING_0, models: X86 },
    Proof { board: board::AARCH64, own_steps: EL1, models: ARM64 },
    Proof { board: board::RISCV64, own_steps: &["privileged refused"], models: RISCV64 },
];

/// Boards whose caches registers, CP15 or a vendor's instructions maintain, their CPUs, and the controllers that the image must have used.
const CONTROLLERS: [(Board, &str, &[&str]); 3] = [
    (board::MPS2, "cortex-m7", &["cortex-m7", "done"]),
    (board::ZYNQ, "cortex-a9", &["cortex-a9", "l2c-310", "done"]),
    (board::T_HEAD, "thead-c906", &["xtheadcmo", "done"]),
];

pub(super) fn lanes() -> Vec<Lane> {
    let controllers = CONTROLLERS.iter().map(|(board, cpu, printed)| {
        let name = format!("freestanding/{}/{cpu}", board.architecture);
        Lane::new(
            name,
            "a driver hands over a buffer with the board's cache controllers",
            move |lab| {
                let machine = board.booting(lab, "boards", cpu)?;
                Ok(Box::new(move |log| {
                    let (lines, ending) = board::run(&machine, log)?;
                    let mut wrong = board.wrong_end(&lines, &ending);
                    if lines != **printed {
                        wrong.push(format!("it printed {lines:?}"));
                    }
                    passed(&wrong)
                }))
            },
        )
    });
    let lane = |proof: &'static Proof, model: &'static Model| {
        let cpus = if model.cpus > 1 { format!("/{}-cpus", model.cpus) } else { String::new() };
        let name = format!("freestanding/{}/{}{cpus}", proof.board.architecture, model.cpu);
        let proves = format!("privileged code runs without a system, choosing {}", model.chosen);
        Lane::new(name, proves, move |lab| prepare(lab, proof, model))
    };
    PROOFS
        .iter()
        .flat_map(|proof| proof.models.iter().map(move |model| lane(proof, model)))
        .chain(controllers)
        .collect()
}

fn prepare(lab: &Lab, proof: &'static Proof, model: &'static Model) -> Result<Run> {
    let machine = proof.board.booting(lab, "freestanding", model.cpu)?;
    let machine = machine.args(["-no-reboot", "-smp", &model.cpus.to_string()]);
    Ok(Box::new(move |log| {
        let (lines, ending) = board::run(&machine, log)?;
        passed(&judge(proof, model, &lines, &ending))
    }))
}

/// Compares a run with its expectation: every step has its verdict, the facts are those of the CPU's manual, and the
/// end is in order.
fn judge(proof: &Proof, model: &Model, lines: &[String], ending: &Ending) -> Vec<String> {
    let verdicts: Vec<Verdict<'_>> = lines.iter().filter_map(|line| verdict(line)).collect();
    let mut wrong = wrong_verdicts(proof, model, &verdicts);
    wrong.extend(wrong_fact(lines, "chosen", model.chosen));
    wrong.extend(wrong_fact(lines, "hypervisor", model.hypervisor));
    if model.cpus > 1 {
        wrong.extend(wrong_fact(lines, "cpus", &model.cpus.to_string()));
    }
    wrong.extend(proof.board.wrong_end(lines, ending));
    wrong
}

/// A verdict: `word step` or `word step: why`.
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

/// Returns the wrong verdicts, with failures first because they are the most specific.
fn wrong_verdicts(proof: &Proof, model: &Model, verdicts: &[Verdict<'_>]) -> Vec<String> {
    let own_steps = proof.own_steps.iter().copied();
    let wanted = || STEPS.into_iter().chain(own_steps.clone()).chain([LAST_STEP]);
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
        None => Some(format!("{name} is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, LAST_STEP, Model, Proof, STEPS, board, judge};

    const MODEL: Model =
        Model { lacks: &["two"], ..Model::new("a", "writeback=b,line=64", "absent") };
    const PROOF: Proof = Proof { board: board::X86_64, own_steps: &["one", "two"], models: &[] };

    /// Returns the complete output of an image without a failure.
    fn whole() -> Vec<String> {
        let mut lines = vec![String::from("chosen writeback=b,line=64")];
        lines.push(String::from("hypervisor absent"));
        lines.extend(STEPS.iter().map(|step| format!("passed {step}")));
        lines.extend(["passed one", "skipped two: no CPUID bit"].map(String::from));
        lines.extend([format!("passed {LAST_STEP}"), String::from("done")]);
        lines
    }

    fn failure(lines: &[String]) -> String {
        let ending = Ending { code: Some(33), told: String::new() };
        judge(&PROOF, &MODEL, lines, &ending).join("; ")
    }

    #[test]
    fn an_image_that_says_all_that_it_must_passes() {
        assert_eq!(failure(&whole()), "");
    }

    #[test]
    fn a_failed_step_is_reported_with_its_reason_and_skipped_steps() {
        let mut lines = whole();
        lines.truncate(lines.len() - 4);
        lines.push(String::from("failed one: exception 6: #UD"));
        assert_eq!(
            failure(&lines),
            "`one` failed: exception 6: #UD; no verdict on `two`, `panic write-back`; \
             the image did not reach its end"
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
    fn a_choice_other_than_the_manuals_is_shown_beside_it() {
        let mut lines = whole();
        lines[0] = String::from("chosen writeback=c,line=64");
        lines.remove(1);
        assert_eq!(
            failure(&lines),
            "chosen is `writeback=c,line=64`, must be `writeback=b,line=64`; \
             hypervisor is missing"
        );
    }
}
