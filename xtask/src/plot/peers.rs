//! The costs of the journal and of the recorder beside their peers, of the printed results of their benchmarks.
//!
//! `docs/figures/NAME.txt` has the lines that `cargo bench -p cachemaint-benches --bench NAME` prints last: the machine,
//! the method, and the cases with their interleaved blocks. So the figure names the machine that measured.

use core::fmt::{self, Write as _};

use anyhow::{Context as _, Result, ensure};

const WIDTH: f64 = 800.0;
/// The beginning and the greatest length of a bar.
const BAR: f64 = 230.0;
const LONGEST: f64 = 360.0;
const ROW: f64 = 24.0;
const HEAD: f64 = 84.0;
/// The space above a case, which has its name.
const CASE: f64 = 40.0;

/// The output of a benchmark.
#[derive(Debug)]
struct Results {
    machine: String,
    /// The operation, and the number of blocks.
    method: String,
    cases: Vec<Case>,
}

#[derive(Debug)]
struct Case {
    name: String,
    times: Vec<Time>,
}

/// The nanoseconds of an operation: the median, and the ends of its interval.
#[derive(Debug, PartialEq)]
struct Time {
    name: String,
    median: f64,
    low: f64,
    high: f64,
}

/// Returns the figure of a benchmark's printed results as SVG, in the colours of a light or a dark page.
pub(super) fn svg(title: &str, printed: &str) -> Result<String> {
    Ok(draw(title, &parse(printed)?)?)
}

fn parse(printed: &str) -> Result<Results> {
    let mut lines = printed.lines();
    let machine = lines.next().context("the results are empty")?.to_owned();
    let method = lines.next().context("the results have no method")?.to_owned();
    let mut cases: Vec<Case> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        match (line.strip_prefix("  "), cases.last_mut()) {
            (Some(line), Some(case)) => {
                case.times.push(time(line).with_context(|| format!("not a time: {line}"))?);
            }
            _ => cases.push(Case { name: line.to_owned(), times: Vec::new() }),
        }
    }
    ensure!(!cases.is_empty(), "the results have no case; run the benchmark again");
    Ok(Results { machine, method, cases })
}

/// Parses `NAME  MEDIAN (LOW..HIGH) ns`; the rest of the line is the ratio.
fn time(line: &str) -> Option<Time> {
    let (name, rest) = line.split_once("  ")?;
    let (median, rest) = rest.trim_start().split_once(" (")?;
    let (low, rest) = rest.split_once("..")?;
    let (high, _) = rest.split_once(") ns")?;
    let [median, low, high] = [median, low, high].map(|number| number.parse::<f64>().ok());
    let time = Time { name: name.to_owned(), median: median?, low: low?, high: high? };
    (0.0 < time.low && time.low <= time.median && time.median <= time.high).then_some(time)
}

fn draw(title: &str, results: &Results) -> Result<String, fmt::Error> {
    let mut body = String::new();
    text(&mut body, "title", (16.0, 28.0), title)?;
    text(&mut body, "", (16.0, 50.0), &results.machine)?;
    text(&mut body, "", (16.0, 70.0), &results.method)?;
    let mut y = HEAD;
    for case in &results.cases {
        text(&mut body, "case", (16.0, y + 26.0), &case.name)?;
        y += CASE;
        let most = case.times.iter().map(|time| time.high).fold(0.0, f64::max);
        for time in &case.times {
            row(&mut body, y, time, LONGEST / most)?;
            y += ROW;
        }
    }
    text(&mut body, "", (16.0, y + 30.0), "Each case has a scale of its own, from 0.")?;
    let height = y + 46.0;
    Ok(format!(
        "<svg width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         {STYLE}\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}</svg>\n"
    ))
}

/// Draws a bar of the median, its interval, and both in numbers.
fn row(body: &mut String, y: f64, time: &Time, scale: f64) -> fmt::Result {
    let class = if time.name.starts_with("cachemaint") { "ours" } else { "peer" };
    let (width, height) = (time.median * scale, ROW - 5.0);
    text(body, "", (16.0, y + 14.0), label(&time.name))?;
    writeln!(
        body,
        r#"<rect class="{class}" x="{BAR}" y="{y}" width="{width:.1}" height="{height}"/>"#
    )?;
    let [low, high] = [time.low, time.high].map(|end| BAR + end * scale);
    let (top, middle, end) = (y + 4.0, y + height / 2.0, y + height - 4.0);
    writeln!(
        body,
        r#"<path d="M{low:.1} {top}V{end}M{low:.1} {middle}H{high:.1}M{high:.1} {top}V{end}"/>"#
    )?;
    let Time { median, low, high, .. } = time;
    let digits = usize::from(*median < 100.0);
    let numbers = format!("{median:.digits$} ns ({low:.digits$} to {high:.digits$})");
    text(body, "", (BAR + time.high * scale + 10.0, y + 14.0), &numbers)
}

const STYLE: &str = "<style>\
text{font:13px sans-serif;fill:#1f2328}.title{font-weight:bold;font-size:16px}.case{font-weight:bold}\
.page{fill:#fff}.ours{fill:#1f77c9}.peer{fill:#b6bec8}path{stroke:#1f2328;stroke-width:1.5;fill:none}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.ours{fill:#388bfd}.peer{fill:#57606a}\
path{stroke:#e6edf3}}\
</style>";

fn text(to: &mut String, class: &str, (x, y): (f64, f64), words: &str) -> fmt::Result {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(to, r#"<text class="{class}" x="{x:.1}" y="{y}">{words}</text>"#)
}

/// Returns the name of a contender for a reader who does not know the benchmark.
fn label(name: &str) -> &str {
    match name {
        "bare" => "bare loop",
        "bare, written back" => "bare loop, written back",
        "bare, packed" => "bare loop, packed records",
        "bare, lines" => "bare loop, whole lines",
        "bare, packed, streaming" => "packed, streaming stores",
        "bare, lines, streaming" => "lines, streaming stores",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::PEERS;
    use super::{Time, parse, svg};

    const PRINTED: &str = "A CPU; Linux 6.18; DRAM\nappend a record: medians of 201 blocks\n\nappend 64 B\n  \
        cachemaint                   200.0 (190.0..210.0) ns\n  \
        libpmemlog                   400.0 (380.5..420.0) ns; cachemaint takes 0.500 (0.490..0.510) of it\n";

    #[test]
    fn printed_results_are_read_with_their_intervals() {
        let results = parse(PRINTED).unwrap();
        assert_eq!(results.machine, "A CPU; Linux 6.18; DRAM");
        let [case] = results.cases.as_slice() else { unreachable!("one case was printed") };
        let time = Time { name: "libpmemlog".into(), median: 400.0, low: 380.5, high: 420.0 };
        assert_eq!(case.times[1], time);
    }

    #[test]
    fn results_that_are_cut_off_or_absurd_are_refused() {
        assert!(parse("").is_err());
        assert!(parse(&PRINTED[..60]).is_err());
        assert!(parse(&PRINTED.replace("(190.0..", "(290.0..")).is_err());
    }

    /// Half the time is half the length: 360 pixels are 420 ns, the end of the longest interval.
    #[test]
    fn a_bar_is_as_long_as_its_time() {
        let svg = svg("Title", PRINTED).unwrap();
        assert!(svg.contains(r#"class="ours" x="230" y="124" width="171.4""#), "{svg}");
        assert!(svg.contains(r#"class="peer" x="230" y="148" width="342.9""#), "{svg}");
    }

    /// A change of the results changes the figure: draw it again by `cargo xtask plot`.
    #[test]
    fn the_figures_in_the_tree_show_the_printed_results() {
        for (name, title) in PEERS {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/figures");
            let read = |end| std::fs::read_to_string(format!("{folder}/{name}.{end}")).unwrap();
            assert_eq!(read("svg"), svg(title, &read("txt")).unwrap());
        }
    }
}
