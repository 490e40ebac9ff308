//! Panels of lines over sizes, one below the other, with a common legend, as SVG.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

const WIDTH: u32 = 800;
const TITLE: u32 = 76;
const PANEL: u32 = 300;
const FONT: &str = "sans-serif";
/// The sizes of titles, of the names of panels, and of all other text, which plotters draws at four fifths of them.
const LARGE: u32 = 22;
const MEDIUM: u32 = 19;
const SMALL: u32 = 16;
/// The colours on a dark page: of the page, the text and the grid, and lighter ones for two lines. A rule for an
/// attribute takes precedence over the attribute.
const DARK: &str = r##"<style>@media(prefers-color-scheme:dark){
[fill="#FFFFFF"]{fill:#0d1117}[fill="#000000"]{fill:#e6edf3}[stroke="#000000"]{stroke:#e6edf3}
[stroke="#E1E1E1"]{stroke:#30363d}[stroke="#F5F5F5"]{stroke:#1b2129}
[fill="#0072B2"]{fill:#8c90ff}[stroke="#0072B2"]{stroke:#8c90ff}
[fill="#D55E00"]{fill:#f0883e}[stroke="#D55E00"]{stroke:#f0883e}
}</style>
"##;

/// A figure of several panels that share their sizes.
pub(super) struct Figure {
    pub(super) title: String,
    /// The CPU, the kernel and the medium of the measurement.
    pub(super) subtitle: String,
    pub(super) panels: Vec<Panel>,
}

pub(super) struct Panel {
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) scale: Scale,
    pub(super) lines: Vec<Line>,
}

/// The scale of the values; that of sizes is always logarithmic.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// A scale with a label at each power of this.
    Logarithmic {
        base: f64,
    },
    FromZero,
}

/// The values that are drawn in one colour, the same in every panel.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) points: Vec<Point>,
}

#[derive(Clone, Copy)]
pub(super) struct Look {
    /// A place in [`PALETTE`].
    pub(super) colour: usize,
    /// True for a thick line: the subject of the figure.
    pub(super) ours: bool,
    /// True for a dashed line with open circles: a value that is not durable.
    pub(super) dashed: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) bytes: f64,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The colours of M. Okabe, K. Ito, *Color Universal Design* (2008), which everyone can distinguish; without yellow,
/// which is faint on white.
pub(super) const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 0, 0),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];
const GRID: RGBColor = RGBColor(225, 225, 225);
const MINOR_GRID: RGBColor = RGBColor(245, 245, 245);

impl Figure {
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        self.draw(path).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
        let drawn =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        fs::write(path, on_both_pages(&drawn))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn draw(&self, path: &Path) -> Result<(), Box<dyn core::error::Error + '_>> {
        let panels = u32::try_from(self.panels.len())?;
        let legend = Legend::of(&self.panels);
        let area = SVGBackend::new(path, (WIDTH, TITLE + legend.height() + panels * PANEL));
        let area = area.into_drawing_area();
        area.fill(&WHITE)?;
        let (head, body) = area.split_vertically(TITLE + legend.height());
        head.draw(&Text::new(self.title.as_str(), (16, 14), (FONT, LARGE)))?;
        head.draw(&Text::new(self.subtitle.as_str(), (16, 40), (FONT, SMALL)))?;
        legend.draw(&head)?;
        for (panel, area) in self.panels.iter().zip(body.split_evenly((self.panels.len(), 1))) {
            panel.draw(&area)?;
        }
        area.present()?;
        Ok(())
    }
}

/// Returns a drawing for a light page with the colours of a dark one.
fn on_both_pages(drawn: &str) -> String {
    match drawn.split_once('\n') {
        Some((root, rest)) => format!("{root}\n{DARK}{rest}"),
        None => drawn.to_owned(),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A chart with sizes below and values beside.
type Chart<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, Y>>;
type Outcome = Result<(), Box<dyn core::error::Error>>;

impl Panel {
    fn draw(&self, area: &Area<'_>) -> Outcome {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let (first, last) = spread(all().map(|point| (point.bytes, point.bytes)), 1.4);
        let (low, high) = spread(all().map(|point| (point.low, point.high)), 1.15);
        let sizes = (first..last).log_scale().base(4.0);
        let mut chart = ChartBuilder::on(area);
        chart
            .caption(&self.title, (FONT, MEDIUM))
            .margin(8)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(88);
        match self.scale {
            Scale::Logarithmic { base } => {
                let values = (low..high).log_scale().base(base);
                self.fill(chart.build_cartesian_2d(sizes, values)?)
            }
            Scale::FromZero => self.fill(chart.build_cartesian_2d(sizes, 0.0..high)?),
        }
    }

    fn fill<Y>(&self, mut chart: Chart<'_, '_, Y>) -> Outcome
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(MINOR_GRID)
            .label_style((FONT, SMALL))
            .axis_desc_style((FONT, SMALL))
            .x_desc("size, bytes")
            .y_desc(self.unit)
            .x_labels(14)
            .y_labels(5)
            .x_label_formatter(&|bytes| size(*bytes))
            .y_label_formatter(&|value| number(*value))
            .draw()?;
        for line in &self.lines {
            let style = line.look.style();
            let points = || line.points.iter().map(|point| (point.bytes, point.value));
            if line.look.dashed {
                chart.draw_series(DashedLineSeries::new(points(), 6, 4, style))?;
            } else {
                chart.draw_series(LineSeries::new(points(), style))?;
            }
            chart.draw_series(line.points.iter().map(|point| {
                let ends = vec![(point.bytes, point.low), (point.bytes, point.high)];
                PathElement::new(ends, style)
            }))?;
            chart.draw_series(points().map(|point| Circle::new(point, 3, line.look.dot())))?;
        }
        Ok(())
    }
}

impl Look {
    fn style(self) -> ShapeStyle {
        let colour = PALETTE.get(self.colour).copied().unwrap_or(BLACK);
        colour.stroke_width(if self.ours { 3 } else { 1 })
    }

    fn dot(self) -> ShapeStyle {
        if self.dashed { self.style() } else { self.style().filled() }
    }
}

/// The names of all lines, in rows.
struct Legend<'a>(Vec<&'a Line>);

const COLUMNS: usize = 2;
const ROW: u32 = 20;

impl<'a> Legend<'a> {
    fn of(panels: &'a [Panel]) -> Self {
        let mut lines: Vec<&Line> = Vec::new();
        for line in panels.iter().flat_map(|panel| &panel.lines) {
            if !lines.iter().any(|known| known.name == line.name) {
                lines.push(line);
            }
        }
        Self(lines)
    }

    fn height(&self) -> u32 {
        u32::try_from(self.0.len().div_ceil(COLUMNS)).unwrap_or(0) * ROW
    }

    fn draw(&self, area: &Area<'_>) -> Outcome {
        for (place, line) in self.0.iter().enumerate() {
            let x = 16 + i32::try_from(place % COLUMNS)? * 390;
            let y = i32::try_from(TITLE)? + i32::try_from(place / COLUMNS)? * i32::try_from(ROW)?;
            let style = line.look.style();
            let dashes: &[(i32, i32)] =
                if line.look.dashed { &[(0, 9), (15, 24)] } else { &[(0, 24)] };
            for (from, to) in dashes {
                area.draw(&PathElement::new(vec![(x + from, y), (x + to, y)], style))?;
            }
            area.draw(&Circle::new((x + 12, y), 3, line.look.dot()))?;
            area.draw(&Text::new(line.name.as_str(), (x + 32, y - 8), (FONT, SMALL)))?;
        }
        Ok(())
    }
}

/// Returns the range from the least to the greatest value, widened by this factor on both sides.
fn spread(ends: impl Iterator<Item = (f64, f64)>, margin: f64) -> (f64, f64) {
    let (low, high) = ends.fold((f64::INFINITY, 0.0), |(low, high), (least, greatest)| {
        (f64::min(low, least), f64::max(high, greatest))
    });
    (low / margin, high * margin)
}

/// Returns the size in the unit that leaves no fraction.
fn size(bytes: f64) -> String {
    match bytes {
        ..1024.0 => format!("{bytes:.0}"),
        1024.0..1_048_576.0 => format!("{:.0} Ki", bytes / 1024.0),
        1_048_576.0..1_073_741_824.0 => format!("{:.0} Mi", bytes / 1_048_576.0),
        _ => format!("{:.0} Gi", bytes / 1_073_741_824.0),
    }
}

fn number(value: f64) -> String {
    if value >= 1e6 {
        format!("{:.0} M", value / 1e6)
    } else if value >= 1e3 {
        format!("{:.0} k", value / 1e3)
    } else if value < 10.0 && value.fract() != 0.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
