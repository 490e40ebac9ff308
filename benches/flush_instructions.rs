//! The cost of each write-back instruction of this machine: lines dirty, clean and not cached, in ranges of 64 B, 4 KiB
//! and 1 MiB, each range completed by its fence. `cachemaint bench` prints the same matrix with separate costs of lines
//! and fences.

use cachemaint_benches::{Outcome, run, scaled};
use cachemaint_cli::measure::clock::Clock;
use cachemaint_cli::measure::lines::State;
use cachemaint_cli::measure::writeback::{Memory, Probe, SIZES, available, with_instruction};
use criterion::{BenchmarkId, Criterion, Throughput};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(write_back, |_| Ok(()))
}

fn write_back(criterion: &mut Criterion) -> Outcome {
    let (clock, memory) = (Clock::new(), Memory::new());
    for instruction in available()? {
        let cache = with_instruction(instruction.name)?;
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
