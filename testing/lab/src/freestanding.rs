//! The image `freestanding` of `testing/lab/freestanding`: the library at EL1, in ring 0 and in M-mode,
//! without an operating system, on emulated boards.
//!
//! The image prints one verdict per step, its choice and its findings. This file lists the expected steps and the
//! values that the manual of the CPU demands. The image `boards` prints the cache controllers that it uses. An emulator has
//! no caches: a lane proves the choice and that it executes where no hypervisor traps it, never that data became durable.

use lose_lines_machine::command::Ending;

use crate::board::{self, Board};
use crate::cpus::passed;
use crate::lane::Lane;

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
const STEPS: [&str; 8] = [
    "privileged",
    "report",
    "whole cache asked",
    "writeback",
    "invalidate",
    "writeback_invalidate",
    "batch",
    "every instruction",
];
const LAST_STEP: &str = "panic write-back";

const CLWB: &str = "writeback=clwb,persistence=clwb,deep=refused,line=64";

/// The steps of ring 0, all of which a guest must refuse.
const RING_0: &[&str] = &["every cache invalidated"];

const fn guest(cpu: &'static str, chosen: &'static str, hypervisor: &'static str) -> Model {
    Model { lacks: RING_0, ..Model::new(cpu, chosen, hypervisor) }
}

/// A machine without a hypervisor, with this number of CPUs.
const fn bare(cpu: &'static str, cpus: u32) -> Model {
    Model { cpus, ..Model::new(cpu, CLWB, "absent") }
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
const EL1: &[&str] = &["coherency accepted"];

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
    (board::MPS2, "cortex-m7", &["cortex-m7"]),
    (board::ZYNQ, "cortex-a9", &["cortex-a9", "l2c-310"]),
    (board::T_HEAD, "thead-c906", &["xtheadcmo"]),
];

pub(super) fn lanes() -> Vec<Lane> {
    let privileged = PROOFS.iter().flat_map(|Proof { board, own_steps, models }| {
        models.iter().map(|model| {
            let expected = model.expected(own_steps);
            lane(board, "freestanding", (model.cpu, model.cpus), expected)
        })
    });
    let controllers = CONTROLLERS.iter().map(|(board, cpu, used)| {
        let expected = used.iter().map(|&name| name.to_owned()).collect();
        lane(board, "boards", (cpu, 1), expected)
    });
    privileged.chain(controllers).collect()
}

/// Returns the lane of an image that must print these lines.
fn lane(
    board: &'static Board,
    image: &'static str,
    (cpu, cpus): (&'static str, u32),
    expected: Vec<String>,
) -> Lane {
    let suffix = if cpus > 1 { format!("/{cpus}-cpus") } else { String::new() };
    let name = format!("freestanding/{}/{cpu}{suffix}", board.architecture);
    Lane::new(name, move |lab| {
        let machine = board.booting(lab, image, cpu)?;
        let machine = machine.args(["-no-reboot", "-smp", &cpus.to_string()]);
        Ok(Box::new(move |log| {
            let (lines, ending) = board::run(&machine, log)?;
            passed(&faults(board, &expected, &lines, &ending))
        }))
    })
}

impl Model {
    /// Returns the lines that the image must print. One that ends with a colon goes on with a reason.
    fn expected(&self, own_steps: &[&str]) -> Vec<String> {
        let facts = [format!("chosen {}", self.chosen), format!("hypervisor {}", self.hypervisor)];
        let cpus = (self.cpus > 1).then(|| format!("cpus {}", self.cpus));
        let steps = STEPS.iter().chain(own_steps).chain([&LAST_STEP]).map(|step| {
            let is_lacking = self.lacks.contains(step);
            if is_lacking { format!("skipped {step}: ") } else { format!("passed {step}") }
        });
        facts.into_iter().chain(cpus).chain(steps).collect()
    }
}

/// Returns what is wrong with a run: verdicts that were not expected, the failures first, expected lines that are missing,
/// and its end.
fn faults(board: &Board, expected: &[String], lines: &[String], ending: &Ending) -> Vec<String> {
    let is_as = |line: &str, wanted: &str| {
        line == wanted || wanted.ends_with(": ") && line.starts_with(wanted)
    };
    let of_kind = |words: &[&str]| -> Vec<String> {
        let is_wrong = |line: &&String| {
            words.iter().any(|word| line.starts_with(word))
                && expected.iter().all(|wanted| !is_as(line, wanted))
        };
        lines.iter().filter(is_wrong).cloned().collect()
    };
    let mut wrong = [of_kind(&["failed "]), of_kind(&["passed ", "skipped "])].concat();
    let missing = expected.iter().filter(|wanted| lines.iter().all(|line| !is_as(line, wanted)));
    wrong.extend(missing.map(|wanted| format!("it did not print `{wanted}`")));
    wrong.extend(board.wrong_end(lines, ending));
    wrong
}

#[cfg(test)]
mod tests {
    use super::{Ending, Model, board, faults};

    const MODEL: Model =
        Model { lacks: &["two"], ..Model::new("a", "writeback=b,line=64", "absent") };

    /// Returns the faults of an output in which one line is another.
    fn with(from: &str, to: &str) -> Vec<String> {
        let expected = MODEL.expected(&["one", "two"]);
        let printed = expected.iter().map(String::as_str).chain(["done"]);
        let printed = printed.map(|line| match line {
            "skipped two: " => "skipped two: no CPUID bit",
            line => line,
        });
        let lines: Vec<String> =
            printed.map(|line| if line == from { to } else { line }.to_owned()).collect();
        let ending = Ending { code: Some(33), told: String::new() };
        faults(&board::X86_64, &expected, &lines, &ending)
    }

    #[test]
    fn an_image_prints_all_that_it_must_and_skips_what_the_cpu_lacks() {
        assert_eq!(with("", ""), [""; 0]);
        assert_eq!(
            with("passed one", "failed one: #UD"),
            ["failed one: #UD", "it did not print `passed one`"]
        );
        assert_eq!(
            with("skipped two: no CPUID bit", "passed two"),
            ["passed two", "it did not print `skipped two: `"]
        );
        assert_eq!(with("hypervisor absent", ""), ["it did not print `hypervisor absent`"]);
        assert_eq!(with("done", ""), ["the image did not reach its end"]);
    }
}
