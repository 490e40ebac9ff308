//! The figure of the guide that shows the table of `cachemaint_inspect::survival`, as a grid of colours. `cargo xtask bless` draws it again.

use core::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use cachemaint::medium::Backing;
use cachemaint_inspect::survival::{Condition, Event, Stage, Survival, survives};

const NAME: u32 = 150;
const CELL: u32 = 184;
const ROW: u32 = 30;
const HEAD: u32 = 96;
const GAP: u32 = 3;
/// The distance between two events.
const EVENT: u32 = 10;
const STAGES: [Stage; 2] = [Stage::Stored, Stage::Persisted];

#[test]
fn the_figure_shows_the_table_of_the_library() -> Result<(), Box<dyn core::error::Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/figures/survival.svg");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, svg()?)?;
    }
    assert_eq!(fs::read_to_string(&file)?, svg()?, "draw it again: `cargo xtask bless`");
    Ok(())
}

#[test]
fn the_guide_lists_the_code_of_each_condition() -> Result<(), Box<dyn core::error::Error>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = fs::read_to_string(page)?;
    let codes = Condition::ALL.iter().map(|condition| condition.code);
    let missing: Vec<_> = codes.filter(|code| !page.contains(&format!("| `{code}` | "))).collect();
    assert!(missing.is_empty(), "docs/operating.md has no row for {missing:?}");
    Ok(())
}

/// Returns the figure as SVG, in the colours of a light or a dark page.
fn svg() -> Result<String, fmt::Error> {
    let mut notes: Vec<Condition> = Vec::new();
    let mut grid = String::new();
    for (row, backing) in Backing::ALL.iter().copied().enumerate() {
        let y = HEAD + u32::try_from(row).unwrap_or_default() * ROW;
        text(&mut grid, 8, y + 20, "start", backing.into())?;
        let mut x = NAME;
        for &event in Event::ALL {
            for stage in STAGES {
                let (class, words) = cell(survives(backing, stage, event).answer, &mut notes);
                let (width, height) = (CELL / 2 - GAP, ROW - GAP);
                writeln!(
                    grid,
                    r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="3"/>"#
                )?;
                writeln!(
                    grid,
                    r#"<text class="in" x="{}" y="{}" text-anchor="middle">{words}</text>"#,
                    x + width / 2,
                    y + 19
                )?;
                x += CELL / 2;
            }
            x += EVENT;
        }
    }
    let rows = u32::try_from(Backing::ALL.len()).unwrap_or_default();
    let below = HEAD + rows * ROW + 24;
    for (number, note) in notes.iter().enumerate() {
        let y = below + u32::try_from(number).unwrap_or_default() * 18;
        text(&mut grid, 8, y, "start", &format!("[{}] if {note}", number + 1))?;
    }
    let height = below + u32::try_from(notes.len()).unwrap_or_default() * 18;
    let width = NAME + 4 * (CELL + EVENT);
    Ok(format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         {STYLE}\n<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n{}{grid}</svg>\n",
        head()?
    ))
}

const STYLE: &str = "<style>\
text{font:13px sans-serif;fill:#1f2328}.title{font-weight:bold;font-size:15px}.small{font-size:11px}.in{fill:#1f2328}\
.page{fill:#fff}.yes{fill:#9be3a8}.if{fill:#ffe08a}.open{fill:#d8dee4}.no{fill:#ffb3ab}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.in{fill:#0d1117}.page{fill:#0d1117}\
.yes{fill:#56c271}.if{fill:#d9b23d}.open{fill:#8b949e}.no{fill:#f0776c}}\
</style>";

fn head() -> Result<String, fmt::Error> {
    let mut head = String::new();
    let title = "Bytes that survive an event: stored only, and persisted";
    writeln!(head, r#"<text class="title" x="8" y="24">{title}</text>"#)?;
    let mut x = NAME;
    for &event in Event::ALL {
        text(&mut head, x + CELL / 2, 62, "middle", event.into())?;
        for stage in STAGES {
            let middle = x + CELL / 4;
            writeln!(
                head,
                r#"<text class="small" x="{middle}" y="84" text-anchor="middle">{stage}</text>"#
            )?;
            x += CELL / 2;
        }
        x += EVENT;
    }
    Ok(head)
}

fn text(to: &mut String, x: u32, y: u32, anchor: &str, words: &str) -> fmt::Result {
    writeln!(to, r#"<text x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>"#)
}

/// Returns the class and the words of a cell. A condition becomes a note with a number.
fn cell(survival: Survival, notes: &mut Vec<Condition>) -> (&'static str, String) {
    match survival {
        Survival::Yes => ("yes", "yes".to_owned()),
        Survival::No => ("no", "no".to_owned()),
        Survival::If(condition) => {
            let number = notes.iter().position(|note| *note == condition).unwrap_or_else(|| {
                notes.push(condition);
                notes.len() - 1
            });
            ("if", format!("if [{}]", number + 1))
        }
        _ => ("open", "not promised".to_owned()),
    }
}
