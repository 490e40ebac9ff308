//! The steps that are the same on every machine. They use only the library and a [`Board`], so tests can run them on a
//! hosted system too. On a machine without an operating system, the module `image` adds the parts of every image from
//! the entry point to the power-off.
//!
//! A step is a function with assertions. Its result is one line on the board's serial port: `passed STEP`, `failed
//! STEP: why` or `skipped STEP: why`. A failure ends the run. The last line of a complete run is `done`. Values that
//! must be compared with the CPU's manual are printed too. The program that started the machine compares them.

#![no_std]

#[cfg(test)]
extern crate std;

#[cfg(target_os = "none")]
pub mod image;
mod steps;

use core::fmt;

use cachemaint::report::{CpuReport, Hypervisor};
use cachemaint::{Cache, Point};

pub use steps::{Buffer, STEPS};

/// The machine that the steps run on.
pub trait Board {
    /// Sets the step to which every later failure belongs.
    fn begin(&self, step: &'static str);

    /// Prints a line on the serial port.
    fn print(&self, line: fmt::Arguments<'_>);
}

/// A claim to prove. It asserts.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The name in the verdict.
    pub name: &'static str,
    /// The proof.
    pub run: fn(Cache) -> Outcome,
}

/// The result of a step that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its assertions hold.
    Passed,
    /// The feature that this machine lacks.
    Skipped(&'static str),
}

/// Runs the steps in turn.
pub fn run(board: &impl Board, cache: Cache, steps: &[Step]) {
    for step in steps {
        board.begin(step.name);
        match (step.run)(cache) {
            Outcome::Passed => board.print(format_args!("passed {}", step.name)),
            Outcome::Skipped(why) => board.print(format_args!("skipped {}: {why}", step.name)),
        }
    }
}

/// Prints the values that must be compared with the CPU's manual.
pub fn tell(board: &impl Board, cache: Cache) {
    board.print(format_args!("chosen {}", Chosen(cache)));
    match CpuReport::for_cache(cache).hypervisor {
        Hypervisor::Present { signatures, .. } => {
            let name = signatures.iter().next().map_or("unnamed", |signature| signature);
            board.print(format_args!("hypervisor {name}"));
        }
        Hypervisor::Absent => board.print(format_args!("hypervisor absent")),
        _ => board.print(format_args!("hypervisor unknown")),
    }
}

/// The chosen instructions, in the notation of the library's test `chosen_here`.
struct Chosen(Cache);

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aims = [
            ("writeback", Point::Coherency),
            ("persistence", Point::Persistence),
            ("deep", Point::DeepPersistence),
        ];
        for (name, point) in aims {
            let aimed = self.0.to(point);
            let chosen = aimed.map_or("refused", |cache| cache.writeback_choice().instruction.name);
            write!(f, "{name}={chosen},")?;
        }
        write!(f, "line={}", self.0.line_size())
    }
}

#[cfg(test)]
mod tests {
    use super::{Board, Outcome, STEPS, Step, run, tell};
    use cachemaint_test_support::refused::host_or_refused;
    use core::cell::RefCell;
    use core::fmt;
    use std::string::{String, ToString};
    use std::vec::Vec;

    #[derive(Default)]
    struct Paper(RefCell<Vec<String>>);

    impl Board for Paper {
        fn begin(&self, _step: &'static str) {}

        fn print(&self, line: fmt::Arguments<'_>) {
            self.0.borrow_mut().push(line.to_string());
        }
    }

    #[test]
    fn the_steps_that_need_no_privilege_pass_here() {
        let Some(cache) = host_or_refused() else { return };
        let paper = Paper::default();
        run(&paper, cache, &STEPS);
        let passed: Vec<String> =
            STEPS.iter().map(|step| ["passed ", step.name].concat()).collect();
        assert_eq!(paper.0.into_inner(), passed);
    }

    #[test]
    fn a_step_that_the_machine_cannot_run_is_named_with_the_reason() {
        let Some(cache) = host_or_refused() else { return };
        let paper = Paper::default();
        let step = Step { name: "fly", run: |_cache| Outcome::Skipped("no wings") };
        run(&paper, cache, &[step]);
        assert_eq!(paper.0.into_inner(), ["skipped fly: no wings"]);
    }

    #[test]
    fn the_choice_is_printed_as_lanes_expect_it() {
        let Some(cache) = host_or_refused() else { return };
        let paper = Paper::default();
        tell(&paper, cache);
        let lines = paper.0.into_inner();
        let writeback = cache.writeback_choice().instruction.name;
        assert!(lines[0].starts_with(&["chosen writeback=", writeback, ","].concat()), "{lines:?}");
        assert!(lines[0].ends_with(&["line=", &cache.line_size().to_string()].concat()));
        assert!(lines[1].starts_with("hypervisor "), "{lines:?}");
    }
}
