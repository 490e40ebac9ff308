//! `cargo xtask plot`: figures under `docs/figures` of the last results of criterion and of the table of survival. Those of
//! the journal and the recorder are of the printed results beside them.
//!
//! Run it where the benchmarks ran: a figure names the CPU and the kernel of the machine that draws it.

mod figure;
pub(crate) mod machine;
mod peers;
mod results;
mod survival;

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::host::Host;
use figure::{Figure, Line, Look, Panel, Point, Scale};
use results::Measured;

const FOLDER: &str = "docs/figures";
/// The end of the names that `benches/contenders.rs` gives to methods that are not known to be durable for every location
/// of their target.
const NOT_DURABLE: &str = " (not durable)";

/// The figures of the printed results of benchmarks, and their titles.
const PEERS: [(&str, &str); 2] = [
    ("journal", "Append of a record, durable at return"),
    ("recorder", "Recording of an event with 40 bytes of payload: time for each event and thread"),
];

/// Draws all figures whose benchmarks were run, and returns their paths.
pub(crate) fn plot(host: &Host) -> Result<Vec<String>> {
    let folder = host.root().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let survival = folder.join("survival.svg");
    fs::write(&survival, survival::svg()?)
        .with_context(|| format!("cannot write {}", survival.display()))?;
    for (name, title) in PEERS {
        let printed = folder.join(format!("{name}.txt"));
        let results = fs::read_to_string(&printed)
            .with_context(|| format!("cannot read {}", printed.display()))?;
        let svg = peers::svg(title, &results).with_context(|| printed.display().to_string())?;
        fs::write(folder.join(format!("{name}.svg")), svg)
            .with_context(|| format!("cannot write {name}.svg"))?;
    }
    let measured = results::read(&host.target_dir("criterion"))?;
    let subtitle = machine::describe()?;
    let mut written =
        ["survival", "journal", "recorder"].map(|name| format!("{FOLDER}/{name}.svg")).to_vec();
    let without_measurements = written.len();
    for (name, title, panels) in [
        (
            "copy",
            "Copy of n bytes, then durable: time against the best durable method",
            relative(&measured),
        ),
        ("copy_time", "Copy of n bytes, then durable: time", absolute(&measured)),
        ("writeback_range", "Write-back of a range: time for one line", by_line(&measured)),
    ] {
        if panels.is_empty() {
            continue;
        }
        let figure = Figure { title: title.to_owned(), subtitle: subtitle.clone(), panels };
        figure.write(&folder.join(format!("{name}.svg")))?;
        written.push(format!("{FOLDER}/{name}.svg"));
    }
    ensure!(
        written.len() > without_measurements,
        "nothing to plot was measured; run `cargo bench -p cachemaint-benches` first"
    );
    Ok(written)
}

/// The groups of `benches/copy.rs`.
const COPIES: [(&str, &str); 4] = [
    ("copy, cold, aligned", "target in no cache, aligned to a line"),
    ("copy, cold, not aligned", "target in no cache, not aligned"),
    ("copy, hot, aligned", "target in the nearest cache that holds it, clean, aligned to a line"),
    ("copy, hot, not aligned", "target in the nearest cache that holds it, clean, not aligned"),
];

fn relative(measured: &[Measured]) -> Vec<Panel> {
    let panels = COPIES.iter().map(|(group, title)| {
        let group = of_group(measured, group);
        let lines = lines(&group, |point| 1.0 / best_durable(&group, point.bytes));
        let scale = Scale::Logarithmic { base: 2.0 };
        Panel { title: (*title).to_owned(), unit: "time / best durable", scale, lines }
    });
    with_lines(panels)
}

fn absolute(measured: &[Measured]) -> Vec<Panel> {
    let panels = COPIES.iter().map(|(group, title)| {
        let lines = lines(&of_group(measured, group), |_| 1.0);
        let scale = Scale::Logarithmic { base: 10.0 };
        Panel { title: (*title).to_owned(), unit: "ns", scale, lines }
    });
    with_lines(panels)
}

/// The line size of x86 and arm64.
const LINE: f64 = 64.0;

fn by_line(measured: &[Measured]) -> Vec<Panel> {
    let panels = ["dirty", "clean"].map(|state| {
        let group = of_group(measured, &format!("write back a range, {state}"));
        let lines = lines(&group, |point| LINE / point.bytes);
        let title = format!("lines {state} before");
        Panel { title, unit: "ns for a line of 64 B", scale: Scale::FromZero, lines }
    });
    with_lines(panels.into_iter())
}

fn with_lines(panels: impl Iterator<Item = Panel>) -> Vec<Panel> {
    panels.filter(|panel| !panel.lines.is_empty()).collect()
}

fn of_group<'a>(measured: &'a [Measured], group: &str) -> Vec<&'a Measured> {
    measured.iter().filter(|one| one.group == group).collect()
}

/// Returns the time of the fastest durable method, shown in the figure or not.
fn best_durable(group: &[&Measured], bytes: f64) -> f64 {
    group
        .iter()
        .filter(|one| one.bytes.total_cmp(&bytes).is_eq() && !one.function.ends_with(NOT_DURABLE))
        .map(|one| one.median)
        .fold(f64::INFINITY, f64::min)
}

/// The measured methods that the figures show, in the order of their colours.
const SHOWN: [Shown; 6] = [
    Shown { what: "", start: "cachemaint", ends: &[] },
    Shown { what: "", start: "libpmem", ends: &[] },
    Shown {
        what: "stores",
        start: "st",
        ends: &[("+clwb", ", CLWB after each 4 KiB"), ("+clfo", ", CLFLUSHOPT after each 4 KiB")],
    },
    Shown { what: "streaming stores", start: "nt", ends: &[("", "")] },
    Shown {
        what: "streaming stores",
        start: "nt",
        ends: &[("|clwb/all", ", then CLWB"), ("|clfo/all", ", then CLFLUSHOPT")],
    },
    Shown { what: "MOVDIR64B stores", start: "dir", ends: &[("", "")] },
];

/// One line of a figure.
struct Shown {
    /// The stores in words; the legend has the bytes of each before them.
    what: &'static str,
    /// The beginning of its name in `benches/copy.rs`.
    start: &'static str,
    /// The possible endings after the bytes of its stores, each with its words; the first measured one is taken. Without
    /// endings, the beginning is the whole name.
    ends: &'static [(&'static str, &'static str)],
}

impl Shown {
    /// Returns the matching method with the widest stores, without its mark, and its name in words: more lines would hide
    /// each other.
    fn function<'a>(&self, group: &[&'a Measured]) -> Option<(&'a str, String)> {
        let names = || group.iter().map(|one| one.function.as_str());
        if self.ends.is_empty() {
            let whole = |name: &&str| bare(name) == self.start;
            return names().find(whole).map(|name| (bare(name), bare(name).to_owned()));
        }
        let width =
            |name: &str, end| bare(name).strip_prefix(self.start)?.strip_suffix(end)?.parse().ok();
        self.ends.iter().find_map(|(end, words)| {
            let widths = names().filter_map(|name| Some((width(name, end)?, name)));
            let (bytes, name): (u32, _) = widths.max()?;
            Some((bare(name), format!("{}-byte {}{words}", bytes, self.what)))
        })
    }
}

/// Returns the name of a method without the mark of those that are not durable.
fn bare(name: &str) -> &str {
    name.strip_suffix(NOT_DURABLE).unwrap_or(name)
}

fn lines(group: &[&Measured], factor: impl Fn(&Measured) -> f64) -> Vec<Line> {
    let mut lines = Vec::new();
    for (colour, shown) in SHOWN.iter().enumerate() {
        let Some((function, name)) = shown.function(group) else { continue };
        // A method may be durable at some sizes only.
        for mark in ["", NOT_DURABLE] {
            let of_it = group.iter().filter(|one| one.function == format!("{function}{mark}"));
            let points = of_it.map(|one| {
                let factor = factor(one);
                let (low, high) = one.interval;
                let (value, low, high) = (one.median * factor, low * factor, high * factor);
                Point { bytes: one.bytes, value, low, high }
            });
            let look = Look { colour, ours: function == "cachemaint", dashed: mark == NOT_DURABLE };
            lines.push(Line { name: format!("{name}{mark}"), look, points: points.collect() });
        }
    }
    lines.retain(|line| !line.points.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::results::Measured;
    use super::{absolute, best_durable, by_line, relative};

    fn measured(group: &str, function: &str, bytes: f64, median: f64) -> Measured {
        let interval = (median * 0.5, median * 2.0);
        Measured { group: group.to_owned(), function: function.to_owned(), bytes, median, interval }
    }

    fn copies() -> Vec<Measured> {
        [("cachemaint", 300.0), ("nt64 (not durable)", 40.0), ("nt8 (not durable)", 90.0)]
            .into_iter()
            .chain([("st16+clwb", 200.0), ("st64+clwb", 250.0), ("st64+clfo", 500.0)])
            .map(|(function, median)| measured("copy, hot, aligned", function, 64.0, median))
            .collect()
    }

    /// 40 ns that lose data are not a goal; the narrow stores are the best though no line shows them.
    #[test]
    fn ways_that_lose_data_are_never_the_best() {
        let copies = copies();
        let group: Vec<&Measured> = copies.iter().collect();
        assert!((best_durable(&group, 64.0) - 200.0).abs() < 0.001);
        let panels = relative(&copies);
        let [panel] = panels.as_slice() else { unreachable!("one group was measured") };
        let ours = &panel.lines[0];
        assert_eq!(ours.name, "cachemaint");
        let point = ours.points[0];
        assert_eq!((point.value, point.low, point.high), (1.5, 0.75, 3.0));
    }

    #[test]
    fn the_widest_of_each_kind_is_shown_and_what_is_not_durable_is_dashed() {
        let panels = absolute(&copies());
        let shown: Vec<_> =
            panels[0].lines.iter().map(|line| (line.name.as_str(), line.look.dashed)).collect();
        let expected = [
            ("cachemaint", false),
            ("64-byte stores, CLWB after each 4 KiB", false),
            ("64-byte streaming stores (not durable)", true),
        ];
        assert_eq!(shown, expected);
    }

    /// libpmem streams from 256 bytes on.
    #[test]
    fn a_method_that_is_durable_at_some_sizes_has_a_line_for_these() {
        let measured = [("libpmem", 64.0), ("libpmem (not durable)", 256.0)]
            .map(|(function, bytes)| measured("copy, hot, aligned", function, bytes, 90.0));
        let panels = absolute(&measured);
        let shown: Vec<_> = panels[0]
            .lines
            .iter()
            .map(|line| (line.name.as_str(), line.look.dashed, line.points.len()))
            .collect();
        assert_eq!(shown, [("libpmem", false, 1), ("libpmem (not durable)", true, 1)]);
    }

    /// 64 lines in 128 ns are 2 ns a line.
    #[test]
    fn ranges_are_shown_by_line() {
        let range = measured("write back a range, dirty", "libpmem", 4096.0, 128.0);
        let panels = by_line(&[range]);
        assert_eq!(panels.len(), 1, "clean ones were not measured");
        assert!((panels[0].lines[0].points[0].value - 2.0).abs() < 0.001);
    }
}
