//! The cost of each write-back instruction.
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
//! before that `clflush` needs on some CPUs. A clock between issue and fence could not separate them: see
//! [`clock`](super::clock).
//!
//! Ranges of 64 B and 4 KiB are 16 KiB together, which an L1 data cache holds. 1 MiB is in the caches
//! beyond, and one sample is one range of it: its fence is lost in the noise of its lines.

use super::blocks::{Blocks, Loop, interleave};
use super::clock::Clock;
use super::lines::{PAGE, Region, State, WORD, check};
use super::statistics::{Estimate, NoEstimate};
use cachemaint::instruction::{self, Instruction};
use cachemaint::{Cache, Unsupported};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use serde::Serialize;

/// The sizes of the ranges in bytes.
pub const SIZES: [usize; 3] = [64, 4 << 10, LARGEST];

const LARGEST: usize = 1 << 20;

/// The total of smaller ranges in one sample, in bytes: half of a common L1 data cache.
const TOGETHER: usize = 16 << 10;

/// Returns the instructions of this machine that write back, each once.
///
/// # Errors
/// If user mode has none.
pub fn available() -> Result<Vec<Instruction>, Unsupported> {
    Ok(Cache::host()?.available_writebacks().collect())
}

/// Returns a handle that writes back with the instruction of this name and no other.
///
/// # Errors
/// If the architecture has no such instruction, or the machine does not have it.
pub fn with_instruction(name: &str) -> Result<Cache, NotHere> {
    let known = instruction::ALL.iter().find(|known| known.name == name).copied();
    let built = known.and_then(|known| Cache::builder().writeback_with(known).build().ok());
    built.ok_or_else(|| NotHere {
        name: name.to_owned(),
        known,
        available: available()
            .map(|all| all.iter().map(|instruction| instruction.name).collect())
            .unwrap_or_default(),
    })
}

/// The machine has no such write-back instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotHere {
    /// The name that was given.
    pub name: String,
    /// The instruction of that name, if the architecture knows it.
    pub known: Option<Instruction>,
    /// The names of the instructions that the machine has.
    pub available: Vec<&'static str>,
}

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known {
            Some(known) => {
                write!(f, "this machine does not have {} ({})", known.name, known.requires)?;
            }
            None => {
                write!(f, "{:?} is not a write-back instruction of this architecture", self.name)?;
            }
        }
        match self.available.as_slice() {
            [] => f.write_str("; it has none that this program may use"),
            names => write!(f, "; it has: {}", names.join(", ")),
        }
    }
}

impl core::error::Error for NotHere {}

/// The subject of a measurement: lines in one state, in ranges of one size.
#[derive(Debug)]
pub struct Probe<'a> {
    cache: Cache,
    state: State,
    bytes: usize,
    stride: usize,
    words: &'a [AtomicU64],
    seed: &'a AtomicU64,
}

/// The results of one sample, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// One range and its fence.
    pub range: f64,
    /// One more line.
    pub line: f64,
    /// The fence of one range; `None` if the sample has one range only.
    pub fence: Option<f64>,
}

impl Sample {
    /// Returns the sample from the times of `n` ranges of `lines` lines, each with its fence, and of all lines at once.
    fn new(ranges: f64, at_once: f64, n: usize, lines: usize) -> Self {
        let (n, lines) = (n as f64, lines as f64);
        let fence = (n > 1.0).then(|| (ranges - at_once) / (n - 1.0));
        let line = (at_once - fence.unwrap_or_default()) / (n * lines);
        Self { range: ranges / n, line, fence }
    }
}

/// Memory for probes, which may share it.
#[derive(Debug)]
pub struct Memory {
    region: Region,
    seed: AtomicU64,
}

impl Memory {
    /// Returns as much memory as the largest range needs.
    #[must_use]
    pub fn new() -> Self {
        Self { region: Region::new(LARGEST / PAGE), seed: AtomicU64::new(1) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Probe<'a> {
    /// Returns the probe of ranges of `bytes` bytes, a multiple of 8 and at most 1 MiB, whose lines are in `state`,
    /// written back by `cache`.
    #[must_use]
    pub fn new(memory: &'a Memory, cache: Cache, state: State, bytes: usize) -> Self {
        // If two ranges shared a line, the second would find it written back by the first.
        let stride = bytes.max(cache.line_size());
        let total = (TOGETHER / stride).max(1) * stride;
        let words = memory.region.words();
        let words = words.get(..total / WORD).unwrap_or(words);
        Self { cache, state, bytes, stride, words, seed: &memory.seed }
    }

    /// Returns the number of ranges that one sample writes back.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.words.len() * WORD / self.stride
    }

    /// Returns the number of lines of a range.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.bytes.div_ceil(self.cache.line_size())
    }

    /// Prepares the lines, times their write-back by both methods, and checks that the data are unchanged.
    ///
    /// # Panics
    /// If they are not.
    #[must_use]
    pub fn sample(&self, clock: &Clock) -> Sample {
        let ranges = self.range_ns(clock) * self.ranges() as f64;
        let at_once = self.time(clock, || self.cache.writeback(self.words));
        Sample::new(ranges, at_once, self.ranges(), self.lines())
    }

    /// Returns the nanoseconds for one range and its fence; prepares and checks as [`sample`](Self::sample).
    ///
    /// # Panics
    /// If the data have changed.
    #[must_use]
    pub fn range_ns(&self, clock: &Clock) -> f64 {
        let words = self.bytes / WORD;
        let ranges =
            || self.words.chunks_exact(self.stride / WORD).filter_map(|all| all.get(..words));
        let ns = self.time(clock, || ranges().for_each(|range| self.cache.writeback(range)));
        ns / self.ranges() as f64
    }

    fn time(&self, clock: &Clock, writeback: impl FnOnce()) -> f64 {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        self.state.prepare(self.cache, self.words, seed);
        let ns = clock.time_completed(writeback);
        check(self.words, seed);
        ns
    }
}

/// The cost of one instruction on lines in one state, in ranges of one size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The instruction's mnemonic.
    pub instruction: &'static str,
    /// The state of the lines before.
    pub state: State,
    /// The size of a range in bytes.
    pub bytes: usize,
    /// The number of lines of a range.
    pub lines: usize,
    /// Nanoseconds for one range and its fence.
    pub range_ns: Estimate,
    /// Nanoseconds for one more line.
    pub line_ns: Estimate,
    /// Nanoseconds for the fence of one range; `None` if it is lost in the noise of the lines.
    pub fence_ns: Option<Estimate>,
}

/// Measures these instructions on lines in every state and ranges of every size, all of them
/// interleaved.
///
/// # Errors
/// If the machine does not have one of them, or a measured value is not a number.
pub fn measure(
    clock: &Clock,
    names: &[&'static str],
    blocks: Blocks,
    progress: &mut dyn FnMut(),
) -> anyhow::Result<Vec<Cost>> {
    let memory = Memory::new();
    let mut cases = Vec::new();
    for name in names {
        let cache = with_instruction(name)?;
        for state in State::ALL {
            cases.extend(SIZES.map(|bytes| (*name, Probe::new(&memory, cache, state, bytes))));
        }
    }
    let mut loops: Vec<Loop<'_, Sample>> = cases
        .iter()
        .map(|(_, probe)| -> Loop<'_, Sample> { Box::new(|| probe.sample(clock)) })
        .collect();
    let samples = interleave(blocks, &mut loops, progress);
    drop(loops);
    let costs =
        cases.iter().zip(&samples).map(|((name, probe), samples)| cost(name, probe, samples));
    Ok(costs.collect::<Result<_, _>>()?)
}

fn cost(
    instruction: &'static str,
    probe: &Probe<'_>,
    samples: &[Sample],
) -> Result<Cost, NoEstimate> {
    let estimate = |times: Vec<f64>| Estimate::of(&times);
    let fences: Option<Vec<f64>> = samples.iter().map(|sample| sample.fence).collect();
    Ok(Cost {
        instruction,
        state: probe.state,
        bytes: probe.bytes,
        lines: probe.lines(),
        range_ns: estimate(samples.iter().map(|sample| sample.range).collect())?,
        line_ns: estimate(samples.iter().map(|sample| sample.line).collect())?,
        fence_ns: fences.map(estimate).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Memory, NotHere, Probe, SIZES, Sample, available, with_instruction};
    use crate::measure::lines::State;
    use cachemaint::Cache;

    #[test]
    fn an_unknown_instruction_is_refused_with_the_available_ones() {
        let text = with_instruction("clzap").unwrap_err().to_string();
        assert!(text.starts_with("\"clzap\" is not a write-back instruction"), "{text}");
        for instruction in available().unwrap() {
            assert!(text.contains(instruction.name), "{text}");
        }
    }

    #[test]
    fn an_instruction_that_this_machine_lacks_is_refused_with_what_it_requires() {
        let known = cachemaint::instruction::ALL[0];
        let (name, available) = (known.name.to_owned(), vec!["other", "another"]);
        let text = NotHere { name, known: Some(known), available }.to_string();
        let (name, requires) = (known.name, known.requires);
        let expected =
            format!("this machine does not have {name} ({requires}); it has: other, another");
        assert_eq!(text, expected);
    }

    /// 4 ranges of 64 lines at 1.5 ns, with fences of 100 ns: 4 × 64 × 1.5 = 384, so 784 and 484.
    #[test]
    fn times_of_lines_and_fences_are_separated() {
        let sample = Sample::new(784.0, 484.0, 4, 64);
        assert_eq!(sample, Sample { range: 196.0, line: 1.5, fence: Some(100.0) });
    }

    #[test]
    fn the_fence_of_a_single_range_is_not_separated() {
        let sample = Sample::new(1000.0, 1010.0, 1, 500);
        assert_eq!(sample, Sample { range: 1000.0, line: 2.02, fence: None });
    }

    #[test]
    fn each_available_instruction_is_the_one_that_is_used() {
        for instruction in available().unwrap() {
            let cache = with_instruction(instruction.name).unwrap();
            assert_eq!(cache.writeback_choice().instruction.name, instruction.name);
        }
    }

    /// Half of a common L1 data cache, so that prepared lines are still there when their turn comes.
    #[test]
    fn small_ranges_together_fit_in_l1_and_never_share_a_line() {
        let (memory, cache) = (Memory::new(), Cache::host().unwrap());
        for bytes in SIZES {
            let probe = Probe::new(&memory, cache, State::Dirty, bytes);
            assert!(probe.stride >= cache.line_size());
            assert!(probe.ranges() * probe.stride <= bytes.max(16 << 10));
            assert!(probe.ranges() >= 1);
            assert_eq!(probe.lines(), bytes.div_ceil(cache.line_size()));
        }
    }
}
