//! The standard streams of `cachemaint record`.

use super::{Place, redirected};
use crate::printed::stderr;
use assert_cmd::cargo;
use std::process::Command;

fn process(place: &Place, arguments: &[&str]) -> Command {
    let mut process = Command::new(cargo::cargo_bin!("cachemaint"));
    process.arg("record").arg(&place.path).args(arguments);
    process
}

#[test]
fn a_missing_standard_input_fails_a_recording_without_a_program() {
    let place = Place::empty();
    for redirection in redirected::NO_INPUT {
        let error = stderr(&redirected::run(&process(&place, &[]), redirection).code(1));
        assert!(error.contains("standard input cannot be read: it is "), "{redirection}: {error}");
        assert!(!place.path.exists(), "{redirection}");
    }
    redirected::run(&process(&place, &["--", "echo", "one"]), "<&-").success();
    redirected::run(&process(&place, &[]), "</dev/null").success();
    assert_eq!(place.texts(), [(1, "one".to_owned())]);
}
