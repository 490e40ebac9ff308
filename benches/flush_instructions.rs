//! The cost of each write-back instruction on this machine: lines dirty, clean and not cached, in ranges of 64 B, 4 KiB
//! and 1 MiB, each range completed by its fence. `cachemaint bench` shows the costs of lines and fences separately.

use cachemaint::Cache;
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::measure::lines::State;
use cachemaint_benches::measure::writeback::{Memory, Probe, SIZES};
use cachemaint_benches::{Outcome, run, scaled};
use criterion::{BenchmarkId, Criterion, Throughput};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(write_back, |_| Ok(()))
}

fn write_back(criterion: &mut Criterion) -> Outcome {
    let (clock, memory) = (Clock::new(), Memory::new());
    for instruction in Cache::host()?.available_writebacks() {
        let cache = Cache::builder().writeback_with(instruction).build()?;
        let mut group = criterion.benchmark_group(instruction.name);
        for state in State::ALL {
            for bytes in SIZES {
                let probe = Probe::new(&memory, cache, state, bytes);
                group.throughput(Throughput::Elements(probe.lines() as u64));
                group.bench_function(BenchmarkId::new(state.to_string(), bytes), |bencher| {
                    bencher.iter_custom(|iterations| {
                        scaled(iterations, probe.ranges(), || probe.range_ns(&clock))
                    });
                });
            }
        }
        group.finish();
    }
    Ok(())
}
