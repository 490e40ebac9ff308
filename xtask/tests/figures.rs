//! The guide's table of `cachemaint_inspect::survival`. `cargo xtask bless` writes it again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cachemaint::medium::Backing;
use cachemaint_inspect::survival::{Condition, Event, Stage, Survival, survives};

const BEGIN: &str = "<!-- survival -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_guide_shows_the_table_of_the_library() -> Result<(), Box<dyn core::error::Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/what-can-be-lost.md");
    let page = fs::read_to_string(&file)?;
    let expected = with_table(&page).ok_or("the markers are missing")?;
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, &expected)?;
    } else {
        assert_eq!(page, expected, "write it again: `cargo xtask bless`");
    }
    Ok(())
}

#[test]
fn the_guide_lists_the_code_of_each_condition() -> Result<(), Box<dyn core::error::Error>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guarantees.md");
    let page = fs::read_to_string(page)?;
    let section = page.split_once("\n## Conditions\n").ok_or("no section has the conditions")?.1;
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let codes = Condition::ALL.iter().map(|condition| condition.code);
    assert_eq!(rows.collect::<BTreeSet<_>>(), codes.collect::<BTreeSet<_>>(), "docs/guarantees.md");
    Ok(())
}

/// Returns the page with the table of the library between its markers.
fn with_table(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let mut events = Vec::from(["persisted on".to_owned()]);
    events.extend(Event::ALL.iter().map(ToString::to_string));
    let line = vec!["---".to_owned(); events.len()];
    let rows = Backing::ALL.iter().map(|&backing| {
        let answers =
            Event::ALL.iter().map(|&event| survives(backing, Stage::Persisted, event).answer);
        [backing.to_string()].into_iter().chain(answers.map(cell)).collect()
    });
    let table: String =
        [events, line].into_iter().chain(rows).map(|cells: Vec<_>| row(&cells)).collect();
    Some([before, BEGIN, &table, END, after].concat())
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn cell(survival: Survival) -> String {
    match survival {
        Survival::Yes => "yes".to_owned(),
        Survival::No => "no".to_owned(),
        Survival::If(condition) => format!("if `{}`", condition.code),
        _ => "not promised".to_owned(),
    }
}
