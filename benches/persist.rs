//! Persisting 8 bytes: `Cache::writeback` at the point of persistence, compared with the bare instructions and, if
//! installed, with libpmem's `pmem_persist`.
//!
//! After criterion's figures it prints the ratios to both, from interleaved blocks, with their 95 %
//! intervals; the goal is 1.00 within noise of both.

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use cachemaint_benches::bare::words;
use cachemaint_benches::libpmem::Libpmem;
use cachemaint_benches::measure::blocks::{Blocks, Loop, interleave_with_control};
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::measure::lines::Region;
use cachemaint_benches::measure::machine::Machine;
use cachemaint_benches::measure::statistics::{Control, Estimate};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::{Outcome, run, scaled};
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use criterion::{BenchmarkId, Criterion};
use std::collections::HashSet;

use std::io::Write;
use std::process::ExitCode;

/// The number of words that one block persists.
const BLOCK: u16 = 4096;
/// The pages of the region: 2 MiB, from which the random order takes its lines.
const PAGES: usize = 512;

fn main() -> ExitCode {
    run(
        |criterion| {
            with_contenders(|clock, contenders| {
                measure(criterion, clock, contenders);
                Ok(())
            })
        },
        |out| with_contenders(|clock, contenders| print_ratios(out, clock, contenders)),
    )
}

/// A method that stores and persists words one by one: `first` in the first word, `first + 1` in the second.
struct Contender<'a> {
    name: &'a str,
    persist_each: Box<PersistEach<'a>>,
}

type PersistEach<'a> = dyn Fn(&[&AtomicU64], u64) + 'a;

/// Calls `then` with cachemaint first, then the available peers.
fn with_contenders(then: impl FnOnce(&Clock, &[Contender<'_>]) -> Outcome) -> Outcome {
    let cache = to_persistence()?;
    let libpmem = Libpmem::if_installed()?;
    let mut contenders = vec![Contender {
        name: "cachemaint",
        persist_each: Box::new(move |words, first| {
            for (word, value) in words.iter().zip(first..) {
                word.store(value, Ordering::Relaxed);
                cache.writeback(*word);
            }
        }),
    }];
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    if let Some(bare) = words::persisting(cache) {
        contenders.push(Contender { name: "bare", persist_each: Box::new(bare) });
    }
    if let Some(libpmem) = &libpmem {
        contenders.push(Contender {
            name: "libpmem",
            persist_each: Box::new(|words, first| {
                for (word, value) in words.iter().zip(first..) {
                    word.store(value, Ordering::Relaxed);
                    libpmem.persist(word);
                }
            }),
        });
    }
    then(&Clock::new(), &contenders)
}

/// The words of one block in order, one per line, and the next value to store.
struct Words<'a> {
    order: Vec<&'a AtomicU64>,
    next: Cell<u64>,
}

impl Words<'_> {
    /// Returns the nanoseconds for one word in a block, and checks the result.
    ///
    /// # Panics
    /// If the words do not hold the values stored last.
    fn persist(&self, clock: &Clock, contender: &Contender<'_>) -> f64 {
        let first = self.next.replace(self.next.get() + u64::from(BLOCK));
        let ns = clock.time(|| (contender.persist_each)(&self.order, first));
        let mut seen = HashSet::new();
        for (place, word) in self.order.iter().enumerate().rev() {
            if seen.insert(core::ptr::from_ref(*word)) {
                let expected = first + place as u64;
                assert_eq!(word.load(Ordering::Relaxed), expected, "{}", contender.name);
            }
        }
        ns / f64::from(BLOCK)
    }
}

/// Returns the three orders, by name.
fn patterns(region: &Region) -> [(&'static str, Words<'_>); 3] {
    let lines: Vec<&AtomicU64> = region.words().iter().step_by(8).collect();
    // Full period: the increment is odd, the multiplier 1 modulo 4 (Knuth, TAOCP vol. 2, §3.2.1.2).
    let mut place = 0;
    let random = core::iter::repeat_with(|| {
        place = (place * 20_021 + 12_345) % lines.len();
        place
    });
    let words = |order: Vec<usize>| Words {
        order: order.into_iter().filter_map(|place| lines.get(place).copied()).collect(),
        next: Cell::new(1),
    };
    [
        ("sequential", words((0..usize::from(BLOCK)).collect())),
        ("random", words(random.take(usize::from(BLOCK)).collect())),
        ("same line", words(vec![0; usize::from(BLOCK)])),
    ]
}

fn measure(criterion: &mut Criterion, clock: &Clock, contenders: &[Contender<'_>]) {
    let region = Region::new(PAGES);
    for (pattern, words) in patterns(&region) {
        let mut group = criterion.benchmark_group(format!("persist 8 B, {pattern}"));
        for contender in contenders {
            group.bench_function(BenchmarkId::from_parameter(contender.name), |bencher| {
                bencher.iter_custom(|iterations| {
                    scaled(iterations, usize::from(BLOCK), || words.persist(clock, contender))
                });
            });
        }
        group.finish();
    }
}

fn print_ratios(out: &mut dyn Write, clock: &Clock, contenders: &[Contender<'_>]) -> Outcome {
    let (machine, region, cache) = (Machine::this(), Region::new(PAGES), to_persistence()?);
    let blocks = Blocks::at_least(301);
    writeln!(out, "\n{}; {}; DRAM", machine.cpu, machine.kernel)?;
    writeln!(
        out,
        "persist 8 B with {}: medians of {} interleaved blocks of {BLOCK}, 95 % intervals",
        cache.writeback_choice().instruction.name,
        blocks.get(),
    )?;
    for (pattern, words) in patterns(&region) {
        let mut loops: Vec<Loop<'_, f64>> = contenders
            .iter()
            .map(|contender| -> Loop<'_, f64> { Box::new(|| words.persist(clock, contender)) })
            .collect();
        let measured = interleave_with_control(blocks, &mut loops, &mut || {});
        print_pattern(out, pattern, contenders, &measured)?;
    }
    Ok(())
}

fn print_pattern(
    out: &mut dyn Write,
    pattern: &str,
    contenders: &[Contender<'_>],
    (samples, again): &(Vec<Vec<f64>>, Vec<f64>),
) -> Outcome {
    let [ours, peers @ ..] = samples.as_slice() else { return Ok(()) };
    let control = Control::of(ours, again)?;
    writeln!(out, "{pattern:<11} cachemaint  {:.1} ns", Estimate::of(ours)?)?;
    for (contender, theirs) in contenders.iter().skip(1).zip(peers) {
        let ratio = Estimate::of_ratio(ours, theirs)?;
        writeln!(
            out,
            "{:<11} {:<11} {:.1} ns; cachemaint takes {ratio:.3} of it, goal 1.00 {}",
            "",
            contender.name,
            Estimate::of(theirs)?,
            control.verdict(&ratio, 1.0),
        )?;
    }
    Ok(())
}
