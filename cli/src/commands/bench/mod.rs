//! `cachemaint bench`: the costs of write-backs and copies here, and the effect of streaming stores.

mod copy;

use super::text;
use anstyle::{AnsiColor, Style};
use anyhow::Context;
use cachemaint::Cache;
use cachemaint_cli::measure::blocks::Blocks;
use cachemaint_cli::measure::clock::{self, Clock};
use cachemaint_cli::measure::machine::Machine;
#[cfg(target_arch = "x86_64")]
use cachemaint_cli::measure::streaming;
use cachemaint_cli::measure::streaming::{After, Answer, Figures, Repeated, Streaming, Verdict};
use cachemaint_cli::measure::{MEDIUM, pinning, writeback};
use core::time::Duration;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// Measure the cost of each write-back instruction, per line and per fence
///
/// The lines are dirty, clean or not cached, in ranges of 64 B, 4 KiB and 1 MiB. Then a test shows whether streaming
/// stores leave the L1 cache on this CPU. The memory is DRAM: the figures are costs of caches and memory controllers,
/// not of persistent media.
///
/// With --copy instead: the cost of copies that are durable at return, by size, by the placement of their target, and
/// by method.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measure copies instead (a few minutes)
    #[arg(long)]
    copy: bool,
    /// Take fewer blocks, and fewer sizes of copies (a few seconds)
    #[arg(long)]
    quick: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Measure only this write-back instruction, such as clwb
    #[arg(long, value_name = "NAME", conflicts_with = "copy")]
    writeback: Option<String>,
    /// Measure on this CPU core [default: the last one that may be used]
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
}

/// The number of the JSON document's form; it changes when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;

/// The blocks of about 2 s on a CPU of 2022.
const QUICK: Blocks = Blocks::at_least(300);
/// The blocks of about 30 s.
const THOROUGH: Blocks = Blocks::at_least(4000);

/// The circumstances of a measurement.
#[derive(Debug, Serialize)]
struct Circumstances {
    schema: u32,
    #[serde(flatten)]
    machine: Machine,
    core: usize,
    medium: &'static str,
    clock: clock::Description,
    line_bytes: usize,
}

impl Circumstances {
    fn of(core: usize, clock: &Clock, cache: Cache) -> Self {
        Self {
            schema: SCHEMA,
            machine: Machine::this(),
            core,
            medium: MEDIUM,
            clock: clock.description(),
            line_bytes: cache.line_size(),
        }
    }

    fn write_heading(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { machine, core, clock, line_bytes, .. } = self;
        writeln!(out, "{}", machine.cpu)?;
        writeln!(out, "hypervisor: {}; kernel: {}", machine.hypervisor, machine.kernel)?;
        writeln!(out, "pinned to core {core}; lines of {line_bytes} bytes")?;
        writeln!(out, "clock: {}, in steps of {:.1} ns", clock.source, clock.step_ns)
    }

    fn write_medium(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "memory is {}: costs of caches and memory controllers, not of persistent media",
            self.medium
        )
    }
}

/// The whole result.
#[derive(Debug, Serialize)]
struct Results {
    #[serde(flatten)]
    circumstances: Circumstances,
    blocks: usize,
    writeback: Vec<writeback::Cost>,
    /// `None` if there is nothing to measure.
    streaming: Option<Streaming>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.copy {
        return copy::run(arguments);
    }
    let names = names(arguments.writeback.as_deref())?;
    let blocks = if arguments.quick { QUICK } else { THOROUGH };
    // Rounds of write-backs and rounds of streaming stores.
    let bar = progress(2 * blocks.get() as u64)?;
    let measured = pinning::pinned(arguments.cpu, |core| measure(core, &names, blocks, &bar));
    bar.finish_and_clear();
    let results = measured??;

    text::print(arguments.json, &results, |out| write_text(out, &results))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the instructions to measure: the named one, or all that the machine has.
fn names(wanted: Option<&str>) -> anyhow::Result<Vec<&'static str>> {
    if let Some(name) = wanted {
        return Ok(vec![writeback::with_instruction(name)?.writeback_choice().instruction.name]);
    }
    let all = writeback::available().context("there is nothing to measure")?;
    Ok(all.iter().map(|instruction| instruction.name).collect())
}

fn measure(
    core: usize,
    names: &[&'static str],
    blocks: Blocks,
    bar: &ProgressBar,
) -> anyhow::Result<Results> {
    let clock = Clock::new();
    let preferred = names.first().context("there is nothing to measure")?;
    let cache = writeback::with_instruction(preferred)?;
    Ok(Results {
        circumstances: Circumstances::of(core, &clock, cache),
        blocks: blocks.get(),
        writeback: writeback::measure(&clock, names, blocks, &mut || bar.inc(1))?,
        #[cfg(target_arch = "x86_64")]
        streaming: Some(streaming::measure(clock, cache, blocks, &mut || bar.inc(1))?),
        #[cfg(not(target_arch = "x86_64"))]
        streaming: None,
    })
}

/// Returns a progress bar, which is hidden if standard error is not a terminal.
fn progress(rounds: u64) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("measuring {bar:40} {percent:>3} % {elapsed}")?;
    let bar = ProgressBar::new(rounds).with_style(style);
    bar.enable_steady_tick(Duration::from_secs(1));
    Ok(bar)
}

const HEADING: Style = Style::new().bold();

fn write_text(out: &mut dyn Write, results: &Results) -> io::Result<()> {
    let Results { circumstances, blocks, .. } = results;
    circumstances.write_heading(out)?;
    writeln!(out, "medians of {blocks} interleaved blocks; the data are not zero")?;
    circumstances.write_medium(out)?;
    writeln!(out)?;
    write_costs(out, &results.writeback)?;
    writeln!(out)?;
    write_streaming(out, results.streaming.as_ref(), &circumstances.machine.cpu)
}

fn write_costs(out: &mut dyn Write, costs: &[writeback::Cost]) -> io::Result<()> {
    writeln!(
        out,
        "{HEADING}{:<11} {:<11}{:>7} {:>25} {:>11} {:>11}{HEADING:#}",
        "write-back", "lines", "range", "ns per range (95 %)", "ns per line", "per fence",
    )?;
    for (place, cost) in costs.iter().enumerate() {
        if place > 0 && place % writeback::SIZES.len() == 0 {
            writeln!(out)?;
        }
        writeln!(
            out,
            "{:<11} {:<11}{:>7} {:>25} {:>11.2} {:>11}",
            cost.instruction,
            cost.state,
            size(cost.bytes),
            format!("{:.0}", cost.range_ns),
            cost.line_ns.median,
            cost.fence_ns.map_or_else(|| "-".to_owned(), |fence| format!("{:.0}", fence.median)),
        )?;
    }
    writeln!(out)?;
    writeln!(out, "per range: its lines and the fence that completes them, range after range")?;
    writeln!(out, "per line: one more line; per fence: waiting for completion (-: lost in noise)")
}

/// Returns a size in the unit that leaves no fraction.
fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

fn write_streaming(
    out: &mut dyn Write,
    streaming: Option<&Streaming>,
    cpu: &str,
) -> io::Result<()> {
    let Some(streaming) = streaming else {
        return writeln!(
            out,
            "Streaming stores: there is nothing to measure here, they are a matter of x86_64."
        );
    };
    let Streaming { writeback, controls, figures, conclusion } = streaming;
    writeln!(
        out,
        "{HEADING}Streaming stores that fill lines, and SFENCE{HEADING:#}, by what the lines were before",
    )?;
    writeln!(
        out,
        "{:<9}{:>20}  {:>20}  {:>12}  {:>13}",
        "", "then load, ns", "then write back, ns", "1 line, ns", "4 KiB, GB/s",
    )?;
    writeln!(
        out,
        "{HEADING}{:<9}{:>6}{:>7}{:>7}  {:>6}{:>7}{:>7}  {:>6}{:>6}  {:>6}{:>7}{HEADING:#}",
        "store", "clean", "dirty", "none", "clean", "dirty", "none", "L1", "none", "L1", "none",
    )?;
    for figures in figures {
        writeln!(
            out,
            "{:<9}{}  {}  {}  {}",
            size(figures.store_bytes.bytes()),
            three(&figures.load_ns),
            three(&figures.writeback_ns),
            one_line(&figures.line_ns),
            bandwidth(figures),
        )?;
    }
    writeln!(
        out,
        "Controls without streaming stores, ns: load {:.1} from L1, {:.1} not cached;\n\
         {writeback} and MFENCE {:.1} dirty, {:.1} clean, {:.1} not cached.",
        controls.load_cached_ns.median,
        controls.load_not_cached_ns.median,
        controls.writeback_dirty_ns.median,
        controls.writeback_clean_ns.median,
        controls.writeback_not_cached_ns.median,
    )?;
    writeln!(out)?;
    let style = verdict_style(conclusion.verdict);
    writeln!(out, "Verdict: {style}{}{style:#}.", conclusion.verdict)?;
    writeln!(out, "{}", explanation(conclusion.verdict))?;
    let says = |answer| conclusion.findings.iter().filter(|finding| finding.says == answer).count();
    writeln!(
        out,
        "Of {} findings {} say \"stays\", {} \"evicts\", {} nothing (--json has each).",
        conclusion.findings.len(),
        says(Answer::Stays),
        says(Answer::Evicts),
        says(Answer::Nothing),
    )?;
    writeln!(
        out,
        "Measured by timing; no statement of the vendor, and nothing relies on it. CPU:"
    )?;
    writeln!(out, "{cpu}")
}

fn three(after: &After) -> String {
    let After { clean, dirty, not_cached } = after;
    format!("{:>6.1}{:>7.1}{:>7.1}", clean.median, dirty.median, not_cached.median)
}

fn one_line(repeated: &Repeated) -> String {
    format!("{:>6.1}{:>6.1}", repeated.cached.median, repeated.not_cached.median)
}

fn bandwidth(figures: &Figures) -> String {
    let [cached, not_cached] = figures.pass_gigabytes_per_second();
    format!("{cached:>6.1}{not_cached:>7.1}")
}

fn verdict_style(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Evicts => AnsiColor::Green,
        Verdict::StaysInL1 | Verdict::CannotTell => AnsiColor::Yellow,
    };
    colour.on_default().bold()
}

fn explanation(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Evicts => {
            "After streaming stores and SFENCE, lines that were in L1 cost what lines cost\n\
             that are not cached."
        }
        Verdict::StaysInL1 => {
            "After streaming stores and SFENCE, lines that were in L1 are still there and\n\
             dirty: without a write-back they have not reached memory."
        }
        Verdict::CannotTell => {
            "The figures contradict each other, or do not separate cached lines from others."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, Results, SCHEMA, write_text};
    use anstream::StripStream;
    use cachemaint_cli::measure::clock::Description;
    use cachemaint_cli::measure::lines::State;
    use cachemaint_cli::measure::machine::Machine;
    use cachemaint_cli::measure::statistics::Estimate;
    use cachemaint_cli::measure::streaming::{
        After, Controls, Figures, Repeated, Streaming, Verdict, Width, conclude,
    };
    use cachemaint_cli::measure::writeback::Cost;

    pub(super) fn estimate(median: f64) -> Estimate {
        Estimate { median, low: median - 1.0, high: median + 1.0, samples: 30 }
    }

    pub(super) fn circumstances() -> Circumstances {
        Circumstances {
            schema: SCHEMA,
            machine: Machine {
                cpu: "Some CPU (GenuineIntel, family 6 model 207 stepping 2)".to_owned(),
                hypervisor: "KVM".to_owned(),
                kernel: "Linux 6.12.0".to_owned(),
            },
            core: 1,
            medium: "DRAM",
            clock: Description {
                source: "the system's monotonic clock",
                step_ns: 10.0,
                overhead_ns: 20.0,
                overhead_completed_ns: 30.0,
            },
            line_bytes: 64,
        }
    }

    fn after([clean, dirty, not_cached]: [f64; 3]) -> After {
        After { clean: estimate(clean), dirty: estimate(dirty), not_cached: estimate(not_cached) }
    }

    fn repeated([cached, not_cached]: [f64; 2]) -> Repeated {
        Repeated { cached: estimate(cached), not_cached: estimate(not_cached) }
    }

    fn streaming() -> Streaming {
        let controls = Controls {
            load_cached_ns: estimate(2.0),
            load_not_cached_ns: estimate(140.0),
            writeback_dirty_ns: estimate(170.0),
            writeback_clean_ns: estimate(155.0),
            writeback_not_cached_ns: estimate(95.0),
        };
        let figures = vec![Figures {
            store_bytes: Width::Bytes16,
            load_ns: after([140.0, 141.0, 142.0]),
            writeback_ns: after([94.0, 95.0, 96.0]),
            line_ns: repeated([127.5, 128.5]),
            pass_ns: repeated([256.0, 512.0]),
        }];
        let conclusion = conclude(&controls, &figures);
        Streaming { writeback: "clwb", controls, figures, conclusion }
    }

    fn results() -> Results {
        let cost = |bytes, lines, fence_ns| Cost {
            instruction: "clflushopt",
            state: State::NotCached,
            bytes,
            lines,
            range_ns: estimate(12345.0),
            line_ns: estimate(0.75),
            fence_ns,
        };
        Results {
            circumstances: circumstances(),
            blocks: 4000,
            writeback: vec![cost(4096, 64, Some(estimate(137.0))), cost(1 << 20, 16384, None)],
            streaming: Some(streaming()),
        }
    }

    fn text(results: &Results) -> String {
        let mut out = StripStream::new(Vec::new());
        write_text(&mut out, results).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn every_line_fits_in_80_columns() {
        for verdict in [Verdict::Evicts, Verdict::StaysInL1, Verdict::CannotTell] {
            let mut streaming = streaming();
            streaming.conclusion.verdict = verdict;
            let text = text(&Results { streaming: Some(streaming), ..results() });
            assert!(text.contains(&format!("Verdict: {verdict}.")), "{text}");
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn each_cost_has_a_row_with_its_unit_and_its_interval() {
        let text = text(&results());
        let row =
            "clflushopt  not cached   4 KiB      12345 (12344..12346)        0.75         137";
        assert!(text.contains(row), "{text}");
        let row =
            "clflushopt  not cached   1 MiB      12345 (12344..12346)        0.75           -";
        assert!(text.contains(row), "{text}");
    }

    /// 4096 bytes in 256 ns are 16 GB/s.
    #[test]
    fn streaming_stores_have_a_row_the_controls_and_a_verdict() {
        let text = text(&results());
        let row =
            "16 B      140.0  141.0  142.0    94.0   95.0   96.0   127.5 128.5    16.0    8.0";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("load 2.0 from L1, 140.0 not cached"), "{text}");
        assert!(text.contains("Verdict: evicts."), "{text}");
        // The passes differ by a factor of 2, which is neither.
        assert!(text.contains("Of 4 findings 0 say \"stays\", 3 \"evicts\", 1 nothing"), "{text}");
        assert!(text.contains("relies on it. CPU:\nSome CPU (GenuineIntel"), "{text}");
    }

    #[test]
    fn the_text_says_what_the_memory_is_and_where_there_is_nothing_to_measure() {
        let text = text(&Results { streaming: None, ..results() });
        assert!(text.contains("memory is DRAM: costs of caches and memory controllers"), "{text}");
        assert!(
            text.contains(
                "Streaming stores: there is nothing to measure here, they are a matter of x86_64."
            ),
            "{text}"
        );
    }

    #[test]
    fn the_json_document_has_a_schema_and_says_what_was_measured_on() {
        let json = serde_json::to_value(results()).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["medium"], "DRAM");
        assert_eq!(json["core"], 1);
        assert_eq!(json["kernel"], "Linux 6.12.0");
        assert_eq!(json["writeback"][0]["state"], "not_cached");
        assert_eq!(json["writeback"][0]["fence_ns"]["median"], 137.0);
        assert_eq!(json["streaming"]["figures"][0]["store_bytes"], 16);
    }
}
