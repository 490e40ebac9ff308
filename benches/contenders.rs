//! What is compared in one case, and how it is measured and printed.

use crate::{Outcome, run_with, scaled};
use cachemaint_cli::measure::blocks::{Blocks, Loop, interleave};
use cachemaint_cli::measure::machine::Machine;
use cachemaint_cli::measure::statistics::Estimate;
use core::error::Error;
use core::time::Duration;
use criterion::{BenchmarkId, Criterion, SamplingMode};
use std::io::Write;
use std::process::ExitCode;

/// One of those that are compared.
#[expect(missing_debug_implementations, reason = "a closure has none")]
#[expect(clippy::exhaustive_structs, reason = "benches make them")]
pub struct Contender<'a> {
    /// What tables call it.
    pub name: String,
    /// What the first may take of it, if that is a goal.
    pub goal: Option<f64>,
    /// Measures one block of it, checks the result, and returns nanoseconds for one operation.
    pub block_ns: Loop<'a, f64>,
}

/// What is compared: the first with all others.
#[expect(missing_debug_implementations, reason = "a closure has none")]
#[expect(clippy::exhaustive_structs, reason = "benches make them")]
pub struct Case<'a> {
    /// What tables call it.
    pub name: String,
    /// How many operations a block has.
    pub operations: usize,
    /// How long one operation of the first may take in nanoseconds, if that is a goal.
    pub goal_ns: Option<f64>,
    /// Who does it.
    pub contenders: Vec<Contender<'a>>,
}

impl Case<'_> {
    /// Has criterion measure each of them.
    pub fn measure(&mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.name.clone());
        // Times are those of operations; to check what they have done takes as long.
        group.sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_millis(50));
        group.measurement_time(Duration::from_millis(200));
        for contender in &mut self.contenders {
            group.bench_function(BenchmarkId::from_parameter(&contender.name), |bencher| {
                bencher.iter_custom(|iterations| {
                    scaled(iterations, self.operations, &mut contender.block_ns)
                });
            });
        }
        group.finish();
    }

    /// Prints what the first takes, and which part that is of what each other one takes.
    ///
    /// # Errors
    /// If a measured value is not a number, or it cannot be printed.
    pub fn print_ratios(self, out: &mut dyn Write, blocks: Blocks) -> Outcome {
        let (others, mut loops): (Vec<_>, Vec<_>) = self
            .contenders
            .into_iter()
            .map(|contender| ((contender.name, contender.goal), contender.block_ns))
            .unzip();
        let samples = interleave(blocks, &mut loops, &mut || {});
        let [(name, _), others @ ..] = others.as_slice() else { return Ok(()) };
        let [ours, theirs @ ..] = samples.as_slice() else { return Ok(()) };
        writeln!(out, "\n{}", self.name)?;
        let estimate = Estimate::of(ours)?;
        let goal = self.goal_ns.map(|goal| (goal, 0, " ns"));
        writeln!(out, "  {name:<28} {estimate:.1} ns{}", reached(&estimate, goal))?;
        for ((other, goal), theirs) in others.iter().zip(theirs) {
            let (ns, ratio) = (Estimate::of(theirs)?, Estimate::of_ratio(ours, theirs)?);
            let goal = reached(&ratio, goal.map(|goal| (goal, 2, "")));
            writeln!(out, "  {other:<28} {ns:.1} ns; {name} takes {ratio:.3} of it{goal}")?;
        }
        Ok(())
    }
}

/// Whether a goal, which has so many digits behind the point and a unit, is reached.
fn reached(estimate: &Estimate, goal: Option<(f64, usize, &str)>) -> String {
    let Some((goal, digits, unit)) = goal else { return String::new() };
    let reached = if estimate.reaches(goal) { "reached" } else { "missed" };
    format!(", goal {goal:.digits$}{unit} {reached}")
}

/// Measures the cases of a benchmark that has been made before, and prints their ratios from so many blocks.
/// `for_each` calls what it is given with each of them.
pub fn run_cases<B: Sync>(
    made: Result<B, Box<dyn Error>>,
    what: &str,
    blocks: Blocks,
    for_each: impl Fn(&B, &mut dyn FnMut(Case<'_>) -> Outcome) -> Outcome + Send + Sync,
) -> ExitCode {
    run_with(
        made,
        |bench, criterion| {
            for_each(bench, &mut |mut case| {
                case.measure(criterion);
                Ok(())
            })
        },
        |bench, out| {
            print_heading(out, what, blocks)?;
            for_each(bench, &mut |case| case.print_ratios(out, blocks))
        },
    )
}

/// Prints what was measured on and how.
///
/// # Errors
/// If it cannot be printed.
pub fn print_heading(out: &mut dyn Write, what: &str, blocks: Blocks) -> Outcome {
    let machine = Machine::this();
    writeln!(out, "\n{}; {}; DRAM", machine.cpu, machine.kernel)?;
    let blocks = blocks.get();
    writeln!(out, "{what}: medians of {blocks} interleaved blocks, 95 % intervals")?;
    Ok(())
}
