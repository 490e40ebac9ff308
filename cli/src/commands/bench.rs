//! `cachemaint bench`: the cost of each write-back instruction, per line and per fence.
//!
//! One sample writes the same lines back twice, by two methods that differ in their fences only. In *ranges*, one after
//! the other, each is completed by its own fence. *At once*, they are one range with one fence. With `n` ranges of `l`
//! lines
//!
//! ```text
//! ranges  = n × l × line + n × fence        fence = (ranges - at once) / (n - 1)
//! at once = n × l × line + fence            line  = (at once - fence) / (n × l)
//! ```
//!
//! so *line* is the cost of one more line, and *fence* the cost of waiting for completion, together with the fence
//! before that `clflush` needs on some CPUs. The fence of a single range is lost in the noise of its lines.
//!
//! The instructions differ more in what follows: a line that one kept is loaded from the cache, one that it dropped from
//! memory. So dirty lines are written back and then loaded one after the other, and the same is done with lines that are
//! known to be cached and to be dropped.

use super::text::{self, Talk, tell};
use anstyle::Style;
use anyhow::{Context as _, bail, ensure};
use cachemaint::Cache;
use cachemaint::report::{HostReport, Hypervisor};
use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use core::time::Duration;
use core_affinity::CoreId;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

/// Measure the cost of each write-back instruction, per line and per fence
///
/// The lines are dirty, clean or not cached, in ranges of 64 B, 4 KiB and 1 MiB. A load of a line afterwards is measured
/// too, since some instructions keep it and others drop it. The memory is DRAM: the figures are costs
/// of caches and memory controllers, not of persistent media.
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
    /// Measure on this CPU core [default: the last one that may be used]
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
}

/// The samples of about 2 s on a CPU of 2022.
const QUICK: usize = 300;
/// The samples of about 30 s.
const THOROUGH: usize = 4000;

/// The sizes of the ranges in bytes.
const SIZES: [usize; 3] = [64, 4 << 10, LARGEST];
const LARGEST: usize = 1 << 20;
/// The total of smaller ranges in one sample, in bytes: half of a common L1 data cache.
const TOGETHER: usize = 16 << 10;
const WORD: usize = size_of::<u64>();
/// Ranges begin at a multiple of it.
const PAGE: usize = 4096;

#[derive(Debug, Serialize)]
struct Results {
    schema: u32,
    cpu: String,
    hypervisor: String,
    kernel: String,
    core: usize,
    medium: &'static str,
    line_bytes: usize,
    blocks: usize,
    writeback: Vec<Cost>,
    loads: Loads,
}

/// Nanoseconds for the load of a line, which the next one depends on.
#[derive(Debug, Serialize)]
struct Loads {
    cached_ns: Estimate,
    dropped_ns: Estimate,
    after: Vec<LoadAfter>,
}

/// The load of a dirty line after its write-back.
#[derive(Debug, Serialize)]
struct LoadAfter {
    instruction: &'static str,
    load_ns: Estimate,
    /// True if the instruction keeps the line; `None` if loads of cached and of dropped lines cannot be told apart.
    keeps: Option<bool>,
}

/// The cost of one instruction on lines in one state, in ranges of one size.
#[derive(Debug, Serialize)]
struct Cost {
    instruction: &'static str,
    state: State,
    bytes: usize,
    lines: usize,
    /// Nanoseconds for one range and its fence.
    range_ns: Estimate,
    /// Nanoseconds for one more line.
    line_ns: Estimate,
    /// Nanoseconds for the fence of one range; `None` if a sample has one range only.
    fence_ns: Option<Estimate>,
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Estimate {
    median: f64,
    low: f64,
    high: f64,
    samples: usize,
}

/// The state of a range's lines before the timed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Dirty,
    Clean,
    NotCached,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let caches = caches(arguments.writeback.as_deref())?;
    let core = core(arguments.cpu)?;
    let blocks = if arguments.quick { QUICK } else { THOROUGH };
    let style = ProgressStyle::with_template("measuring {bar:40} {percent:>3} % {elapsed}")?;
    let bar = ProgressBar::new(blocks as u64).with_style(style);
    bar.enable_steady_tick(Duration::from_secs(1));
    // On a thread of its own, as a thread cannot be released from its core.
    let on_the_core = || {
        ensure!(
            core_affinity::set_for_current(CoreId { id: core }),
            "the system refuses to bind a thread to CPU core {core}; try another"
        );
        Ok(measure(&caches, blocks, &bar))
    };
    let measured = thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, on_the_core);
        let thread = thread.context("a thread cannot be started")?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    let (writeback, loads) = measured?;
    bar.finish_and_clear();
    let HostReport { cpu, kernel, .. } = HostReport::host();
    let results = Results {
        schema: text::SCHEMA,
        cpu: cpu.identity.to_string(),
        hypervisor: hypervisor(cpu.hypervisor),
        kernel: match kernel {
            Ok(kernel) => format!("{} {}", kernel.name, kernel.release),
            Err(unknown) => unknown.to_string(),
        },
        core,
        medium: "DRAM",
        line_bytes: caches[0].line_size(),
        blocks,
        writeback,
        loads,
    };
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

fn core(wanted: Option<usize>) -> anyhow::Result<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let last = cores.last().context("the system does not list its CPU cores")?.id;
    let core = wanted.unwrap_or(last);
    ensure!(cores.iter().any(|known| known.id == core), "this process may not use CPU core {core}");
    Ok(core)
}

fn hypervisor(shown: Hypervisor) -> String {
    match (shown.kind(), shown) {
        (Some(kind), _) => kind.to_string(),
        (None, Hypervisor::Absent) => "none shown".to_owned(),
        (None, _) => "unknown".to_owned(),
    }
}

/// Measures all cases, one sample of each in turn, so that changes over time meet all of them alike.
fn measure(caches: &[Cache], blocks: usize, bar: &ProgressBar) -> (Vec<Cost>, Loads) {
    let memory: Vec<_> = (0..(LARGEST + PAGE) / WORD).map(|_| AtomicU64::new(1)).collect();
    let mut probes = Vec::new();
    for cache in caches {
        for state in State::ALL {
            probes.extend(SIZES.map(|bytes| Probe::new(&memory, *cache, state, bytes)));
        }
    }
    let mut chases = chases(caches);
    // The first samples are not counted: the memory is new to them. They tell how long it takes.
    let mut begin = Instant::now();
    for block in 0..=blocks {
        for probe in &mut probes {
            let sample = probe.sample();
            probe.samples.extend((block > 0).then_some(sample));
        }
        for chase in &mut chases {
            let sample = chase.sample();
            chase.samples.extend((block > 0).then_some(sample));
        }
        match block {
            0 => begin = Instant::now(),
            1 => {
                let all = begin.elapsed().as_secs_f64()
                    * f64::from(u32::try_from(blocks).unwrap_or(u32::MAX));
                if !Talk::is_quiet() {
                    tell!("measures for about {:.0} s", all.max(1.0));
                }
            }
            _ => {}
        }
        bar.inc(1);
    }
    (probes.iter().map(Probe::cost).collect(), Loads::of(&chases))
}

/// Returns the loads to measure: of cached lines, of dropped lines, and after each instruction.
fn chases(caches: &[Cache]) -> Vec<Chase> {
    let [first, ..] = caches else { return Vec::new() };
    let known = [(*first, Before::Nothing), (*first, Before::WritebackInvalidate)];
    let after = caches.iter().map(|cache| (*cache, Before::Writeback));
    known.into_iter().chain(after).map(|(cache, before)| Chase::new(cache, before)).collect()
}

/// The operation on lines before they are loaded.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Writeback,
    WritebackInvalidate,
}

/// Dirty lines, each with the number of the line that is loaded next, in an order that no prefetcher guesses.
struct Chase {
    cache: Cache,
    before: Before,
    words: Vec<AtomicU64>,
    samples: Vec<f64>,
}

impl Chase {
    /// Changes when a line is dirtied, and is no part of the number of the next line.
    const COUNT: u64 = 1 << 32;

    /// The numbers are those of a linear congruential generator of full period (Hull and Dobell: the increment is odd, and
    /// the factor minus 1 is a multiple of 4).
    fn new(cache: Cache, before: Before) -> Self {
        let lines = (TOGETHER / cache.line_size()).max(1);
        let words_of_line = |line: usize| {
            let next = (line.wrapping_mul(109).wrapping_add(89) % lines) as u64;
            (0..cache.line_size() / WORD).map(move |_| AtomicU64::new(next + Self::COUNT))
        };
        Self {
            cache,
            before,
            words: (0..lines).flat_map(words_of_line).collect(),
            samples: Vec::new(),
        }
    }

    fn sample(&self) -> f64 {
        let per_line = self.cache.line_size() / WORD;
        let lines = self.words.len() / per_line;
        for word in self.words.iter().step_by(per_line) {
            word.store(word.load(Ordering::Relaxed).wrapping_add(Self::COUNT), Ordering::Relaxed);
        }
        match self.before {
            Before::Nothing => {}
            Before::Writeback => self.cache.writeback(&self.words[..]),
            Before::WritebackInvalidate => self.cache.writeback_invalidate(&self.words[..]),
        }
        fence(Ordering::SeqCst);
        let begin = Instant::now();
        let mut line = 0;
        for _ in 0..lines {
            line = (self.words[line * per_line].load(Ordering::Relaxed) % Self::COUNT) as usize;
        }
        black_box(line);
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^53")]
        let lines = lines as f64;
        begin.elapsed().as_secs_f64() * 1e9 / lines
    }
}

impl Loads {
    fn of(chases: &[Chase]) -> Self {
        let load = |chase: &Chase| Estimate::of(chase.samples.clone());
        let (cached_ns, dropped_ns) = (load(&chases[0]), load(&chases[1]));
        let after = chases.iter().skip(2).map(|chase| {
            let (load_ns, instruction) =
                (load(chase), chase.cache.writeback_choice().instruction.name);
            let keeps = keeps(load_ns.median, cached_ns.median, dropped_ns.median);
            LoadAfter { instruction, load_ns, keeps }
        });
        Self { cached_ns, dropped_ns, after: after.collect() }
    }
}

/// Returns true if a load takes less than the middle of a cached and a dropped line: the line is in some cache, of any level.
fn keeps(load: f64, cached: f64, dropped: f64) -> Option<bool> {
    (dropped > 2.0 * cached).then_some(load < f64::midpoint(cached, dropped))
}

/// Lines in one state, in ranges of one size, and their samples.
struct Probe<'a> {
    cache: Cache,
    state: State,
    bytes: usize,
    /// The distance between ranges, of which no two share a line.
    stride: usize,
    words: &'a [AtomicU64],
    samples: Vec<Sample>,
}

/// The results of one sample, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    range: f64,
    line: f64,
    fence: Option<f64>,
}

impl<'a> Probe<'a> {
    fn new(memory: &'a [AtomicU64], cache: Cache, state: State, bytes: usize) -> Self {
        let stride = bytes.max(cache.line_size());
        let total = (TOGETHER / stride).max(1) * stride;
        let first = memory.as_ptr().align_offset(PAGE);
        let words = memory.get(first..first + total / WORD).unwrap_or(memory);
        Self { cache, state, bytes, stride, words, samples: Vec::new() }
    }

    fn lines(&self) -> usize {
        self.bytes.div_ceil(self.cache.line_size())
    }

    fn sample(&self) -> Sample {
        let stride = self.stride / WORD;
        let ranges = self.time(|| {
            for range in self.words.chunks(stride) {
                self.cache.writeback(&range[..range.len().min(self.bytes / WORD)]);
            }
        });
        let at_once = self.time(|| self.cache.writeback(self.words));
        Sample::new(ranges, at_once, self.words.len().div_ceil(stride), self.lines())
    }

    /// Brings the lines into their state, and returns the nanoseconds of `writeback`.
    fn time(&self, writeback: impl FnOnce()) -> f64 {
        let lines = || self.words.iter().step_by(self.cache.line_size() / WORD);
        for (place, word) in (1..).zip(lines()) {
            // Data that are not zero, and change.
            word.store(word.load(Ordering::Relaxed).wrapping_add(place) | 1, Ordering::Relaxed);
        }
        if self.state != State::Dirty {
            self.cache.writeback_invalidate(self.words);
        }
        if self.state == State::Clean {
            black_box(lines().fold(0, |sum, word| sum ^ word.load(Ordering::Relaxed)));
        }
        fence(Ordering::SeqCst);
        let begin = Instant::now();
        writeback();
        // On some CPUs the fence of a write-back can end before the write-back is complete.
        fence(Ordering::SeqCst);
        begin.elapsed().as_secs_f64() * 1e9
    }

    fn cost(&self) -> Cost {
        let estimate = |of: fn(&Sample) -> f64| Estimate::of(self.samples.iter().map(of).collect());
        let has_fence = self.samples.iter().all(|sample| sample.fence.is_some());
        Cost {
            instruction: self.cache.writeback_choice().instruction.name,
            state: self.state,
            bytes: self.bytes,
            lines: self.lines(),
            range_ns: estimate(|sample| sample.range),
            line_ns: estimate(|sample| sample.line),
            fence_ns: has_fence.then(|| estimate(|sample| sample.fence.unwrap_or_default())),
        }
    }
}

impl Sample {
    /// Returns the sample from the times of `n` ranges of `lines` lines, each with its fence, and of all lines at once.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn new(ranges: f64, at_once: f64, n: usize, lines: usize) -> Self {
        let (n, lines) = (n as f64, lines as f64);
        let fence = (n > 1.0).then(|| (ranges - at_once) / (n - 1.0));
        let line = (at_once - fence.unwrap_or_default()) / (n * lines);
        Self { range: ranges / n, line, fence }
    }
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
            samples: samples.len(),
        }
    }
}

impl State {
    const ALL: [Self; 3] = [Self::Dirty, Self::Clean, Self::NotCached];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dirty => "dirty",
            Self::Clean => "clean",
            Self::NotCached => "not cached",
        })
    }
}

fn write_text(out: &mut impl Write, results: &Results) -> io::Result<()> {
    const HEADING: Style = Style::new().bold();
    let Results { cpu, hypervisor, kernel, core, line_bytes, blocks, medium, .. } = results;
    writeln!(out, "{cpu}\nhypervisor: {hypervisor}; kernel: {kernel}")?;
    writeln!(out, "on core {core}; lines of {line_bytes} bytes")?;
    writeln!(out, "medians of {blocks} interleaved samples; the data are not zero")?;
    writeln!(
        out,
        "memory is {medium}: costs of caches and memory controllers, not of persistent media\n"
    )?;
    writeln!(
        out,
        "{HEADING}{:<11} {:<11}{:>7} {:>25} {:>11} {:>11}{HEADING:#}",
        "write-back", "lines", "range", "ns per range (95 %)", "ns per line", "per fence",
    )?;
    for (place, cost) in results.writeback.iter().enumerate() {
        if place > 0 && place % SIZES.len() == 0 {
            writeln!(out)?;
        }
        let Estimate { median, low, high, .. } = cost.range_ns;
        writeln!(
            out,
            "{:<11} {:<11}{:>7} {:>25} {:>11.2} {:>11}",
            cost.instruction,
            cost.state,
            text::bytes(cost.bytes as u64).replace(" bytes", " B"),
            format!("{median:.0} ({low:.0}..{high:.0})"),
            cost.line_ns.median,
            cost.fence_ns.map_or_else(|| "-".to_owned(), |fence| format!("{:.0}", fence.median)),
        )?;
    }
    writeln!(out, "\n{}", results.loads)?;
    writeln!(out, "\nper range: its lines and the fence that completes them, range after range")?;
    writeln!(out, "per line: one more line; per fence: waiting for completion (-: lost in noise)")?;
    writeln!(out, "load after: of a dirty line that was written back, each load after the other")
}

/// Prints `load after: clwb 1.5 ns kept, clflush 98.0 ns dropped`.
impl fmt::Display for Loads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "load after:";
        for LoadAfter { instruction, load_ns, keeps } in &self.after {
            let fate = match keeps {
                Some(true) => " kept",
                Some(false) => " dropped",
                None => "",
            };
            write!(f, "{separator} {instruction} {:.1} ns{fate}", load_ns.median)?;
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Estimate, Sample, keeps};

    /// 4 ranges of 64 lines at 1.5 ns, with fences of 100 ns: 4 × 64 × 1.5 = 384, so 784 and 484.
    #[test]
    fn times_of_lines_and_fences_are_separated() {
        let sample = Sample::new(784.0, 484.0, 4, 64);
        assert_eq!(sample, Sample { range: 196.0, line: 1.5, fence: Some(100.0) });
        let sample = Sample::new(1000.0, 1010.0, 1, 500);
        assert_eq!(sample, Sample { range: 1000.0, line: 2.02, fence: None });
    }

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
        let Estimate { median, low, high, samples } =
            Estimate::of((1..=100).map(f64::from).collect());
        assert_eq!(samples, 100);
        assert!((50.0..=51.0).contains(&median) && (40.0..=42.0).contains(&low), "{median}, {low}");
        assert!((60.0..=62.0).contains(&high), "{high}");
    }
}
