//! The table of libpmem2's scenarios names tests that exist, and gives a reason where it names none.

#![cfg(not(miri))]
#![expect(clippy::panic, reason = "a test fails by panicking")]

mod skip;

use skip::skip;
use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("libpmem2-scenarios.md");

/// Returns the directory of the sources, if they are on the machine that runs this.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn no_sources(test: &str) -> bool {
    let missing = !root().join(file!()).is_file();
    if missing {
        skip(test, "the sources are not on this machine");
    }
    missing
}

/// Returns the rows of a scenario: its name, its tests, the reason.
fn rows(table: &str) -> Vec<[&str; 3]> {
    let rows = table.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let rows = rows.map(|line| {
        let mut cells = line.trim_matches('|').splitn(3, '|').map(str::trim);
        core::array::from_fn(|_| cells.next().unwrap_or_else(|| panic!("three cells: {line}")))
    });
    rows.filter(|row: &[&str; 3]| row[0] != "scenarios of libpmem2").collect()
}

/// Returns true if a file of this package has a test of this name: a function below an attribute of
/// a test.
fn is_a_test(file: &str, name: &str) -> bool {
    let Ok(source) = fs::read_to_string(root().join(file)) else { return false };
    let Some(place) = source.find(&format!("fn {name}(")) else { return false };
    let above = source[..place].trim_end().lines().rev();
    above.take_while(|line| !line.trim().is_empty()).any(|line| line.trim() == "#[test]")
}

#[test]
fn each_scenario_has_tests_that_exist_or_a_reason() {
    if no_sources("each_scenario_has_tests_that_exist_or_a_reason") {
        return;
    }
    let rows = rows(TABLE);
    assert!(rows.len() > 40, "the table could not be read: {}", rows.len());
    for [scenario, tests, reason] in rows {
        let tests: Vec<_> = tests.split('`').filter(|part| !part.trim().is_empty()).collect();
        for test in &tests {
            let (file, name) =
                test.split_once("::").unwrap_or_else(|| panic!("{scenario}: {test}"));
            assert!(is_a_test(file, name), "{scenario}: there is no test {test}");
        }
        assert!(
            !tests.is_empty() || reason.starts_with("none: "),
            "{scenario}: neither a test nor a reason"
        );
    }
}

/// Shows that the test above can fail.
#[test]
fn other_functions_are_not_taken_for_tests() {
    if no_sources("other_functions_are_not_taken_for_tests") {
        return;
    }
    assert!(is_a_test("tests/scenarios.rs", "other_functions_are_not_taken_for_tests"));
    assert!(!is_a_test("tests/scenarios.rs", "is_a_test"));
    assert!(!is_a_test("tests/scenarios.rs", "no_such_function"));
    assert!(!is_a_test("tests/no_such_file.rs", "is_a_test"));
}
