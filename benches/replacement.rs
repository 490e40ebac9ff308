//! The replacement of libpmem compared with the original, both loaded in one process. The cases are persists of words
//! and ranges, the fence by itself, and durable copies and fills of 8 B to 64 MiB with their targets in three places.
//!
//! Build the replacement first: `cargo xtask capi`. The goal is at most 1.02 of the original's time. From 256 bytes,
//! the original uses streaming stores. If a CPU's vendor does not promise that they leave nothing in the cache, its
//! copies are not known to be durable: those are marked and are not a goal.

use cachemaint_benches::contenders::{
    Case as Comparison, Contender as Competitor, fill_ns, goal_or_mark, mark, print_heading,
};
use cachemaint_benches::libpmem::{self, Libpmem};
use cachemaint_benches::measure::blocks::Blocks;
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::measure::copy::{
    CacheSizes, Case, Contender, Copy, Level, Memory, Placement, Probe, Target, samples,
    streaming_is_durable,
};
use cachemaint_benches::measure::statistics::{Control, Estimate};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::{Outcome, run, scaled};
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::io::Write;
use std::process::ExitCode;

const SIZES: [usize; 16] = [
    8,
    16,
    64,
    128,
    192,
    248,
    256,
    512,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    8 << 20,
    LARGEST,
];
const LARGEST: usize = 64 << 20;
const GOAL: f64 = 1.02;

const REPLACEMENT: &str = "replacement";
const ORIGINAL: &str = "original";
/// The operations of a block.
const OPERATIONS: u32 = 1000;

/// The places of a target: no cache, and the nearest one, with lines as a write-back leaves them and as stores do.
const PLACEMENTS: [Placement; 3] = [
    Placement::NOWHERE,
    Placement { level: Level::L1, dirty: false },
    Placement { level: Level::L1, dirty: true },
];

fn main() -> ExitCode {
    run(
        |criterion| {
            with_both(|both| {
                let mut measure = |mut comparison: Comparison<'_>| {
                    comparison.measure(criterion);
                    Ok(())
                };
                both.words(&mut measure)?;
                both.fills(&mut measure)?;
                both.measure_copies(criterion);
                Ok(())
            })
        },
        |out| {
            with_both(|both| {
                print_heading(out, "the replacement and the original, in DRAM", BLOCKS)?;
                writeln!(
                    out,
                    "fills, and copies of 1 MiB or more: {} blocks",
                    Blocks::FEWEST.get()
                )?;
                both.words(&mut |comparison| comparison.print_ratios(out, BLOCKS).map(drop))?;
                both.fills(&mut |comparison| {
                    comparison.print_ratios(out, Blocks::FEWEST).map(drop)
                })?;
                both.print_copies(out)
            })
        },
    )
}

const BLOCKS: Blocks = Blocks::at_least(101);

struct Both {
    clock: Clock,
    cache: cachemaint::Cache,
    memory: Memory,
    /// The replacement, then the original.
    libraries: [(&'static str, Libpmem); 2],
}

fn with_both(then: impl FnOnce(&Both) -> Outcome) -> Outcome {
    let Some((theirs, ours)) = Libpmem::with_replacement()? else { return Ok(()) };
    let memory = Memory::new(LARGEST, CacheSizes::here());
    let libraries = [(REPLACEMENT, ours), (ORIGINAL, theirs)];
    then(&Both { clock: Clock::new(), cache: to_persistence()?, memory, libraries })
}

/// An operation of a library on words.
type OnWords = fn(&Libpmem, &[AtomicU64], u8);

impl Both {
    /// Calls `take` with each comparison of operations on words.
    fn words(&self, take: &mut dyn FnMut(Comparison<'_>) -> Outcome) -> Outcome {
        let words: Vec<AtomicU64> = (0..(2 << 10)).map(|_| AtomicU64::new(0)).collect();
        let (first, byte) = (words.as_ptr().align_offset(64), Cell::new(0));
        let operations: [(&str, usize, OnWords); 5] = [
            ("store and persist 8 B, the same line", 1, |libpmem, words, byte| {
                for word in words {
                    // Writing back a clean line takes less time.
                    word.store(of_bytes(byte), Ordering::Relaxed);
                    libpmem.persist(word);
                }
            }),
            ("store, flush and drain 64 B", 8, store_and_flush),
            ("store, flush and drain 1 KiB", 128, store_and_flush),
            ("store, flush and drain 4 KiB", 512, store_and_flush),
            ("drain alone", 0, |libpmem, _, _| libpmem.drain()),
        ];
        for (name, count, operation) in operations {
            let words = words.get(first..first + count).unwrap_or_default();
            let contenders = self.libraries.iter().map(|(name, libpmem)| Competitor {
                name: (*name).to_owned(),
                goal: (*name == ORIGINAL).then_some(GOAL),
                block_ns: Box::new(|| {
                    let store = |byte| operation(libpmem, words, byte);
                    fill_ns(&self.clock, words, &byte, OPERATIONS, store)
                }),
            });
            let contenders = contenders.collect();
            take(Comparison {
                name: name.to_owned(),
                operations: OPERATIONS as usize,

                contenders,
            })?;
        }
        Ok(())
    }

    /// Calls `take` with each comparison of fills. Their targets are as the previous fill left them.
    fn fills(&self, take: &mut dyn FnMut(Comparison<'_>) -> Outcome) -> Outcome {
        let words: Vec<AtomicU64> = (0..LARGEST / 8 + 8).map(|_| AtomicU64::new(0)).collect();
        let (first, byte) = (words.as_ptr().align_offset(64), Cell::new(0));
        for bytes in SIZES {
            let words = words.get(first..first + bytes / 8).unwrap_or_default();
            let fewer = u32::try_from(bytes / 1024).unwrap_or(OPERATIONS);
            let operations = OPERATIONS / fewer.clamp(1, OPERATIONS);
            let contenders = self.libraries.iter().map(|(name, libpmem)| Competitor {
                name: format!("{name}{}", mark(is_durable(name, bytes))),
                goal: (*name == ORIGINAL && is_durable(name, bytes)).then_some(GOAL),
                block_ns: Box::new(|| {
                    let target = Target::new(words, 0, bytes);
                    let store = |byte| libpmem.memset_persist(target, byte);
                    fill_ns(&self.clock, words, &byte, operations, store)
                }),
            });
            let name = format!("memset_persist, {bytes} B");
            let contenders = contenders.collect();
            take(Comparison { name, operations: operations as usize, contenders })?;
        }
        Ok(())
    }

    /// Returns the cases of copies.
    fn copies() -> impl Iterator<Item = Case> {
        let of = |placement| SIZES.map(|bytes| Case { bytes, aligned: true, placement });
        let held = |case: &Case| {
            case.placement == Placement::NOWHERE
                || CacheSizes::here().hold(case.placement, case.bytes)
        };
        PLACEMENTS.into_iter().flat_map(of).filter(held)
    }

    fn contenders(&self, case: Case) -> Vec<Contender<'_>> {
        let each = self.libraries.iter().map(|(name, libpmem)| {
            let copy: Copy<'_> = Box::new(|to, from| libpmem.memcpy_persist(to, from));
            let durable = is_durable(name, case.bytes);
            Contender { name: format!("{name}{}", mark(durable)), durable, own: false, copy }
        });
        each.collect()
    }

    fn measure_copies(&self, criterion: &mut Criterion) {
        for case in Self::copies() {
            let name = format!("memcpy_persist, {}, {} B", case.placement, case.bytes);
            let mut group = criterion.benchmark_group(name);
            group.sampling_mode(SamplingMode::Flat);
            group.warm_up_time(Duration::from_millis(50));
            group.measurement_time(Duration::from_millis(50));
            group.throughput(Throughput::Bytes(case.bytes as u64));
            let probe = Probe::new(&self.memory, self.cache, case);
            for contender in &self.contenders(case) {
                group.bench_function(BenchmarkId::from_parameter(&contender.name), |bencher| {
                    bencher.iter_custom(|iterations| {
                        scaled(iterations, probe.copies(), || probe.copy_ns(&self.clock, contender))
                    });
                });
            }
            group.finish();
        }
    }

    fn print_copies(&self, out: &mut dyn Write) -> Outcome {
        writeln!(out, "\nmemcpy_persist, by the place of the target (* dirty)")?;
        for case in Self::copies() {
            let probe = Probe::new(&self.memory, self.cache, case);
            let contenders = self.contenders(case);
            let blocks = if case.bytes < 1 << 20 { BLOCKS } else { Blocks::FEWEST };
            let (samples, again) = samples(&self.clock, &probe, &contenders, blocks, &mut || {});
            let [ours, theirs] = samples.as_slice() else { continue };
            let control = Control::of(ours, &again)?;
            let ratio = Estimate::of_ratio(ours, theirs)?;
            let goal = goal_or_mark(&ratio, GOAL, is_durable(ORIGINAL, case.bytes), &control);
            let (ours, theirs) = (Estimate::of(ours)?, Estimate::of(theirs)?);
            let (place, bytes) = (case.placement, case.bytes);
            writeln!(
                out,
                "{place:<4} {bytes:>9} B  {ours:.1} ns; {ratio:.2} of {theirs:.1} ns{goal}"
            )?;
        }
        Ok(())
    }
}

/// Returns true if the copies and fills of a library are durable at this size on this CPU.
fn is_durable(library: &str, bytes: usize) -> bool {
    library != ORIGINAL || libpmem::is_durable(bytes, streaming_is_durable())
}

fn store_and_flush(libpmem: &Libpmem, words: &[AtomicU64], byte: u8) {
    for word in words {
        word.store(of_bytes(byte), Ordering::Relaxed);
    }
    libpmem.flush_and_drain(words);
}

/// Returns the word that consists of this byte.
const fn of_bytes(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}
