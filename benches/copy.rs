//! Copies that are durable on return, 8 B to 64 MiB.
//!
//! Their targets are in no cache (cold) or in the nearest cache that holds them (hot), aligned to a line or not. The
//! library's `Medium::persist_copy` is compared with the bare loops of every method and, if installed, with libpmem's
//! `pmem_memcpy_persist`. Sizes that no cache holds are measured cold only.
//!
//! After criterion's figures it prints the ratios of the library's time to that of the best durable method and to
//! libpmem's, from interleaved blocks, with 95 % intervals. A method that is not known to be durable for every location
//! of its target is marked and is not a goal.
//!
//! `--recommend` prints instead the table of methods that follows from this machine's measurements (the rule is in
//! `src/cache/copy/table.rs`). Use it to report a CPU that is in no table. To write back with another instruction, name
//! it: `--recommend clflushopt`.

use cachemaint::Cache;
use cachemaint_benches::contenders::{goal_or_mark, mark};
use cachemaint_benches::libpmem::{self, Libpmem};
use cachemaint_benches::measure::blocks::Blocks;
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::measure::copy::{
    CacheSizes, Case, Contender, Memory, Placement, Probe, contenders, print_recommendation,
    samples, streaming_is_durable,
};
use cachemaint_benches::measure::machine::Machine;
use cachemaint_benches::measure::statistics::{Control, Estimate};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::{Outcome, print, run, scaled};
use core::error::Error;
use core::time::Duration;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::io::Write;
use std::process::ExitCode;

const SIZES: [usize; 9] = [8, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20, LARGEST];
const LARGEST: usize = 64 << 20;
const LIBPMEM: &str = "libpmem";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    if arguments.next().as_deref() == Some("--recommend") {
        let instruction = arguments.next();
        return print(|out| recommend(out, instruction.as_deref()));
    }
    run(
        |criterion| {
            Bench::new()?.measure(criterion);
            Ok(())
        },
        |out| Bench::new()?.print_ratios(out),
    )
}

/// Prints the table that follows from this machine's measurements, with write-backs by the named instruction, or by the
/// one that the library chooses.
fn recommend(out: &mut dyn Write, instruction: Option<&str>) -> Outcome {
    let cache = match instruction {
        None => to_persistence()?,
        Some(name) => {
            let mut present = to_persistence()?.available_writebacks();
            let found = present.find(|instruction| instruction.name == name);
            let instruction = found.ok_or_else(|| format!("{name}: not on this machine"))?;
            Cache::builder().writeback_with(instruction).build()?
        }
    };
    print_recommendation(out, &Clock::new(), cache)
}

struct Bench {
    clock: Clock,
    cache: Cache,
    memory: Memory,
    libpmem: Option<Libpmem>,
}

/// Returns the measured cases: the cache and the alignment of a target, by name.
fn cases() -> impl Iterator<Item = (String, Vec<Case>)> {
    let caches = CacheSizes::here();
    [("cold", false), ("hot", true)].into_iter().flat_map(move |(temperature, hot)| {
        [("aligned", true), ("not aligned", false)].map(|(name, aligned)| {
            let case = |bytes| {
                let placement = if hot { caches.nearest(bytes)? } else { Placement::NOWHERE };
                Some(Case { bytes, aligned, placement })
            };
            (format!("copy, {temperature}, {name}"), SIZES.into_iter().filter_map(case).collect())
        })
    })
}

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        let memory = Memory::new(LARGEST, CacheSizes::here());
        let (cache, libpmem) = (to_persistence()?, Libpmem::if_installed()?);
        Ok(Self { clock: Clock::new(), cache, memory, libpmem })
    }

    /// Returns cachemaint first, then the available peers.
    fn contenders(&self, bytes: usize) -> Vec<Contender<'_>> {
        let mut contenders = contenders(self.cache);
        contenders.extend(self.libpmem.iter().map(|libpmem| Contender {
            name: LIBPMEM.to_owned(),
            durable: libpmem::is_durable(bytes, streaming_is_durable()),
            own: false,
            copy: Box::new(|to, from| libpmem.memcpy_persist(to, from)),
        }));
        contenders
    }

    fn measure(&self, criterion: &mut Criterion) {
        for (name, cases) in cases() {
            let mut group = criterion.benchmark_group(name);
            // Times are those of the copies; preparing their targets takes many times as long.
            group.sampling_mode(SamplingMode::Flat);
            group.warm_up_time(Duration::from_millis(50));
            group.measurement_time(Duration::from_millis(50));
            for case in cases {
                group.throughput(Throughput::Bytes(case.bytes as u64));
                let probe = Probe::new(&self.memory, self.cache, case);
                for contender in &self.contenders(case.bytes) {
                    let name = format!("{}{}", contender.name, mark(contender.durable));
                    group.bench_function(BenchmarkId::new(name, case.bytes), |bencher| {
                        bencher.iter_custom(|iterations| {
                            let copy_ns = || probe.copy_ns(&self.clock, contender);
                            scaled(iterations, probe.copies(), copy_ns)
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
            "the time of cachemaint relative to others: medians of interleaved blocks, 95 % intervals"
        )?;
        for (name, cases) in cases() {
            writeln!(out, "\n{name}")?;
            for case in cases {
                self.print_case(out, case)?;
            }
        }
        Ok(())
    }

    fn print_case(&self, out: &mut dyn Write, case: Case) -> Outcome {
        let blocks = if case.bytes < 1 << 20 { Blocks::at_least(101) } else { Blocks::FEWEST };
        let probe = Probe::new(&self.memory, self.cache, case);
        let contenders = self.contenders(case.bytes);
        let (samples, again) = samples(&self.clock, &probe, &contenders, blocks, &mut || {});
        let Some(ours) = samples.first() else { return Ok(()) };
        let (placement, control) = (case.placement, Control::of(ours, &again)?);
        writeln!(out, "{:>9} B, {placement:<4}  {:.1} ns", case.bytes, Estimate::of(ours)?)?;

        let mut peers = Vec::new();
        let others = contenders.iter().zip(&samples).filter(|(contender, _)| !contender.own);
        for (contender, theirs) in others {
            peers.push((contender, Estimate::of(theirs)?.median, theirs));
        }
        let best = peers
            .iter()
            .filter(|(contender, ..)| contender.durable)
            .min_by(|(_, one, _), (_, other, _)| one.total_cmp(other))
            .map(|(contender, ..)| contender.name.as_str());
        for (Contender { name, durable, .. }, _, theirs) in &peers {
            if Some(name.as_str()) != best && name != LIBPMEM {
                continue;
            }
            let ratio = Estimate::of_ratio(ours, theirs)?;
            let goal = goal_or_mark(&ratio, 1.0, *durable, &control);
            writeln!(out, "{:19}{ratio:.2} of {name}{goal}", "")?;
        }
        Ok(())
    }
}
