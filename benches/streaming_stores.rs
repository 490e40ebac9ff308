//! Repeated streaming stores to the same lines, which were in L1 or in no cache before. Then it prints the verdict on
//! this CPU's lines in L1, with every figure that it rests on.

use cachemaint_benches::run;
use std::process::ExitCode;

#[cfg(target_arch = "x86_64")]
fn main() -> ExitCode {
    run(x86_64::stream, |out| x86_64::print_verdict(out))
}

#[cfg(not(target_arch = "x86_64"))]
fn main() -> ExitCode {
    const NOTHING: &str = "Streaming stores: nothing to measure here, they exist only on x86_64.";
    run(|_| Ok(()), |out| Ok(writeln!(out, "{NOTHING}")?))
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use cachemaint::Cache;
    use cachemaint_benches::measure::blocks::Blocks;
    use cachemaint_benches::measure::clock::Clock;
    use cachemaint_benches::measure::lines::State;
    use cachemaint_benches::measure::machine::Machine;
    use cachemaint_benches::measure::streaming::{Loops, PASS, measure};
    use cachemaint_benches::{Outcome, scaled};
    use criterion::{BenchmarkId, Criterion, Throughput};
    use std::io::Write;

    pub(crate) fn stream(criterion: &mut Criterion) -> Outcome {
        let loops = Loops::new(Clock::new(), Cache::host()?);
        let mut group = criterion.benchmark_group("stream 4 KiB and SFENCE");
        group.throughput(Throughput::Bytes(PASS as u64));
        for width in Loops::widths() {
            for (name, state) in
                [("read before", State::Clean), ("flushed before", State::NotCached)]
            {
                let id = BenchmarkId::new(name, format!("{} B stores", width.bytes()));
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|iterations| {
                        scaled(iterations, Loops::PASSES, || loops.pass_ns(width, state))
                    });
                });
            }
        }
        group.finish();
        Ok(())
    }

    pub(crate) fn print_verdict(out: &mut dyn Write) -> Outcome {
        let blocks = Blocks::at_least(400);
        let streaming = measure(Clock::new(), Cache::host()?, blocks, &mut || {})?;
        writeln!(out, "\nStreaming stores to lines in L1, {}:", Machine::this().cpu)?;
        for finding in &streaming.conclusion.findings {
            writeln!(
                out,
                "{:>3} B stores, {}: {} => {:?}",
                finding.store_bytes, finding.what, finding.figures, finding.says
            )?;
        }
        writeln!(out, "Verdict: {}.", streaming.conclusion.verdict)?;
        Ok(())
    }
}
