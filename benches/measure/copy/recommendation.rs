//! The table of methods that follows from this machine's measurements.
//!
//! The rule is that of the library's tables (`src/cache/copy/table.rs`): for each size, the method with the smallest
//! worst ratio to the best durable method, over the placements that the hint leaves open.

use super::{CacheSizes, Case, Contender, Destination, Level, Memory, Placement, Probe, library};
use super::{durable_methods, samples};
use crate::measure::blocks::Blocks;
use crate::measure::clock::Clock;
use crate::measure::machine::Machine;
use crate::measure::statistics::Estimate;
use cachemaint::Cache;
use core::error::Error;
use std::io::Write;

const SIZES: [usize; 13] = [
    64,
    128,
    192,
    256,
    512,
    1 << 10,
    2 << 10,
    4 << 10,
    8 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    LARGEST,
];
const LARGEST: usize = 1 << 20;

const PLACEMENTS: [Placement; 4] = [
    Placement::NOWHERE,
    Placement { level: Level::L1, dirty: false },
    Placement { level: Level::L2, dirty: false },
    Placement { level: Level::L3, dirty: false },
];

/// The hints, and the placements that each leaves open.
const HINTS: [(&str, &[Level]); 3] = [
    ("unknown", &[Level::Nowhere, Level::L1, Level::L2, Level::L3]),
    ("cached", &[Level::L1, Level::L2]),
    ("cold", &[Level::Nowhere]),
];

/// A method stays in use at the next size unless another one is better by more than this, since the medians of two runs
/// differ by as much.
const WORTH_A_CHANGE: f64 = 1.05;

/// The times of one method at one size in nanoseconds, by placement. All methods have the same placements.
type Times = Vec<(Level, f64)>;

/// Measures aligned copies of all sizes, and prints the times, the ratios and the table.
///
/// # Errors
/// If an estimate fails, or nothing can be printed.
pub fn print_recommendation(
    out: &mut dyn Write,
    clock: &Clock,
    cache: Cache,
) -> Result<(), Box<dyn Error>> {
    let machine = Machine::this();
    let writeback = cache.writeback_choice().instruction.name;
    writeln!(out, "{}; {}; DRAM; write-back by {writeback}", machine.cpu, machine.kernel)?;
    writeln!(out, "ns, target in no cache / L1 / L2 / L3, and the worst ratio to the best method")?;
    let methods = durable_methods(cache);
    let memory = Memory::new(LARGEST, CacheSizes::here());
    let ours = || library("cachemaint", Destination::Unknown, cache);
    let mut sizes = Vec::new();
    for bytes in SIZES {
        let contenders: Vec<_> = durable_methods(cache).into_iter().chain([ours()]).collect();
        let mut times = measure(clock, &memory, cache, &contenders, bytes)?;
        print_times(out, bytes, &contenders, &times)?;
        times.pop();
        sizes.push((bytes, times));
    }
    for (hint, levels) in HINTS {
        write!(out, "{hint}:")?;
        for (bytes, method) in tiers(&sizes, levels) {
            let name = methods.get(method).map_or("", |method| method.name.as_str());
            write!(out, "  from {bytes} B {name}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn measure(
    clock: &Clock,
    memory: &Memory,
    cache: Cache,
    contenders: &[Contender<'_>],
    bytes: usize,
) -> Result<Vec<Times>, Box<dyn Error>> {
    let blocks = if bytes < 64 << 10 { Blocks::at_least(101) } else { Blocks::FEWEST };
    let mut times: Vec<Times> = contenders.iter().map(|_| Times::new()).collect();
    let held = |placement: &Placement| CacheSizes::here().hold(*placement, bytes);
    for placement in PLACEMENTS.into_iter().filter(held) {
        let probe = Probe::new(memory, cache, Case { bytes, aligned: true, placement });
        let (measured, _) = samples(clock, &probe, contenders, blocks, &mut || {});
        for (times, samples) in times.iter_mut().zip(measured) {
            times.push((placement.level, Estimate::of(&samples)?.median));
        }
    }
    Ok(times)
}

fn print_times(
    out: &mut dyn Write,
    bytes: usize,
    contenders: &[Contender<'_>],
    times: &[Times],
) -> Result<(), Box<dyn Error>> {
    for (contender, own) in contenders.iter().zip(times) {
        write!(out, "{bytes:>9} B  {:<14}", contender.name)?;
        for level in PLACEMENTS.map(|placement| placement.level) {
            match time(own, level) {
                Some(ns) => write!(out, "{ns:>10.0}")?,
                None => write!(out, "{:>10}", "-")?,
            }
        }
        let (_, levels) = HINTS[0];
        writeln!(out, "   {:.2}", worst_ratio(own, times, levels))?;
    }
    Ok(())
}

fn time(times: &Times, level: Level) -> Option<f64> {
    times.iter().find(|(other, _)| *other == level).map(|(_, ns)| *ns)
}

/// Returns the greatest ratio of a method's time to the best one over these placements, or 1 if none was measured.
fn worst_ratio(own: &Times, all: &[Times], levels: &[Level]) -> f64 {
    let ratio = |level: &Level| {
        let best = all.iter().filter_map(|times| time(times, *level)).reduce(f64::min)?;
        Some(time(own, *level)? / best)
    };
    levels.iter().filter_map(ratio).fold(1.0, f64::max)
}

/// Returns the table: the sizes from which another method is used, with the method's index.
fn tiers(sizes: &[(usize, Vec<Times>)], levels: &[Level]) -> Vec<(usize, usize)> {
    let mut tiers: Vec<(usize, usize)> = Vec::new();
    for (bytes, times) in sizes {
        let ratios: Vec<f64> = times.iter().map(|own| worst_ratio(own, times, levels)).collect();
        let mut by_ratio = ratios.iter().enumerate();
        let Some(first) = by_ratio.next() else { break };
        let (best, least) =
            by_ratio.fold(first, |best, other| if other.1 < best.1 { other } else { best });
        let in_use = tiers.last().map(|(_, method)| *method);
        let stays = in_use.and_then(|method| ratios.get(method));
        if stays.is_none_or(|ratio| *ratio > least * WORTH_A_CHANGE) {
            tiers.push((*bytes, best));
        }
    }
    tiers
}

#[cfg(test)]
mod tests {
    use super::{HINTS, Level, Times, tiers, worst_ratio};

    /// Medians from an AMD EPYC, family 23 model 1, with CLFLUSHOPT: ordinary stores, and streaming stores followed by
    /// a write-back; target in no cache and in L1.
    fn sizes() -> Vec<(usize, Vec<Times>)> {
        let times = |none, l1| vec![(Level::Nowhere, none), (Level::L1, l1)];
        vec![
            (256, vec![times(178.0, 169.0), times(186.0, 244.0)]),
            (1024, vec![times(317.0, 232.0), times(220.0, 304.0)]),
            (4096, vec![times(810.0, 524.0), times(371.0, 490.0)]),
            (16384, vec![times(2020.0, 1356.0), times(1188.0, 1340.0)]),
        ]
    }

    /// 1 KiB: 317 / 220 = 1.44 if no cache has the lines, and 304 / 232 = 1.31 if L1 has them.
    #[test]
    fn the_method_with_the_smallest_worst_ratio_is_taken() {
        let (_, unknown) = HINTS[0];
        let sizes = sizes();
        let of_1_kib = &sizes[1].1;
        let ratios: Vec<_> = of_1_kib
            .iter()
            .map(|own| (worst_ratio(own, of_1_kib, unknown) * 100.0).round())
            .collect();
        assert_eq!(ratios, [144.0, 131.0]);
        assert_eq!(tiers(&sizes, unknown), [(256, 0), (1024, 1)]);
    }

    /// Hot: 524 / 490 = 1.07 at 4 KiB is worth a change, and 1356 / 1340 = 1.01 back would not be.
    #[test]
    fn a_hint_leaves_fewer_placements_and_a_small_gain_changes_nothing() {
        let tiers_of = |place: usize| tiers(&sizes(), HINTS[place].1);
        assert_eq!(tiers_of(1), [(256, 0), (4096, 1)]);
        assert_eq!(tiers_of(2), [(256, 0), (1024, 1)]);
        let close = vec![
            (64, vec![vec![(Level::L1, 100.0)], vec![(Level::L1, 110.0)]]),
            (128, vec![vec![(Level::L1, 104.0)], vec![(Level::L1, 100.0)]]),
        ];
        assert_eq!(tiers(&close, HINTS[1].1), [(64, 0)]);
    }
}
