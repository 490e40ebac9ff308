//! The standard streams of `cachemaint record`, and those of its program.

#[cfg(target_os = "linux")]
use super::skip::skip;
use super::{Place, full, redirected};
use crate::limited::limited;
use crate::printed::stderr;
use assert_cmd::cargo;
use rustix::process::Signal;
#[cfg(target_os = "linux")]
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

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

#[test]
fn a_success_is_a_failure_if_standard_output_is_open_for_reading_only() {
    let place = Place::empty();
    let recording = process(&place, &["--", "echo", "one"]);
    let error = stderr(&redirected::run(&recording, "1</dev/null").code(1));
    let expected =
        "lines are recorded, but not passed on: standard output cannot be written: it is ";
    assert!(error.contains(expected), "{error}");
    assert_eq!(place.texts(), [(1, "one".to_owned())]);
}

/// As a program that starts others leaves it: many open `/dev/null` for both directions, as `sudo` and Python.
#[test]
fn output_to_a_closed_or_null_standard_output_is_only_recorded() {
    let place = Place::empty();
    for redirection in [">&-", "1<>/dev/null", ">/dev/null"] {
        let recording = process(&place, &["--", "echo", "one"]);
        let error = stderr(&redirected::run(&recording, redirection).success());
        assert!(!error.contains("passed on"), "{redirection}: {error}");
    }
    assert_eq!(place.texts(), vec![(1, "one".to_owned()); 3]);
}

#[test]
fn all_events_are_dumped_into_a_full_pipe_that_does_not_block() {
    let place = Place::empty();
    place.run_with(&["record"], "event\n".repeat(8192)).success();
    let mut dump = Command::new(cargo::cargo_bin!("cachemaint"));
    dump.arg("dump").arg(&place.path);
    assert_eq!(full::output(dump).lines().count(), 8192);
}

/// As with `LimitFSIZE=` of a service.
#[test]
fn lines_are_recorded_though_the_output_exceeds_the_limit_of_a_file() {
    let place = Place::empty();
    place.run(&["record"]).success();
    let output = place.path.with_file_name("output");
    let recording = limited(&process(&place, &["--", "sh", "-c", "yes | head -n 8192"]));
    let recorded = redirected::run(&recording, &format!(">{}", output.display())).code(1);
    assert!(stderr(&recorded).contains("no longer passed on: File too large"), "{recorded}");
    assert_eq!(place.texts().len(), 8192);
}

#[test]
fn a_program_that_exceeds_the_limit_of_a_file_is_ended_by_the_signal() {
    let place = Place::empty();
    place.run(&["record"]).success();
    let output = place.path.with_file_name("output");
    let script = format!("exec head -c 20000 /dev/zero >{}", output.display());
    let mut recording = limited(&process(&place, &["--", "sh", "-c", &script]));
    let status = recording.stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(128 + Signal::XFSZ.as_raw()));
}

/// The command runs as a user without other processes, who may have one or two.
#[cfg(target_os = "linux")]
#[test]
#[expect(unsafe_code, reason = "a child limits its processes before it runs the command")]
fn a_program_is_not_run_if_a_thread_or_process_cannot_be_started() {
    use rustix::process::{Resource, Rlimit, geteuid, setrlimit};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;

    // Another run of this test beside it has another user.
    let unused = 54_399 + std::process::id() % 8192;
    let test = "a_program_is_not_run_if_a_thread_or_process_cannot_be_started";
    if !geteuid().is_root() || std::env::var_os("CACHEMAINT_EXPECT").is_some() {
        return skip(
            test,
            "only root can run a command as another user, and an emulator needs threads",
        );
    }
    let place = Place::empty();
    let directory = place.path.parent().unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
    let mut unlimited = process(&place, &["--", "true"]);
    if !unlimited.uid(unused).status().is_ok_and(|status| status.success()) {
        return skip(test, "another user cannot run the command here");
    }
    let rows = [(1, 1, "a thread cannot be started"), (2, 126, "echo cannot be started")];
    for (processes, code, expected) in rows {
        let mut command = process(&place, &["--", "echo", "one"]);
        let limit = Rlimit { current: Some(processes), maximum: Some(processes) };
        let limit = move || Ok(setrlimit(Resource::Nproc, limit)?);
        // SAFETY: it makes one system call alone, which may be made between `fork` and `exec`.
        unsafe { command.uid(unused).pre_exec(limit) };
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{processes}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(expected), "{processes}: {error}");
        assert_eq!(output.stdout, b"", "{processes}");
    }
}
