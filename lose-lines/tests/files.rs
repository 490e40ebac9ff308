//! `lose-lines files` with programs of the shell: each loss that it must find, and what it must not report.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

/// Runs `lose-lines files` on a script, with another one that checks. Returns the exit code and the output.
fn files(options: &[&str], program: &str, check: &str) -> (i32, String) {
    let check = format!("/bin/sh -c '{}'", check.replace('\'', "\""));
    let all = [&["--seed", "3", "--check", &check], options, &["--", "/bin/sh", "-ec", program]];
    run(&all.concat())
}

fn run(words: &[&str]) -> (i32, String) {
    let tool = env!("CARGO_BIN_EXE_lose-lines");
    let Output { status, stdout, stderr } =
        Command::new(tool).arg("files").args(words).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

/// Writes numbers by renaming; of the syncs of file and directory only these.
fn replacing(syncs_file: bool, syncs_directory: bool) -> String {
    let (file, directory) =
        (if syncs_file { "sync new" } else { ":" }, if syncs_directory { "sync ." } else { ":" });
    format!("for i in 1 2 3 4; do echo $i > new; {file}; mv new state; {directory}; echo $i; done")
}

/// The file has a whole number, and none older than the last printed one.
const IS_NEW: &str = "last=$(tail -n 1 $PRINTED); test -z \"$last\" && exit 0; \
                      test \"$(cat state)\" -ge \"$last\" || { echo lost $last; exit 1; }";

#[test]
fn a_right_replacement_holds_by_every_model() {
    for model in ["ext4", "ext4-ordered", "xfs", "btrfs", "posix", "posix+512+garbage"] {
        let (code, text) = files(&["--model", model], &replacing(true, true), IS_NEW);
        assert_eq!(code, 0, "{text}");
        has(&text, &["0 of ", "synced operations never lost"]);
    }
}

#[test]
fn a_missing_sync_of_the_directory_is_named() {
    let (code, text) = files(&["--model", "ext4"], &replacing(true, false), IS_NEW);
    assert_eq!(code, 1, "{text}");
    has(
        &text,
        &["the rename of `new` to `state` (", "was not followed by an fsync of its directory"],
    );
}

#[test]
fn a_missing_sync_of_the_file_is_named() {
    let (code, text) = files(&["--model", "xfs"], &replacing(false, true), IS_NEW);
    assert_eq!(code, 1, "{text}");
    has(&text, &["the write of 2 bytes at 0 of `new`", "was not followed by an fsync of the file"]);
}

#[test]
fn a_wrong_order_of_two_files_is_named_without_any_acknowledgement() {
    let program = "echo 12345 > data; echo data > index; sync index";
    let check = "test ! -s index || grep -q 12345 data";
    let (code, text) = files(&["--model", "xfs"], program, check);
    assert_eq!(code, 1, "{text}");
    has(
        &text,
        &["the write of 6 bytes at 0 of `data`", "but the write of 5 bytes at 0 of `index` "],
    );
    let right = "echo 12345 > data; sync data; echo data > index; sync index";
    let (code, text) = files(&["--model", "xfs"], right, check);
    assert_eq!(code, 4, "nothing was printed: {text}");
    has(&text, &["0 of ", "prove nothing"]);
}

#[test]
fn posix_only_warns_of_a_name_that_was_never_synced() {
    let program = "echo 1 > state; sync state; echo 1";
    let (code, text) = files(&["--states", "200"], program, IS_NEW);
    assert_eq!(code, 0, "{text}");
    has(&text, &["the creation of `state` (", "saved by the rules of ", "lost by those of POSIX"]);
    let (code, _) = files(&["--model", "posix"], program, IS_NEW);
    assert_eq!(code, 1);
}

#[test]
fn a_loss_is_repeated_by_the_printed_command() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let log = log.to_str().unwrap();
    let options = ["--model", "ext4", "--keep", log, "--json"];
    let (code, text) = files(&options, &replacing(true, false), IS_NEW);
    assert_eq!(code, 1, "{text}");
    let documents: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = documents.iter().find(|document| document["event"] == "failure").unwrap();
    let repeat = failed["repeat"].as_str().unwrap();
    let tool = env!("CARGO_BIN_EXE_lose-lines");
    let line = repeat.replacen("lose-lines", tool, 1);
    let again = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{line}\n{again:?}");
    has(&String::from_utf8(again.stdout).unwrap(), &["1 of 1 distinct states failed"]);
}

#[test]
fn what_cannot_be_tested_is_a_mistake_before_anything_is_recorded() {
    for words in [
        &["--limit", "18446744073709551615", "--", "/bin/true"][..],
        &["--limit", "0", "--", "/bin/true"],
        &["--check", "no-such-program", "--", "/bin/true"],
        &["--", "no-such-program"],
        &["--fail", "fsync", "--keep", "log", "--", "/bin/true"],
    ] {
        let (code, text) = run(words);
        assert_eq!(code, 2, "{words:?}: {text}");
        assert!(!text.contains("recorded"), "{text}");
    }
    let program = replacing(true, true);
    assert_eq!(files(&["--limit", "4294967295"], &program, IS_NEW).0, 0);
}

#[test]
fn a_state_of_another_recording_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let log = log.to_str().unwrap();
    assert_eq!(files(&["--keep", log], &replacing(true, true), IS_NEW).0, 0);
    for (state, expected) in [("9999:lose:1", 2), ("9:lose:9999", 2), ("9:3:none", 0)] {
        let (code, text) =
            run(&["--log", log, "--model", "ext4", "--state", state, "--check", "/bin/true"]);
        assert_eq!(code, expected, "{state}: {text}");
    }
}

#[test]
fn a_loss_is_one_without_its_report() {
    let options = ["--model", "ext4", "--junit", "/nonexistent/report"];
    let (code, text) = files(&options, &replacing(true, false), IS_NEW);
    assert_eq!(code, 1, "{text}");
    has(&text, &["cannot write /nonexistent/report"]);
    assert_eq!(files(&options, &replacing(true, true), IS_NEW).0, 3);
}

/// `lose-lines ... | head -n 1`.
#[test]
fn a_loss_is_one_if_nobody_reads_it() {
    let (reader, writer) = io::pipe().unwrap();
    let check = format!("/bin/sh -c '{}'", IS_NEW.replace('\'', "\""));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lose-lines"));
    command.args(["files", "--seed", "3", "--model", "ext4", "--check", &check]);
    command.args(["--", "/bin/sh", "-ec", &replacing(true, false)]).stdout(writer);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let mut first = String::new();
    BufReader::new(reader).read_line(&mut first).unwrap();
    assert!(first.contains("recorded"), "{first}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_high_exit_code_is_no_signal() {
    let [exit, signal] = ["exit 200", "kill -SEGV $$"].map(|program| files(&[], program, "true"));
    assert!(exit.0 == 3 && signal.0 == 3, "{exit:?} {signal:?}");
    has(&exit.1, &["ended with exit code 200"]);
    has(&signal.1, &["was ended by signal 11"]);
}

#[test]
fn a_program_with_a_long_name_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("a".repeat(250));
    fs::write(&program, format!("#!/bin/sh -e\n{}\n", replacing(true, false))).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let check = format!("/bin/sh -c '{}'", IS_NEW.replace('\'', "\""));
    let (code, text) = run(&[
        "--seed",
        "3",
        "--model",
        "ext4",
        "--check",
        &check,
        "--",
        program.to_str().unwrap(),
    ]);
    assert_eq!(code, 1, "{text}");
    let repeat =
        text.lines().find_map(|line| line.trim().strip_prefix("to repeat it: lose-lines "));
    let line = format!("{} {}", env!("CARGO_BIN_EXE_lose-lines"), repeat.unwrap());
    let again = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{line}\n{again:?}");
}

#[test]
fn a_recording_is_written_to_a_pipe_and_does_not_replace_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    let (code, text) = files(&["--keep", pipe.to_str().unwrap()], &replacing(true, true), IS_NEW);
    assert_eq!(code, 0, "{text}");
    assert!(!fs::metadata(&pipe).unwrap().is_file());
    assert!(!reader.join().unwrap().is_empty());
}

#[test]
fn a_failed_sync_that_is_ignored_loses_what_the_kernel_dropped() {
    // The lesson of PostgreSQL in 2018: a second fsync succeeds, although the pages are gone.
    let program =
        "for i in 1 2 3; do echo $i > state; sync state || sync state; sync .; echo $i; done";
    let (code, text) = files(&["--fail", "fsync"], program, IS_NEW);
    assert_eq!(code, 1, "{text}");
    has(&text, &["EIO from fsync of state", "the check FAILED"]);
    let stops = "for i in 1 2 3; do echo $i > new; sync new; mv new state; sync .; echo $i; done";
    let (code, text) = files(&["--fail", "fsync"], stops, IS_NEW);
    assert_eq!(code, 0, "{text}");
    has(&text, &["6 failed once"]);
    let (code, text) = files(&["--fail", "enospc", "--fail-at", "2"], stops, IS_NEW);
    assert_eq!(code, 0, "{text}");
    has(&text, &["1 failed once"]);
}

#[test]
fn the_check_is_cut_too() {
    // Recovery moves what it finds, and forgets that it was interrupted.
    let program = "echo 1 > new; sync new; sync .; echo 1";
    let check = "test -s state && exit 0; test -e new || test ! -s $PRINTED || exit 1; \
                 test -e new || exit 0; cat new > state; rm new; sync .";
    let options = ["--model", "xfs", "--states", "100"];
    assert_eq!(files(&options, program, check).0, 0);
    let (code, text) = files(&[&options[..], &["--recovery-cuts", "20"]].concat(), program, check);
    assert_eq!(code, 1, "{text}");
    has(&text, &["the power was cut again during the check"]);
}

#[test]
fn every_way_to_change_files_is_recorded() {
    // The recorder compares its log with the directory; a difference is a note.
    let program = "mkdir -p d/e; echo 1 > d/e/f; ln d/e/f hard; ln -s d/e/f soft; cp -a d copy; mv d moved; \
                   mv moved/e up; echo 2 >> up/f; truncate -s 9000 big; fallocate -o 0 -l 5000 big || :; \
                   fallocate -p -o 0 -l 4096 big || :; dd if=up/f of=dd bs=1 conv=fsync 2>/dev/null; rm hard; \
                   (echo 3 > child; sync child) & (echo 4 > other) & wait; rm -r copy; echo done";
    let (code, text) = files(&["--model", "ext4", "--states", "100"], program, "test -d .");
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("note:"), "{text}");
}

#[test]
fn what_outlives_the_program_is_ended_and_said() {
    let (code, text) =
        files(&["--model", "ext4"], "echo 1 > f; sync f; echo 1; sleep 1000 &", "test -d .");
    assert_eq!(code, 0, "{text}");
    has(&text, &["outlived the program and was ended"]);
}

#[test]
fn mistakes_are_told_apart_from_losses() {
    assert_eq!(run(&["--model", "ntfs", "--", "/bin/true"]).0, 2);
    assert_eq!(run(&["--check", "/nowhere/check", "--", "/bin/true"]).0, 2);
    assert_eq!(run(&["--dir", "/nowhere", "--", "/bin/true"]).0, 3);
    // A program that prints nothing proves nothing.
    assert_eq!(files(&["--model", "ext4"], "echo 1 > f", "test -d .").0, 4);
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.xml");
    let report = report.to_str().unwrap();
    let (code, _) = files(&["--model", "ext4", "--junit", report], &replacing(true, false), IS_NEW);
    assert_eq!(code, 1);
    has(&fs::read_to_string(report).unwrap(), &["<testsuite", "<failure>", "`state`"]);
}

#[test]
fn a_program_without_a_task_is_recorded_and_checks_itself() {
    let program = "if test -n \"$PRINTED\"; then test -e f || test ! -s $PRINTED; \
                   else echo 1 > f; sync f; sync .; echo 1; fi";
    let tool = env!("CARGO_BIN_EXE_lose-lines");
    let ran = Command::new(tool).args(["--", "/bin/sh", "-c", program]).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    has(
        &String::from_utf8(ran.stdout).unwrap(),
        &["recorded: the program succeeded", "posix: 0 of"],
    );
}

/// Appends with `RWF_APPEND`, copies to a file of `O_DSYNC`, and syncs a mapping whose pages have two permissions.
const RARE_CALLS: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
int main(void) {
    struct iovec part = {"x", 1};
    int append = open("append", O_RDWR | O_CREAT, 0644), source = open("source", O_RDWR | O_CREAT, 0644);
    int copy = open("copy", O_WRONLY | O_CREAT | O_DSYNC, 0644), map = open("map", O_RDWR | O_CREAT, 0644);
    if (write(source, "x", 1) != 1 || ftruncate(map, 8192) || fsync(source) || fsync(map) || fsync(append)
        || fsync(copy) || fsync(open(".", O_RDONLY)))
        return 1;
    for (int i = 0; i < 2; i++) {
        if (pwritev2(append, &part, 1, 0, RWF_APPEND) != 1 || fsync(append))
            return 2;
        puts("append");
        fflush(stdout);
    }
    loff_t from = 0;
    if (copy_file_range(source, &from, copy, NULL, 1, 0) != 1)
        return 3;
    puts("copy");
    fflush(stdout);
    char *bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (bytes == MAP_FAILED || mprotect(bytes, 4096, PROT_READ))
        return 4;
    bytes[4096] = 'x';
    if (msync(bytes, 8192, MS_SYNC))
        return 5;
    puts("map");
    fflush(stdout);
    return 0;
}
"#;

/// Returns a program in C.
fn compiled(folder: &Path, source: &str) -> String {
    let (from, to) = (folder.join("program.c"), folder.join("program"));
    fs::write(&from, source).unwrap();
    assert!(Command::new("cc").arg(&from).arg("-o").arg(&to).status().unwrap().success());
    to.to_str().unwrap().to_owned()
}

#[test]
fn rare_calls_are_recorded_with_their_place_and_their_sync() {
    let folder = tempfile::tempdir().unwrap();
    let program = compiled(folder.path(), RARE_CALLS);
    let check = "n=$(grep -c append $PRINTED); test $n = 0 || test $(wc -c < append) -ge $n || exit 1; \
                 if grep -q copy $PRINTED; then grep -q x copy || exit 2; fi; \
                 if grep -q map $PRINTED; then grep -q x map || exit 3; fi";
    for model in ["ext4", "posix"] {
        let (code, text) = files(&["--model", model, "--states", "300"], &program, check);
        assert_eq!(code, 0, "{text}");
        has(&text, &["recorded: the program succeeded"]);
        assert!(!text.contains("incomplete"), "{text}");
    }
}

/// Two files of one name: the second one is durable, and the sync of the first one fails.
const REPLACED: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    int old = open("x", O_RDWR | O_CREAT, 0644);
    if (write(old, "AAAA", 4) != 4 || unlink("x")) return 1;
    int new = open("x", O_RDWR | O_CREAT, 0644);
    if (write(new, "BBBB", 4) != 4 || fsync(new) || fsync(open(".", O_RDONLY))) return 1;
    puts("B");
    fflush(stdout);
    fsync(old);
    return 0;
}
"#;

#[test]
fn a_failed_sync_drops_the_pages_of_its_descriptor_only() {
    let folder = tempfile::tempdir().unwrap();
    let program = compiled(folder.path(), REPLACED);
    let options = ["--fail", "fsync", "--fail-at", "3"];
    let (code, text) = files(&options, &program, "test ! -s $PRINTED || test $(cat x) = BBBB");
    assert_eq!(code, 0, "{text}");
    has(&text, &["1 failed once"]);
}

const NOT_DUMPABLE: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(void) {
    if (prctl(PR_SET_DUMPABLE, 0) || fsync(open("f", O_RDWR | O_CREAT, 0644))) return 1;
    puts("f");
    return 0;
}
"#;

#[test]
fn a_program_that_hides_its_memory_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let program = compiled(folder.path(), NOT_DUMPABLE);
    let tool = folder.path().join("lose-lines");
    fs::copy(env!("CARGO_BIN_EXE_lose-lines"), &tool).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new(tool);
    command.current_dir(folder.path()).env("TMPDIR", folder.path());
    if rustix::process::geteuid().is_root() {
        // Root sees it all.
        command.uid(65534).gid(65534);
    }
    let ran = command.args(["--check", "/bin/true", "--", &program]).output().unwrap();
    let text = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(3), "{text}");
    has(&text, &["program cannot be recorded: it is not dumpable"]);
}

#[test]
fn more_bytes_than_memory_holds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tool = env!("CARGO_BIN_EXE_lose-lines");
    let mapping = compiled(folder.path(), STORES);
    // The stores of a mapping are four times what may be held: to collect them all first would need all of the memory.
    for program in ["dd if=/dev/zero of=f bs=1M count=400 2>/dev/null", &*mapping] {
        let line = format!(
            "ulimit -v 1000000; exec {tool} files --check /bin/true -- /bin/sh -c '{program}'"
        );
        let ran = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
        let text = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(3), "{text}");
        has(&text, &["the recording needs more than 244 MiB"]);
    }
}

/// Stores into each page of a mapping of 900 MiB.
const STORES: &str = r#"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    size_t len = 900l << 20;
    int file = open("f", O_RDWR | O_CREAT, 0644);
    if (ftruncate(file, len)) return 1;
    char *at = mmap(0, len, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) return 2;
    memset(at, 1, len);
    return msync(at, len, MS_SYNC) ? 3 : 0;
}
"#;

#[test]
fn what_the_recording_does_not_hold_is_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("in");
    fs::create_dir(&directory).unwrap();
    let options = ["--model", "ext4", "--states", "20", "--dir", directory.to_str().unwrap()];
    // On ext4, the new file may have the number of the removed one.
    let program = "echo long > f; rm f; echo 1 > ../out; mv ../out f; sync f; sync .; echo 1; \
                   truncate -s 2G sparse";
    let (code, text) = files(&options, program, IS_NEW.replace("state", "f").as_str());
    assert_eq!(code, 0, "{text}");
    has(&text, &["f came from outside"]);
    assert!(!text.contains("compared"), "{text}");
}

#[test]
fn an_error_of_the_host_is_no_loss_and_hides_none() {
    let program = "for i in 1 2 3; do echo $i; done";
    let (code, text) = files(&["--model", "ext4"], program, "kill -9 $$");
    assert_eq!(code, 3, "{text}");
    assert!(!text.contains("FAILED"), "{text}");
    // The check succeeds without losses, fails once, and then is gone.
    let folder = tempfile::tempdir().unwrap();
    let check = folder.path().join("check");
    fs::write(
        &check,
        "#!/bin/sh\ntest -e $0.once || { touch $0.once; exit 0; }\nrm $0; echo lost; exit 1\n",
    )
    .unwrap();
    fs::set_permissions(&check, Permissions::from_mode(0o755)).unwrap();
    let check = check.to_str().unwrap();
    let (code, text) =
        run(&["--model", "ext4", "--jobs", "1", "--check", check, "--", "/bin/sh", "-c", program]);
    assert_eq!(code, 1, "{text}");
    has(&text, &["FAILED", "| lost", "the fewest losses were not found"]);
}

#[test]
fn a_loss_is_found_whatever_the_names_are() {
    for (old, new) in [("a", "b"), ("1", "2"), ("A", "B"), ("a", "c")] {
        let program = format!("echo x > {old}; sync {old}; sync .; mv {old} {new}; echo ack");
        let check = format!("! grep -q ack $PRINTED || test -e {new}");
        for options in [&["--model", "ext4"][..], &["--model", "posix", "--systematic"]] {
            let (code, text) = files(options, &program, &check);
            assert_eq!(code, 1, "{text}");
            has(&text, &[&format!("the rename of `{old}` to `{new}` (")]);
        }
    }
}

#[test]
fn the_states_after_the_only_acknowledgement_are_shown_by_every_seed() {
    let program = "i=0; while test $i -lt 100; do echo $i > f; i=$((i+1)); done; echo ok";
    let check = "/bin/sh -c '! grep -q ok $PRINTED || test \"$(cat f)\" = 99'";
    for seed in ["1", "2", "3", "4"] {
        let options = ["--model", "ext4", "--states", "1", "--seed", seed, "--check", check, "--"];
        let (code, text) = run(&[&options[..], &["/bin/sh", "-c", program]].concat());
        assert_eq!(code, 1, "{text}");
    }
    // What was never written is no loss of a cut, but it was acknowledged.
    let (code, text) = files(&["--model", "ext4"], "echo x > f; echo ok", "! grep -q ok $PRINTED");
    assert_eq!(code, 1, "{text}");
    has(&text, &["nothing is lost here: what the program acknowledged was not written"]);
}

#[test]
fn a_run_that_did_not_end_well_has_no_verdict() {
    let right = "echo 1 > f; sync f; sync .; echo 1";
    for (end, words) in [
        ("exit 7", "ended with exit code 7"),
        ("kill -SEGV $$", "was ended by signal 11"),
        ("sleep 1000", "did not end in 2 s"),
    ] {
        let program = format!("{right}; {end}");
        let options = ["--model", "ext4", "--limit", "2"];
        let (code, text) = files(&options, &program, "test -d .");
        assert_eq!(code, 3, "{text}");
        has(&text, &[words, "--allow-failure"]);
        let (code, text) =
            files(&[&options[..], &["--allow-failure"]].concat(), &program, "test -d .");
        assert_eq!(code, 0, "{text}");
    }
    for check in ["false", "echo no; exit 1"] {
        let (code, text) = files(&["--model", "ext4"], right, check);
        assert_eq!(code, 3, "{text}");
        has(&text, &["although nothing was lost"]);
    }
}

#[test]
fn an_incomplete_recording_has_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let directory = place("in");
    fs::create_dir(&directory).unwrap();
    // A change by another program.
    let program = "echo 1; echo > ../ready; while test ! -e ../go; do :; done";
    let tool = Command::new(env!("CARGO_BIN_EXE_lose-lines"))
        .args(["--model", "ext4", "--check", "/bin/true", "--dir", directory.to_str().unwrap()])
        .args(["--allow-failure", "--", "/bin/sh", "-c", program])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !place("ready").exists() {
        thread::yield_now();
    }
    fs::write(directory.join("f"), "unseen").unwrap();
    fs::write(place("go"), "").unwrap();
    let Output { status, stderr, .. } = tool.wait_with_output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(3), "{text}");
    has(&text, &["the recording is incomplete, so there is no verdict: "]);
}

#[test]
fn each_kind_of_failure_is_explained_once_by_its_own_loss() {
    let check = "grep -q ok $PRINTED || exit 0; test -s a || { echo the data is lost; exit 1; }; \
                 test -s b || { echo the index is lost; exit 1; }";
    let (code, text) = files(&["--model", "ext4"], "echo 1 > a; echo 2 > b; echo ok", check);
    assert_eq!(code, 1, "{text}");
    has(&text, &["times: it ended with exit code 1: the data is lost"]);
    // Both explanations name their own file, and each kind has one.
    for (kind, file, other) in [("data", "`a`", "`b`"), ("index", "`b`", "`a`")] {
        let output = format!("   | the {kind} is lost\n");
        let mut parts = text.split(&output).skip(1);
        let reason = parts.next().unwrap().split("   to repeat it").next().unwrap();
        assert!(reason.contains(file) && !reason.contains(other), "{reason}\n{text}");
        assert!(!reason.contains("survived"), "{text}");
        assert_eq!(parts.next(), None, "{text}");
    }
}

#[test]
fn a_size_is_not_called_the_write_that_it_lost() {
    let check =
        "test -e log || exit 0; tr -d \"\\\\000\" < log | cmp -s - log || { echo zeros; exit 1; }";
    let program = "for i in 0 1 2 3; do echo line$i >> log; done; : > other; echo end";
    let (code, text) = files(&["--model", "ext4"], program, check);
    assert_eq!(code, 1, "{text}");
    has(&text, &["but the size after the write of "]);
    assert!(!text.contains("but the write"), "{text}");
}

#[test]
fn a_loss_that_needs_a_clock_that_stands_still_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    let prepare = || {
        drop(fs::remove_file(folder.path().join("b")));
        ["a", "g"].map(|name| fs::write(folder.path().join(name), "old").unwrap())
    };
    let check = "! grep -q ack $PRINTED || test -e b";
    let options = ["--model", "ext4", "--dir", directory];
    prepare();
    let program = "mv a b; printf new | dd of=g conv=notrunc,fsync 2>/dev/null; echo ack";
    let (code, text) = files(&options, program, check);
    assert_eq!(code, 1, "{text}");
    has(&text, &["depend on the clock", "no state fails in this way without that"]);
    prepare();
    let (code, text) = files(&options, "mv a b; echo ack; echo new > g", check);
    assert_eq!(code, 1, "{text}");
    assert!(!text.contains("clock"), "{text}");
}

#[test]
fn a_failing_run_leaves_one_recording_that_the_next_one_replaces() {
    let folder = tempfile::tempdir().unwrap();
    for count in ["3", "4"] {
        let output = Command::new(env!("CARGO_BIN_EXE_lose-lines"))
            .args([
                "--seed",
                "1",
                "--model",
                "ext4",
                "--check",
                "/bin/sh -c 'test ! -e f -o -s f'",
                "--",
            ])
            .args([
                "/bin/sh",
                "-c",
                &format!("for i in $(seq {count}); do echo $i > f; done; echo"),
            ])
            .env("TMPDIR", folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let left: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [log] = &left[..] else { panic!("{left:?}") };
        has(&String::from_utf8(output.stdout).unwrap(), &[&format!("--log {}", log.display())]);
    }
}

#[test]
fn each_command_refuses_what_it_cannot_test() {
    for words in [
        "files --state 1:0:none",
        "drive --state 1:0:none",
        "drive --model posix",
        "cut --state 1:0:none",
        "cut --model xfs",
    ] {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_lose-lines"));
        let ran = tool.args(words.split(' ')).args(["--", "/bin/true"]).output().unwrap();
        assert_eq!(ran.status.code(), Some(2), "{words}: {ran:?}");
    }
}

#[test]
fn missing_dashes_before_the_program_are_named() {
    for words in [&["--seed", "3", "/bin/true"][..], &["/bin/true"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_lose-lines")).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        has(&String::from_utf8(output.stderr).unwrap(), &["-- is missing before the program"]);
    }
}

#[test]
fn the_sample_of_the_pages_is_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = package.join("examples/forgotten_fsync.c");
    fs::copy(source, folder.path().join("forgets.c")).unwrap();
    let run = |name: &str, words: &[&str]| {
        Command::new(name).args(words).current_dir(&folder).output().unwrap()
    };
    assert!(run("cc", &["-g", "-O2", "forgets.c", "-o", "forgets"]).status.success());
    let options = ["--model", "ext4", "--seed", "3", "--check", "./forgets check", "--"];
    let words = [&options[..], &["./forgets", "update"]].concat();
    let text = String::from_utf8(run(env!("CARGO_BIN_EXE_lose-lines"), &words).stdout).unwrap();
    let failure = &text[text.find("ext4, state ").unwrap()..text.find("   to repeat it").unwrap()];
    for page in ["README.md", "../docs/power-cuts.md"] {
        has(&fs::read_to_string(package.join(page)).unwrap(), &[failure]);
    }
}
