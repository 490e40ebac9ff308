//! `cachemaint bench`: the cost of each write-back instruction, and of copies.
//!
//! A range costs its lines and the fence that completes them. Of two lengths of ranges the difference is that of their lines,
//! so the cost of one more line is known, too.
//!
//! The instructions differ more in what follows: a line that one kept is loaded from the cache, one that it dropped from
//! memory. So dirty lines are written back and then loaded one after the other, and the same is done with lines that are
//! known to be cached and to be dropped.

use super::text::{self, heading, row, tell};
use anyhow::{Context as _, bail};
use cachemaint::Cache;
use cachemaint::cache::Destination;
use cachemaint_inspect::HostReport;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// Measure which write-back instruction and which copy method are fastest here
///
/// Dirty lines are written back in ranges of 64 B, 4 KiB and 1 MiB, and then loaded, because some instructions keep a line
/// in the cache and others drop it. Copies to uncached lines are made durable with two methods. The memory is DRAM, so the
/// figures show the cost of caches and memory controllers, not of persistent media. The last lines are the verdict.
///
/// Use taskset(1) to pin the command to one CPU.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Take fewer samples (a few seconds)
    #[arg(long)]
    quick: bool,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
    /// Measure only this write-back instruction, such as clwb
    #[arg(long, value_name = "NAME")]
    writeback: Option<String>,
}

/// The samples of about 2 s on a CPU of 2022.
const QUICK: usize = 300;
/// The samples of about 30 s.
const THOROUGH: usize = 4000;

/// The lengths of ranges and copies in bytes.
const SIZES: [usize; 3] = [64, 4 << 10, 1 << 20];
/// The total of smaller ranges in one sample, in bytes: half of a common L1 data cache.
const TOGETHER: usize = 16 << 10;
const WORD: usize = size_of::<u64>();

#[derive(Debug, Serialize)]
struct Results {
    schema: u32,
    cpu: String,
    hypervisor: String,
    kernel: String,
    medium: &'static str,
    line_bytes: usize,
    samples: usize,
    instructions: Vec<Cost>,
    /// Nanoseconds for the load of a line, which the next one depends on.
    cached_load_ns: Estimate,
    dropped_load_ns: Estimate,
    copies: Vec<CopyCost>,
    verdict: [String; 2],
}

/// The cost of one instruction on dirty lines, in nanoseconds.
#[derive(Debug, Serialize)]
struct Cost {
    instruction: &'static str,
    ranges: Vec<Range>,
    /// One more line.
    line_ns: f64,
    /// The load of a line after its write-back.
    load_ns: Estimate,
    /// True if the instruction keeps the line; `None` if loads of cached and of dropped lines cannot be told apart.
    keeps: Option<bool>,
}

/// The cost of one range of lines and its fence.
#[derive(Debug, Serialize)]
struct Range {
    bytes: usize,
    ns: Estimate,
}

/// The cost of a copy to lines that are in no cache, until it is durable.
#[derive(Debug, Serialize)]
struct CopyCost {
    bytes: usize,
    /// Ordinary stores, then the write-back of their lines.
    ordinary_ns: Estimate,
    /// The method that the library chooses for cold lines.
    chosen_ns: Estimate,
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Estimate {
    median: f64,
    low: f64,
    high: f64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let caches = caches(arguments.writeback.as_deref())?;
    let results = measure(&caches, if arguments.quick { QUICK } else { THOROUGH });
    text::print(arguments.json, &results, |out| write_text(out, &results))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns handles of the instructions to measure: of the named one, or of all that the machine has.
fn caches(wanted: Option<&str>) -> anyhow::Result<Vec<Cache>> {
    let host = Cache::host().context("there is nothing to measure")?;
    let mut names: Vec<_> = host.available_writebacks().map(|known| known.name).collect();
    if let Some(wanted) = wanted {
        if !names.contains(&wanted) {
            bail!(
                "{wanted}: this machine has no such write-back instruction; it has: {}",
                names.join(", ")
            );
        }
        names.retain(|name| *name == wanted);
    }
    // One name can stand for two instructions, of which a CPU has one or both.
    let known = host.available_writebacks().filter(|known| names.contains(&known.name));
    let built = known.map(|known| Ok(Cache::builder().writeback_with(known).build()?));
    built.collect()
}

/// Measures all cases, one sample of each in turn, so that changes over time meet all of them alike.
fn measure(caches: &[Cache], samples: usize) -> Results {
    let first = caches[0];
    let mut cases =
        vec![Case::load(first, |_, _| {}), Case::load(first, Cache::writeback_invalidate)];
    for cache in caches {
        cases.push(Case::load(*cache, Cache::writeback));
        cases.extend(SIZES.map(|bytes| Case::range(*cache, bytes)));
    }
    for bytes in SIZES {
        cases.push(Case::copy(first, bytes, |cache, to, from| {
            to.copy_from_slice(from);
            cache.writeback(to);
        }));
        cases.push(Case::copy(first, bytes, |cache, to, from| {
            cache.copy_writeback(to, from, Destination::Cold);
        }));
    }
    take(&mut cases, samples);
    let mut estimates = cases.into_iter().map(|case| Estimate::of(case.samples));
    let mut next = || estimates.next().unwrap_or(Estimate { median: 0.0, low: 0.0, high: 0.0 });
    let (cached_load_ns, dropped_load_ns) = (next(), next());
    let instructions: Vec<_> = caches
        .iter()
        .map(|cache| {
            let load_ns = next();
            let ranges: Vec<_> = SIZES.map(|bytes| Range { bytes, ns: next() }).into();
            let lines = SIZES[1].div_ceil(cache.line_size()) - SIZES[0].div_ceil(cache.line_size());
            #[expect(clippy::cast_precision_loss, reason = "a count far below 2^53")]
            let line_ns = (ranges[1].ns.median - ranges[0].ns.median) / lines as f64;
            let keeps = keeps(load_ns.median, cached_load_ns.median, dropped_load_ns.median);
            let instruction = cache.writeback_choice().instruction.name;
            Cost { instruction, ranges, line_ns, load_ns, keeps }
        })
        .collect();
    let copies: Vec<_> =
        SIZES.map(|bytes| CopyCost { bytes, ordinary_ns: next(), chosen_ns: next() }).into();
    let HostReport { cpu, kernel, .. } = HostReport::host();
    Results {
        schema: text::SCHEMA,
        cpu: cpu.identity.to_string(),
        hypervisor: cpu.hypervisor.to_string(),
        kernel: match kernel {
            Ok(kernel) => format!("{} {}", kernel.name, kernel.release),
            Err(unknown) => unknown.to_string(),
        },
        medium: "DRAM",
        line_bytes: first.line_size(),
        samples,
        verdict: [instruction_verdict(&instructions), copy_verdict(&copies)],
        instructions,
        cached_load_ns,
        dropped_load_ns,
        copies,
    }
}

/// A thing to measure, and its samples in nanoseconds.
struct Case {
    sample: Box<dyn FnMut() -> f64>,
    samples: Vec<f64>,
}

/// Takes the samples. The first of each case is not counted: the memory is new to it. The second ones tell how long it takes.
fn take(cases: &mut [Case], samples: usize) {
    for block in 0..=samples {
        let begin = Instant::now();
        for case in &mut *cases {
            let sample = (case.sample)();
            case.samples.extend((block > 0).then_some(sample));
        }
        if block == 1 && !text::is_quiet() {
            let all = begin.elapsed().as_secs_f64()
                * f64::from(u32::try_from(samples).unwrap_or(u32::MAX));
            tell!("measures for about {:.0} s", all.max(1.0));
        }
    }
}

/// Returns the nanoseconds of some work.
fn timed(work: impl FnOnce()) -> f64 {
    fence(Ordering::SeqCst);
    let begin = Instant::now();
    work();
    // On some CPUs the fence of a write-back can end before the write-back is complete.
    fence(Ordering::SeqCst);
    begin.elapsed().as_secs_f64() * 1e9
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn each(nanoseconds: f64, count: usize) -> f64 {
    nanoseconds / count as f64
}

impl Case {
    fn new(sample: impl FnMut() -> f64 + 'static) -> Self {
        Self { sample: Box::new(sample), samples: Vec::new() }
    }

    /// Dirty ranges of this length, no two of which share a line, are written back one after the other, each with its fence.
    fn range(cache: Cache, bytes: usize) -> Self {
        let stride = bytes.max(cache.line_size()) / WORD;
        let count = (TOGETHER / WORD / stride).max(1);
        let words: Vec<_> = (0..count * stride).map(|_| AtomicU64::new(1)).collect();
        Self::new(move || {
            for (place, word) in (1..).zip(words.iter().step_by(cache.line_size() / WORD)) {
                // Data that are not zero, and change.
                word.store(word.load(Ordering::Relaxed).wrapping_add(place) | 1, Ordering::Relaxed);
            }
            let all = timed(|| {
                for range in words.chunks(stride) {
                    cache.writeback(&range[..bytes / WORD]);
                }
            });
            each(all, count)
        })
    }

    /// Dirty lines are loaded one after the other, after `before`. Each has the number of the next one, in an order that no
    /// prefetcher guesses: that of a linear congruential generator of full period (Hull and Dobell: the increment is odd, and the
    /// factor minus 1 is a multiple of 4).
    fn load(cache: Cache, before: fn(Cache, &[AtomicU64])) -> Self {
        /// Changes when a line is dirtied, and is no part of the number of the next line.
        const COUNT: u64 = 1 << 32;
        let (lines, per_line) = ((TOGETHER / cache.line_size()).max(1), cache.line_size() / WORD);
        let words_of_line = |line: usize| {
            let next = (line.wrapping_mul(109).wrapping_add(89) % lines) as u64;
            (0..per_line).map(move |_| AtomicU64::new(next + COUNT))
        };
        let words: Vec<_> = (0..lines).flat_map(words_of_line).collect();
        Self::new(move || {
            for word in words.iter().step_by(per_line) {
                word.store(word.load(Ordering::Relaxed).wrapping_add(COUNT), Ordering::Relaxed);
            }
            before(cache, &words);
            let all = timed(|| {
                let mut line = 0;
                for _ in 0..lines {
                    line = (words[line * per_line].load(Ordering::Relaxed) % COUNT) as usize;
                }
                black_box(line);
            });
            each(all, lines)
        })
    }

    fn copy(cache: Cache, bytes: usize, copy: fn(Cache, &mut [u8], &[u8])) -> Self {
        let (mut to, mut from) = (vec![1_u8; bytes], vec![1_u8; bytes]);
        Self::new(move || {
            // Data that are not zero, and change.
            from.iter_mut().step_by(WORD).for_each(|byte| *byte = byte.wrapping_add(2) | 1);
            cache.writeback_invalidate(&to[..]);
            let all = timed(|| copy(cache, &mut to, &from));
            black_box(&to);
            all
        })
    }
}

/// Returns true if a load takes less than the middle of a cached and a dropped line: the line is in some cache, of any level.
fn keeps(load: f64, cached: f64, dropped: f64) -> Option<bool> {
    (dropped > 2.0 * cached).then_some(load < f64::midpoint(cached, dropped))
}

impl Estimate {
    /// The interval is between two order statistics, which are about the root of the number from the median (the normal
    /// approximation of the binomial distribution).
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let (last, middle) = (samples.len() - 1, samples.len() / 2);
        let aside = samples.len().isqrt();
        Self {
            median: samples[middle],
            low: samples[middle.saturating_sub(aside)],
            high: samples[(middle + aside).min(last)],
        }
    }
}

/// Returns the instruction to prefer: one that keeps the line, and of those the one with the cheapest page.
fn instruction_verdict(costs: &[Cost]) -> String {
    let best = costs.iter().min_by(|one, other| {
        let [one_ns, other_ns] = [one, other].map(|cost| cost.ranges[1].ns.median);
        other.keeps.cmp(&one.keeps).then(one_ns.total_cmp(&other_ns))
    });
    best.map_or_else(String::new, |Cost { instruction, line_ns, keeps, .. }| {
        let fate = match keeps {
            Some(true) => ", and it keeps the line in the cache",
            Some(false) => ", and it drops the line from the cache",
            None => "",
        };
        format!("use {instruction}: {line_ns:.1} ns a line{fate}")
    })
}

/// Returns the size from which the library's copy is surely faster than ordinary stores that are written back.
fn copy_verdict(copies: &[CopyCost]) -> String {
    let faster = copies.iter().rev().take_while(|cost| cost.chosen_ns.high < cost.ordinary_ns.low);
    faster.last().map_or_else(
        || "copy_writeback is not faster than an ordinary copy and a write-back".to_owned(),
        |CopyCost { bytes, ordinary_ns, chosen_ns }| {
            format!(
                "use copy_writeback from {} on: {:.0} ns, an ordinary copy and a write-back {:.0} ns",
                size(*bytes),
                chosen_ns.median,
                ordinary_ns.median
            )
        },
    )
}

fn size(bytes: usize) -> String {
    text::bytes(bytes as u64).replace(" bytes", " B")
}

fn write_text(out: &mut impl Write, results: &Results) -> io::Result<()> {
    let Results { cpu, hypervisor, kernel, line_bytes, samples, medium, .. } = results;
    writeln!(out, "{cpu}\nhypervisor: {hypervisor}; kernel: {kernel}")?;
    writeln!(out, "lines of {line_bytes} bytes; the memory is {medium}")?;
    writeln!(out, "medians of {samples} interleaved samples, with their 95 % intervals\n")?;
    heading(out, "Write-back  a range of dirty lines, with its fence   ns")?;
    for Cost { instruction, ranges, line_ns, load_ns, keeps } in &results.instructions {
        for Range { bytes, ns: Estimate { median, low, high } } in ranges {
            writeln!(
                out,
                "{instruction:<11}{:>7} {median:>12.0} ({low:.0}..{high:.0})",
                size(*bytes)
            )?;
        }
        let fate = match keeps {
            Some(true) => "it is kept",
            Some(false) => "it is dropped",
            None => "unknown whether it is kept",
        };
        writeln!(
            out,
            "{:11}one more line {line_ns:.2} ns; a load of a line afterwards {:.1} ns: {fate}",
            "", load_ns.median
        )?;
    }
    writeln!(out)?;
    heading(out, "Copy to lines in no cache   ordinary and write-back   copy_writeback   ns")?;
    for CopyCost { bytes, ordinary_ns, chosen_ns } in &results.copies {
        writeln!(
            out,
            "{:>18} {:>24.0} {:>24.0}",
            size(*bytes),
            ordinary_ns.median,
            chosen_ns.median
        )?;
    }
    writeln!(out)?;
    let [instruction, copy] = &results.verdict;
    row(out, "Instruction", instruction)?;
    row(out, "Copy", copy)
}

#[cfg(test)]
mod tests {
    use super::{CopyCost, Estimate, copy_verdict, keeps};

    /// 1.5 ns is a first-level cache, 40 ns a third level, 120 ns a memory.
    #[test]
    fn a_line_in_a_cache_of_any_level_is_kept() {
        for (load, expected) in [(1.6, true), (40.0, true), (110.0, false), (125.0, false)] {
            assert_eq!(keeps(load, 1.5, 120.0), Some(expected), "{load}");
        }
        assert_eq!(keeps(1.5, 1.5, 2.0), None, "an emulator has no caches");
    }

    /// Le Boudec, *Performance Evaluation of Computer and Communication Systems*, table A.1: x(40)..x(61) of 100.
    #[test]
    fn the_interval_of_a_median_ends_at_order_statistics() {
        let Estimate { median, low, high } = Estimate::of((1..=100).map(f64::from).collect());
        assert!((50.0..=51.0).contains(&median) && (40.0..=42.0).contains(&low), "{median}, {low}");
        assert!((60.0..=62.0).contains(&high), "{high}");
    }

    #[test]
    fn a_copy_is_recommended_from_the_size_on_at_which_it_is_surely_faster() {
        let near = |median: f64| Estimate { median, low: median - 1.0, high: median + 1.0 };
        let cost = |bytes, ordinary, chosen| CopyCost {
            bytes,
            ordinary_ns: near(ordinary),
            chosen_ns: near(chosen),
        };
        let verdict =
            copy_verdict(&[cost(64, 9.0, 5.0), cost(4096, 9.0, 8.0), cost(1 << 20, 9.0, 5.0)]);
        assert!(verdict.starts_with("use copy_writeback from 1 MiB on: 5 ns"), "{verdict}");
        assert!(copy_verdict(&[cost(64, 5.0, 9.0)]).contains("not faster"));
    }
}
