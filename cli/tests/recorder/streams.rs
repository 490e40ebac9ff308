//! The standard streams of `cachemaint record`, and those of its program.

use super::Place;
use assert_cmd::cargo;
#[cfg(target_os = "linux")]
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

fn process(place: &Place, arguments: &[&str]) -> Command {
    let mut process = Command::new(cargo::cargo_bin!("cachemaint"));
    process.arg("record").arg(&place.path).args(arguments);
    process
}

/// A person who does not see the prompt does not type the answer.
#[test]
fn a_prompt_is_passed_on_before_its_line_ends() {
    let place = Place::empty();
    let script = "printf 'name? '; read name; echo \"$name\"";
    let mut command = process(&place, &["--", "sh", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut recording = command.spawn().unwrap();
    let mut out = recording.stdout.take().unwrap();
    let mut prompt = [0; "name? ".len()];
    out.read_exact(&mut prompt).unwrap();
    assert_eq!(prompt, *b"name? ");
    recording.stdin.take().unwrap().write_all(b"Ada\n").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "Ada\n");
    assert!(recording.wait().unwrap().success());
    assert_eq!(place.texts(), [(1, "name? Ada".to_owned())]);
}

/// A full disk under the passed-on output is not one under the recording.
#[cfg(target_os = "linux")]
#[test]
fn a_program_is_recorded_though_its_output_cannot_be_passed_on() {
    let place = Place::empty();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let status = process(&place, &["--", "sh", "-c", "echo one; echo two; exit 42"])
        .stdout(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(42));
    let dumped = place.run(&["dump"]).success();
    let dumped = String::from_utf8_lossy(&dumped.get_output().stdout).into_owned();
    assert!(dumped.contains("one") && dumped.contains("two"), "{dumped}");
}

/// A program that reads the output after a success must not take a part of it for all.
#[cfg(target_os = "linux")]
#[test]
fn a_success_is_a_failure_if_the_output_cannot_be_passed_on() {
    for script in ["echo one", "echo one >&2"] {
        let place = Place::empty();
        let full = || fs::File::options().write(true).open("/dev/full").unwrap();
        let mut recording = process(&place, &["--", "sh", "-c", script]);
        let status = recording.stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{script}");
        assert_eq!(place.texts().len(), 1, "{script}");
    }
}
