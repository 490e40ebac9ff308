//! Records from standard input, if this is closed or cannot be used.

use crate::printed::stderr;
use crate::{Place, full, redirected, stdout};
use assert_cmd::cargo;
use std::process::Command;

/// `cachemaint journal COMMAND FILE …`
pub(crate) fn process(place: &Place, arguments: &[&str]) -> Command {
    let mut process = Command::new(cargo::cargo_bin!("cachemaint"));
    process.arg("journal").arg(arguments[0]).arg(&place.path).args(&arguments[1..]);
    process
}

#[test]
fn a_missing_standard_input_is_not_a_record() {
    let place = Place::with("one\n");
    for redirection in redirected::NO_INPUT {
        for command in [&["append", "--whole"][..], &["append"]] {
            let error = stderr(&redirected::run(&process(&place, command), redirection).code(1));
            assert!(
                error.contains("standard input cannot be read: it is "),
                "{redirection}: {error}"
            );
        }
        let new = Place::empty();
        redirected::run(&process(&new, &["append", "--create", "1M"]), redirection).code(1);
        assert!(!new.path.exists(), "{redirection}");
    }
    redirected::run(&process(&place, &["append", "--record", "two"]), "<&-").success();
    redirected::run(&process(&place, &["append", "--whole"]), "</dev/null").success();
    assert_eq!(stdout(&place.run(&["read"]).success()), "one\ntwo\n\n");
}

#[test]
fn all_records_are_read_into_a_full_pipe_that_does_not_block() {
    let place = Place::empty();
    let records = "record\n".repeat(16_384);
    place.run_with(&["append", "--create", "4M"], records.as_str()).success();
    for command in ["read", "salvage"] {
        assert!(full::output(process(&place, &[command])) == records, "{command}");
    }
}
