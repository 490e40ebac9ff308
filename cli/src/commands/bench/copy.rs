//! `cachemaint bench --copy`: the cost of a copy that is durable at return.

use super::{Arguments, Circumstances, HEADING, progress, size, write_streaming};
use crate::commands::text;
use anyhow::Context;
use cachemaint_cli::measure::blocks::Blocks;
use cachemaint_cli::measure::clock::Clock;
use cachemaint_cli::measure::copy::{
    CacheSizes, Case, Control, Cost, Memory, Placement, Probe, contenders, controls, measure,
};
#[cfg(target_arch = "x86_64")]
use cachemaint_cli::measure::streaming;
use cachemaint_cli::measure::streaming::Streaming;
use cachemaint_cli::measure::{pinning, to_persistence};
use indicatif::ProgressBar;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// Sizes of copies in bytes, from one byte to more than a core's caches hold.
const SIZES: [usize; 16] = [
    1,
    8,
    64,
    128,
    256,
    512,
    1 << 10,
    2 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    64 << 20,
];
/// The sizes of `--quick`.
const FEW_SIZES: [usize; 6] = [64, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20];
/// The size from which on the beginning of a line makes no difference.
const ALWAYS_ALIGNED: usize = 256 << 10;
/// The size from which on a block is long, and the fewest are enough.
const LONG: usize = 1 << 20;

const BLOCKS: Blocks = Blocks::at_least(100);
#[cfg(target_arch = "x86_64")]
const STREAMING_BLOCKS: Blocks = Blocks::at_least(300);

/// The whole result.
#[derive(Debug, Serialize)]
struct Results {
    #[serde(flatten)]
    circumstances: Circumstances,
    cache_bytes: CacheSizes,
    loads: Vec<Control>,
    copies: Vec<Cost>,
    /// `None` if there is nothing to measure.
    streaming: Option<Streaming>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let bar = progress(0)?;
    let measured = pinning::pinned(arguments.cpu, |core| {
        let sizes = CacheSizes::here();
        let cases = cases(arguments.quick, sizes);
        let rounds = cases.iter().map(|case| blocks(arguments.quick, *case).get() as u64);
        bar.set_length(rounds.sum());
        measure_all(core, arguments.quick, &cases, sizes, &bar)
    });
    bar.finish_and_clear();
    let results = measured??;
    text::print(arguments.json, &results, |out| write_text(out, &results))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the cells of the table, size by size.
fn cases(quick: bool, caches: CacheSizes) -> Vec<Case> {
    let sizes: &[usize] = if quick { &FEW_SIZES } else { &SIZES };
    let mut cases = Vec::new();
    for bytes in sizes.iter().copied() {
        let alone = quick || bytes >= ALWAYS_ALIGNED;
        for aligned in [true, false].into_iter().take(if alone { 1 } else { 2 }) {
            let here = Placement::ALL.into_iter().filter(|place| caches.hold(*place, bytes));
            cases.extend(here.map(|placement| Case { bytes, aligned, placement }));
        }
    }
    cases
}

fn blocks(quick: bool, case: Case) -> Blocks {
    if quick || case.bytes >= LONG { Blocks::FEWEST } else { BLOCKS }
}

fn measure_all(
    core: usize,
    quick: bool,
    cases: &[Case],
    sizes: CacheSizes,
    bar: &ProgressBar,
) -> anyhow::Result<Results> {
    let (clock, cache) = (Clock::new(), to_persistence().context("there is nothing to measure")?);
    let largest = cases.iter().map(|case| case.bytes).max().unwrap_or(0);
    let (memory, contenders) = (Memory::new(largest, sizes), contenders(cache));
    let loads = controls(&clock, &memory, cache, BLOCKS)?;
    let mut copies = Vec::new();
    for case in cases {
        let (blocks, progress) = (blocks(quick, *case), &mut || bar.inc(1));
        let probe = Probe::new(&memory, cache, *case);
        copies.extend(measure(&clock, &probe, &contenders, blocks, progress)?);
    }
    Ok(Results {
        circumstances: Circumstances::of(core, &clock, cache),
        cache_bytes: sizes,
        loads,
        copies,
        #[cfg(target_arch = "x86_64")]
        streaming: Some(streaming::measure(clock, cache, STREAMING_BLOCKS, &mut || {})?),
        #[cfg(not(target_arch = "x86_64"))]
        streaming: None,
    })
}

fn write_text(out: &mut dyn Write, results: &Results) -> io::Result<()> {
    let circumstances = &results.circumstances;
    circumstances.write_heading(out)?;
    let overhead = circumstances.clock.overhead_completed_ns;
    writeln!(out, "reading it costs {overhead:.0} ns a round, subtracted")?;
    writeln!(out, "medians of interleaved blocks; the data are not zero; the source is cached")?;
    circumstances.write_medium(out)?;
    writeln!(out)?;
    write_loads(out, &results.loads)?;
    writeln!(out, "{LEGEND}")?;
    let tables: Vec<&[Cost]> =
        results.copies.chunk_by(|one, next| table_of(one) == table_of(next)).collect();
    for table in &tables {
        writeln!(out)?;
        write_table(out, table)?;
    }
    for (title, placements) in SUMMARIES {
        writeln!(out)?;
        write_summary(out, title, placements, &tables)?;
    }
    writeln!(out)?;
    write_streaming(out, results.streaming.as_ref(), &circumstances.machine.cpu)
}

const LEGEND: &str = "\
none, L1, L2, L3: where the target's lines are, and clean; L1*, L2*, L3*: dirty
st, nt, dir: ordinary, streaming (non-temporal), direct stores, and their bytes
+clwb: a write-back after each 4 KiB (+clfo: by CLFLUSHOPT, +clfl: by CLFLUSH);
|clwb/all: a fence, then one of all. All end with a fence.
(in brackets): not known to be durable from everywhere; <: the best that is";

fn write_loads(out: &mut dyn Write, loads: &[Control]) -> io::Result<()> {
    write!(out, "a load from there, ns:")?;
    for Control { placement, load_ns } in loads {
        write!(out, " {placement} {:.0}", load_ns.median)?;
    }
    writeln!(out)
}

/// Returns the key of a table: costs with the same key are in one table.
const fn table_of(cost: &Cost) -> (usize, bool) {
    (cost.case.bytes, cost.case.aligned)
}

/// The size from which on times are in microseconds.
const MICROSECONDS: usize = 64 << 10;

fn write_table(out: &mut dyn Write, costs: &[Cost]) -> io::Result<()> {
    let Some(first) = costs.first() else { return Ok(()) };
    let unit = if first.case.bytes < MICROSECONDS { "ns" } else { "us" };
    let title = format!("{}, {unit}", size(first.case.bytes));
    let columns = Placement::ALL.map(|placement| format!("{placement:>8} ")).concat();
    writeln!(out, "{HEADING}{title:<15}{}{HEADING:#}", columns.trim_end())?;
    if !first.case.aligned {
        writeln!(out, "not aligned")?;
    }
    // All methods were measured in the first case.
    let ways = costs.iter().take_while(|cost| cost.case == first.case);
    for Cost { way, .. } in ways {
        let cells = Placement::ALL.map(|placement| {
            let is_it = |cost: &&Cost| (cost.case.placement, &cost.way) == (placement, way);
            let cell = costs.iter().find(is_it).map_or_else(|| "- ".to_owned(), cell);
            format!("{cell:>9}")
        });
        writeln!(out, "{}", format!("{way:<15}{}", cells.concat()).trim_end())?;
    }
    Ok(())
}

fn cell(cost: &Cost) -> String {
    let ns = cost.copy_ns.median;
    let time = match cost.case.bytes {
        0..MICROSECONDS => format!("{ns:.0}"),
        _ if ns < 1e6 => format!("{:.1}", ns / 1e3),
        _ => format!("{:.0}", ns / 1e3),
    };
    match (cost.durable, cost.best_durable) {
        (false, _) => format!("({time})"),
        (true, true) => format!("{time}<"),
        (true, false) => format!("{time} "),
    }
}

const SUMMARIES: [(&str, &[Placement]); 2] = {
    let (clean, dirty) = Placement::ALL.split_at(4);
    [("clean", clean), ("dirty", dirty)]
};

/// Writes the best durable method, by size and placement.
fn write_summary(
    out: &mut dyn Write,
    title: &str,
    placements: &[Placement],
    tables: &[&[Cost]],
) -> io::Result<()> {
    let columns = placements.iter().map(|placement| format!(" {placement:<14}"));
    let columns = columns.collect::<Vec<_>>().concat();
    let title = format!("best durable, {title}");
    writeln!(out, "{HEADING}{title:<19}{}{HEADING:#}", columns.trim_end())?;
    for table in tables {
        let Some(Cost { case, .. }) = table.first() else { continue };
        let name = size(case.bytes);
        let name = if case.aligned { name } else { format!("{name} not aligned") };
        let row = placements.iter().map(|placement| {
            let best =
                table.iter().find(|cost| cost.best_durable && cost.case.placement == *placement);
            format!(" {:<14}", best.map_or("-", |best| best.way.as_str()))
        });
        writeln!(out, "{}", format!("{name:<19}{}", row.collect::<Vec<_>>().concat()).trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{circumstances, estimate};
    use super::{Results, cases, measure_all, write_text};
    use anstream::StripStream;
    use cachemaint_cli::measure::copy::{CacheSizes, Case, Control, Cost, Level, Placement};
    use indicatif::ProgressBar;

    const SIZES: CacheSizes = CacheSizes { l1: 48 << 10, l2: 2 << 20, l3: 480 << 20 };

    /// The second method is the best; the third is faster, and loses data.
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    fn costs(case: Case) -> [Cost; 3] {
        let ways = [("cachemaint", true, 9.6), ("nt64|clfo/all", true, 9.5), ("nt64", false, 0.5)];
        ways.map(|(way, durable, ns_a_byte)| Cost {
            case,
            way: way.to_owned(),
            durable,
            best_durable: way == "nt64|clfo/all",
            copy_ns: estimate(400.0 + ns_a_byte * case.bytes as f64),
        })
    }

    fn results(quick: bool) -> Results {
        let copies = cases(quick, SIZES).into_iter().flat_map(costs).collect();
        let load = |placement: Placement| Control { placement, load_ns: estimate(264.4) };
        Results {
            circumstances: circumstances(),
            cache_bytes: SIZES,
            loads: Placement::ALL.map(load).to_vec(),
            copies,
            streaming: None,
        }
    }

    fn text(results: &Results) -> String {
        let mut out = StripStream::new(Vec::new());
        write_text(&mut out, results).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn every_line_fits_in_80_columns() {
        for line in text(&results(false)).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    /// By hand: 400 + 9.5 × 64 = 1008 ns; 400 + 0.5 × 64 = 432 ns; 400 + 9.5 × 65536 = 622992 ns.
    #[test]
    fn a_cell_shows_the_best_that_is_durable_and_what_is_not() {
        let text = text(&results(false));
        let table = text.split("\n\n").find(|table| table.starts_with("64 B, ns")).unwrap();
        let row = |way: &str| table.lines().find(|line| line.starts_with(way)).unwrap();
        assert_eq!(row("nt64|clfo/all").matches("    1008<").count(), 7);
        assert_eq!(row("nt64 ").matches("    (432)").count(), 7);
        let row = "nt64|clfo/all     623.0<       -    623.0<   623.0<       -    623.0<   623.0<";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn the_best_durable_way_of_each_cell_is_named() {
        let text = text(&results(true));
        let summary =
            text.split("\n\n").find(|part| part.starts_with("best durable, clean")).unwrap();
        let row = summary.lines().find(|line| line.starts_with("1 MiB")).unwrap();
        let expected = ["1", "MiB", "nt64|clfo/all", "-", "-", "nt64|clfo/all"];
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_case_is_measured_in_every_way_and_has_one_that_is_best() {
        let cases = &cases(true, CacheSizes::default())[..2];
        let sizes = CacheSizes::default();
        let Results { copies, loads, .. } =
            measure_all(0, true, cases, sizes, &ProgressBar::hidden()).unwrap();
        let of_one = copies.len() / cases.len();
        for (case, costs) in cases.iter().zip(copies.chunks(of_one)) {
            assert!(costs.iter().all(|cost| cost.case == *case));
            assert!(costs.iter().any(|cost| cost.way == "cachemaint"));
            let best: Vec<_> = costs.iter().filter(|cost| cost.best_durable).collect();
            assert!(matches!(best.as_slice(), [best] if best.durable), "{costs:?}");
        }
        // If no cache is known, memory is the only placement.
        let nowhere: Vec<_> = loads.iter().map(|load| load.placement).collect();
        assert_eq!(nowhere, [Placement::NOWHERE]);
    }

    #[test]
    fn copies_are_placed_where_they_fit() {
        let levels = |bytes| {
            let cases = cases(false, SIZES);
            let of_size = cases.iter().filter(|case| case.bytes == bytes && case.aligned);
            of_size.map(|case| case.placement.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(levels(4096), "none L1 L2 L3 L1* L2* L3*");
        assert_eq!(levels(64 << 10), "none L2 L3 L2* L3*");
        assert_eq!(levels(64 << 20), "none L3 L3*");
        let unaligned: Vec<usize> = cases(false, SIZES)
            .iter()
            .filter(|case| !case.aligned)
            .map(|case| case.bytes)
            .collect();
        assert!(unaligned.contains(&1) && unaligned.contains(&(64 << 10)));
    }

    #[test]
    fn the_json_document_has_a_schema_and_every_cell() {
        let json = serde_json::to_value(results(true)).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["medium"], "DRAM");
        assert_eq!(json["cache_bytes"]["l2"], 2 << 20);
        let copy = &json["copies"][1];
        assert_eq!(copy["bytes"], 64);
        assert_eq!(copy["aligned"], true);
        assert_eq!((&copy["level"], &copy["dirty"]), (&"nowhere".into(), &false.into()));
        assert_eq!(copy["way"], "nt64|clfo/all");
        assert_eq!((&copy["durable"], &copy["best_durable"]), (&true.into(), &true.into()));
        assert_eq!(copy["copy_ns"]["median"], 1008.0);
        assert_eq!(json["loads"][1]["load_ns"]["median"], 264.4);
        assert_eq!(json["loads"].as_array().unwrap().len(), Placement::ALL.len());
        assert!(Placement::ALL.iter().any(|placement| placement.level == Level::L3));
    }
}
