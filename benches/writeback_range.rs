//! Write-backs of ranges, 4 KiB to 1 GiB, dirty and clean: `Cache::writeback` compared with libpmem's `pmem_flush` and
//! `pmem_drain`, if it is installed. Lines are in the nearest cache that holds the range. If no cache holds it, most of
//! its lines are only in memory.
//!
//! After criterion's figures it prints the ratios from interleaved blocks, with 95 % intervals; the goal
//! is 1.00 within noise.

use cachemaint::Cache;
use cachemaint_benches::libpmem::Libpmem;
use cachemaint_benches::measure::blocks::{Blocks, Loop, interleave_with_control};
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::measure::lines::{PAGE, Region, State, WORD, check};
use cachemaint_benches::measure::machine::Machine;
use cachemaint_benches::measure::statistics::{Control, Estimate};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::{Outcome, run, scaled};
use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use core::time::Duration;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::io::Write;
use std::process::ExitCode;

const SIZES: [usize; 6] = [4 << 10, 64 << 10, 1 << 20, 16 << 20, 256 << 20, LARGEST];
const LARGEST: usize = 1 << 30;
/// From this size, one sample takes long, and few are taken.
const LONG: usize = 256 << 20;

/// The states of lines. `flush_instructions` measures the others.
const STATES: [State; 2] = [State::Dirty, State::Clean];

fn main() -> ExitCode {
    run(
        |criterion| {
            with_contenders(|bench| {
                bench.measure(criterion);
                Ok(())
            })
        },
        |out| with_contenders(|bench| bench.print_ratios(out)),
    )
}

/// A method of writing words back and waiting for completion.
struct Contender<'a> {
    name: &'static str,
    writeback: Box<Writeback<'a>>,
}

type Writeback<'a> = dyn Fn(&[AtomicU64]) + 'a;

struct Bench<'a> {
    clock: Clock,
    cache: Cache,
    region: Region,
    seed: Cell<u64>,
    contenders: Vec<Contender<'a>>,
}

/// Calls `then` with cachemaint first, then the peer if it is available.
fn with_contenders(then: impl FnOnce(&Bench<'_>) -> Outcome) -> Outcome {
    let cache = to_persistence()?;
    let libpmem = Libpmem::if_installed()?;
    let writeback = Box::new(move |words: &[AtomicU64]| cache.writeback(words));
    let mut contenders = vec![Contender { name: "cachemaint", writeback }];
    if let Some(libpmem) = &libpmem {
        contenders.push(Contender {
            name: "libpmem",
            writeback: Box::new(|words| libpmem.flush_and_drain(words)),
        });
    }
    let (clock, region) = (Clock::new(), Region::new(LARGEST / PAGE));
    then(&Bench { clock, cache, region, seed: Cell::new(1), contenders })
}

impl Bench<'_> {
    /// Returns the nanoseconds for one range.
    ///
    /// # Panics
    /// If its data have changed.
    fn range_ns(&self, bytes: usize, state: State, contender: &Contender<'_>) -> f64 {
        let words = self.region.words().get(..bytes / WORD).unwrap_or_default();
        let seed = self.seed.replace(self.seed.get() + 1);
        state.prepare(self.cache, words, seed);
        let ns = self.clock.time_completed(|| (contender.writeback)(words));
        check(words, seed);
        ns
    }

    fn measure(&self, criterion: &mut Criterion) {
        for state in STATES {
            let mut group = criterion.benchmark_group(format!("write back a range, {state}"));
            // Times are those of the write-backs; preparing their lines takes many times as long.
            group.sampling_mode(SamplingMode::Flat);
            group.warm_up_time(Duration::from_millis(50));
            group.measurement_time(Duration::from_millis(50));
            for bytes in SIZES {
                group.sample_size(if bytes < LONG { 30 } else { 10 });
                group.throughput(Throughput::Elements((bytes / self.cache.line_size()) as u64));
                for contender in &self.contenders {
                    group.bench_function(BenchmarkId::new(contender.name, bytes), |bencher| {
                        bencher.iter_custom(|iterations| {
                            scaled(iterations, 1, || self.range_ns(bytes, state, contender))
                        });
                    });
                }
            }
            group.finish();
        }
    }

    fn print_ratios(&self, out: &mut dyn Write) -> Outcome {
        let machine = Machine::this();
        writeln!(out, "\n{}; {}; DRAM", machine.cpu, machine.kernel)?;
        writeln!(
            out,
            "write back with {}: medians of interleaved blocks, 95 % intervals",
            self.cache.writeback_choice().instruction.name,
        )?;
        for (state, bytes) in STATES.into_iter().flat_map(|state| SIZES.map(|bytes| (state, bytes)))
        {
            self.print_case(out, state, bytes)?;
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a range has fewer lines than 2^53")]
    fn print_case(&self, out: &mut dyn Write, state: State, bytes: usize) -> Outcome {
        let mut loops: Vec<Loop<'_, f64>> = self
            .contenders
            .iter()
            .map(|contender| -> Loop<'_, f64> {
                let lines = (bytes / self.cache.line_size()) as f64;
                Box::new(move || self.range_ns(bytes, state, contender) / lines)
            })
            .collect();
        let blocks = if bytes < LONG { Blocks::at_least(101) } else { Blocks::FEWEST };
        let (samples, again) = interleave_with_control(blocks, &mut loops, &mut || {});
        let [ours, peers @ ..] = samples.as_slice() else { return Ok(()) };
        let control = Control::of(ours, &again)?;
        writeln!(out, "{state:<6}{:>8} KiB  {:.2} ns a line", bytes >> 10, Estimate::of(ours)?)?;
        for (contender, theirs) in self.contenders.iter().skip(1).zip(peers) {
            let ratio = Estimate::of_ratio(ours, theirs)?;
            let reached = control.verdict(&ratio, 1.0);
            writeln!(out, "{:20}{ratio:.3} of {}, goal 1.00 {reached}", "", contender.name)?;
        }
        Ok(())
    }
}
