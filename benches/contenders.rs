//! The contenders of a comparison, their measurement and their output.

use crate::measure::blocks::{Blocks, Loop, interleave_with_control};
use crate::measure::clock::Clock;
use crate::measure::machine::Machine;
use crate::measure::statistics::{Control, Estimate};
use crate::{Outcome, run_with, scaled};
use core::cell::{Cell, RefCell};
use core::error::Error;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use criterion::{BenchmarkId, Criterion, SamplingMode};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, ExitCode};
use std::{env, fs};

/// The suffix of a method that is not known to be durable for every location of its target.
pub const NOT_DURABLE: &str = " (not durable)";

/// Returns the suffix of a method's name.
#[must_use]
pub const fn mark(is_durable: bool) -> &'static str {
    if is_durable { "" } else { NOT_DURABLE }
}

/// One of the compared methods.
#[expect(missing_debug_implementations, reason = "a closure has none")]
#[expect(clippy::exhaustive_structs, reason = "benches make them")]
pub struct Contender<'a> {
    /// The name in tables.
    pub name: String,
    /// The goal for the first method's time relative to this one, if any.
    pub goal: Option<f64>,
    /// Measures one block, checks the result, and returns nanoseconds for one operation.
    pub block_ns: Loop<'a, f64>,
}

/// A comparison of the first contender with all others. A contender whose name begins with the first one's name is
/// another method of the same library; those after it are compared with it. The first one is measured twice in each
/// round: a goal is judged only if both agree within 5 %.
#[expect(missing_debug_implementations, reason = "a closure has none")]
#[expect(clippy::exhaustive_structs, reason = "benches make them")]
pub struct Case<'a> {
    /// The name in tables.
    pub name: String,
    /// The number of operations in a block.
    pub operations: usize,
    /// The compared contenders.
    pub contenders: Vec<Contender<'a>>,
}

impl Case<'_> {
    /// Measures each of them with criterion.
    pub fn measure(&mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.name.clone());
        // Times are those of the operations; checking their results takes as long.
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

    /// Prints the time of each contender, and its ratio to the library's preceding method. Returns the case for the
    /// record: the medians with their intervals, in nanoseconds.
    ///
    /// # Errors
    /// If a measured value is not a number, or printing fails.
    pub fn print_ratios(
        self,
        out: &mut dyn Write,
        blocks: Blocks,
    ) -> Result<Value, Box<dyn Error>> {
        let (others, mut loops): (Vec<_>, Vec<_>) = self
            .contenders
            .into_iter()
            .map(|contender| ((contender.name, contender.goal), contender.block_ns))
            .unzip();
        let (samples, again) = interleave_with_control(blocks, &mut loops, &mut || {});
        let mut results = Vec::new();
        for ((name, _), samples) in others.iter().zip(&samples) {
            let Estimate { median, low, high, .. } = Estimate::of(samples)?;
            let value = [median, low, high].map(|ns| (ns * 10.0).round() / 10.0);
            results.push(json!({"name": name, "value": value}));
        }
        let record = json!({"name": self.name, "results": results});
        let [(name, _), others @ ..] = others.as_slice() else { return Ok(record) };
        let [ours, theirs @ ..] = samples.as_slice() else { return Ok(record) };
        writeln!(out, "\n{}", self.name)?;
        let (estimate, control) = (Estimate::of(ours)?, Control::of(ours, &again)?);
        writeln!(out, "  {name:<28} {estimate:.1} ns")?;
        let (mut method, mut ours) = (name, ours);
        for ((other, goal), theirs) in others.iter().zip(theirs) {
            let ns = Estimate::of(theirs)?;
            if other.starts_with(name) {
                writeln!(out, "  {other:<28} {ns:.1} ns")?;
                (method, ours) = (other, theirs);
                continue;
            }
            let ratio = Estimate::of_ratio(ours, theirs)?;
            let goal = reached(&ratio, *goal, &control);
            writeln!(out, "  {other:<28} {ns:.1} ns; {method} takes {ratio:.3} of it{goal}")?;
        }
        Ok(record)
    }
}

/// Times this many calls of `store`, each of which fills the words with another byte. Returns nanoseconds for one call.
/// Blocks that share the words also share the byte, so no block stores bytes that are already there.
///
/// # Panics
/// If the words do not hold the last byte afterwards.
pub fn fill_ns(
    clock: &Clock,
    words: &[AtomicU64],
    byte: &Cell<u8>,
    calls: u32,
    store: impl Fn(u8),
) -> f64 {
    let fill = || {
        // Never 0: some CPUs treat zeros specially.
        byte.set(byte.get() % 255 + 1);
        store(byte.get());
    };
    // The previous block's check has read the words; each timed call finds them as a call leaves them.
    fill();
    let ns = clock.time_completed(|| (0..calls).for_each(|_once| fill()));
    let stored = u64::from_ne_bytes([byte.get(); 8]);
    let wrong = words.iter().filter(|word| word.load(Ordering::Relaxed) != stored).count();
    assert_eq!(wrong, 0, "words that differ from the stored ones");
    ns / f64::from(calls)
}

/// Returns the end of a line about a copy: the goal for its ratio, or the mark of a method without a goal.
#[must_use]
pub fn goal_or_mark(ratio: &Estimate, goal: f64, is_durable: bool, control: &Control) -> String {
    if is_durable { reached(ratio, Some(goal), control) } else { NOT_DURABLE.to_owned() }
}

/// Returns the text about a goal.
fn reached(ratio: &Estimate, goal: Option<f64>, control: &Control) -> String {
    goal.map(|goal| format!(", goal {goal:.2} {}", control.verdict(ratio, goal)))
        .unwrap_or_default()
}

/// Measures the cases of a benchmark created earlier, of an operation on a medium, and prints their ratios from this many
/// blocks. `for_each` calls its argument with each case. The results are recorded in `target/figures`.
pub fn run_cases<B: Sync>(
    made: Result<B, Box<dyn Error>>,
    (operation, medium): (&str, &str),
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
            print_heading(out, &format!("{operation}, {medium}"), blocks)?;
            let cases = RefCell::new(Vec::new());
            for_each(bench, &mut |case| {
                cases.borrow_mut().push(case.print_ratios(out, blocks)?);
                Ok(())
            })?;
            record(out, (operation, medium), blocks, &cases.into_inner())
        },
    )
}

/// Writes the record of a benchmark, which `cargo xtask figures` reads, and prints its path.
fn record(
    out: &mut dyn Write,
    (operation, medium): (&str, &str),
    blocks: Blocks,
    cases: &[Value],
) -> Outcome {
    let machine = Machine::this();
    // Without the suffix of the kernel's distributor.
    let kernel = machine.kernel.split('-').next().unwrap_or_default();
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?.stdout;
    // The brand names the vendor too.
    let mut cpu = machine.cpu.replace("AuthenticAMD, ", "").replace("GenuineIntel, ", "");
    if !matches!(machine.hypervisor.as_str(), "none shown" | "unknown") {
        cpu = format!("{cpu}, under {}", machine.hypervisor);
    }
    let record = json!({
        "operation": operation,
        "cpu": cpu,
        "kernel": kernel,
        "medium": medium,
        "date": String::from_utf8(date)?.trim(),
        "method": format!("medians of {} interleaved blocks, with their 95 % intervals", blocks.get()),
        "unit": "ns",
        "cases": cases,
    });
    // `target/release/deps/NAME-HASH`.
    let program = env::current_exe()?;
    let name = program.file_stem().and_then(|stem| stem.to_str()?.rsplit_once('-'));
    let target = program.ancestors().nth(3);
    let (Some((name, _)), Some(target)) = (name, target) else {
        return Err("the benchmark was not built by cargo, so its record has no place".into());
    };
    let folder = target.join("figures");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, format!("{record:#}\n"))?;
    writeln!(out, "\nrecorded in {}; to publish it, copy it to docs/figures", path.display())?;
    Ok(())
}

/// Returns the medium of files in the working directory: the file system and its device.
#[must_use]
pub fn here() -> String {
    match cachemaint_inspect::FileReport::at(".") {
        Ok(found) => format!("{} on {}", found.file_system, found.device),
        Err(error) => error.to_string(),
    }
}

/// Prints the machine and the method of measurement.
///
/// # Errors
/// If printing fails.
pub fn print_heading(out: &mut dyn Write, what: &str, blocks: Blocks) -> Outcome {
    let machine = Machine::this();
    writeln!(out, "\n{}; {}", machine.cpu, machine.kernel)?;
    let blocks = blocks.get();
    writeln!(out, "{what}: medians of {blocks} interleaved blocks, 95 % intervals")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{fill_ns, goal_or_mark};
    use crate::measure::clock::Clock;
    use crate::measure::statistics::{Control, Estimate};
    use core::cell::Cell;
    use core::sync::atomic::{AtomicU64, Ordering};

    fn fill(words: &[AtomicU64], byte: u8) {
        for word in words {
            word.store(u64::from_ne_bytes([byte; 8]), Ordering::Relaxed);
        }
    }

    #[test]
    #[should_panic(expected = "words that differ")]
    fn a_fill_that_leaves_out_its_last_line_is_noticed() {
        let words: [AtomicU64; 64] = core::array::from_fn(|_| AtomicU64::new(0));
        let (clock, byte) = (Clock::new(), Cell::new(0));
        let whole = fill_ns(&clock, &words, &byte, 3, |byte| fill(&words, byte));
        assert!(whole.is_finite());
        fill_ns(&clock, &words, &byte, 3, |byte| fill(&words[..56], byte));
    }

    /// Two blocks of one call each, as for a large fill.
    #[test]
    fn no_fill_stores_the_bytes_that_are_there() {
        let words = [AtomicU64::new(0)];
        let (clock, byte) = (Clock::new(), Cell::new(254));
        let changes = |byte| {
            assert_ne!(byte, 0);
            assert_ne!(words[0].load(Ordering::Relaxed), u64::from_ne_bytes([byte; 8]));
            fill(&words, byte);
        };
        for _block in 0..2 {
            assert!(fill_ns(&clock, &words, &byte, 1, changes).is_finite());
        }
    }

    #[test]
    fn a_method_that_is_not_durable_is_not_a_goal() {
        let ratio = Estimate { median: 1.5, low: 1.4, high: 1.6, samples: 101 };
        let control = Control::of(&[1.0; 30], &[1.0; 30]).unwrap();
        assert_eq!(goal_or_mark(&ratio, 1.0, true, &control), ", goal 1.00 missed");
        assert_eq!(goal_or_mark(&ratio, 2.0, true, &control), ", goal 2.00 reached");
        assert_eq!(goal_or_mark(&ratio, 1.0, false, &control), " (not durable)");
    }
}
