//! The example programs, killed at arbitrary moments, starting from an empty directory: each next start succeeds.
//!
//! A moment is a fraction of the time that the whole program took, so the kills hit creation, work and end on a machine
//! of any speed. Stores in memory survive a killed process: the test covers starts on unfinished work, not write-backs.

#![cfg(all(target_os = "linux", not(miri), not(cachemaint_loom)))]

use cachemaint_test_support::skip::skip;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const KILLS: u32 = 50;
/// Enough even if most programs end before their kill.
const ATTEMPTS: u32 = 20 * KILLS;
const SIGKILL: i32 = 9;

/// Returns the program. `cargo test` compiles it, unless its arguments select the tests to compile.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn program(example: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("examples").join(example);
    program.exists().then_some(program)
}

/// Runs the program, and kills it after a time unless it has ended.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn run(command: &mut Command, killed_after: Option<Duration>) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(time) = killed_after {
        let start = Instant::now();
        while start.elapsed() < time && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
    }
    child.wait_with_output().unwrap()
}

/// Kills the program until there are enough kills; one that ended before its kill does not count. `arguments` follow
/// the file.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn each_next_start_succeeds(example: &str, arguments: &[&str]) {
    let Some(program) = program(example) else {
        return skip(example, "the examples are not compiled: run `cargo test` for all targets");
    };
    // In memory, unless the environment names another place: on a disk, each run would wait for the disk.
    let is_named = std::env::var_os("TMPDIR").is_some();
    let in_memory = if is_named { None } else { tempfile::tempdir_in("/dev/shm").ok() };
    let directory = in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap());
    let start_on = |file: &Path| {
        let mut command = Command::new(&program);
        command.arg(file).args(arguments);
        command
    };
    let mut random = fastrand::Rng::with_seed(u64::from(std::process::id()));
    let (mut kills, mut attempts) = (0, 0);
    while kills < KILLS {
        assert!(
            attempts < ATTEMPTS,
            "{example} was killed only {kills} times in {attempts} attempts"
        );
        // Each fifth kill begins with no file, since creation can be interrupted too.
        let file = directory.path().join(format!("file{}", kills / 5));
        let start = Instant::now();
        let whole = run(&mut start_on(&directory.path().join("whole")), None);
        let took = start.elapsed();
        assert!(whole.status.success(), "{example}: {}", String::from_utf8_lossy(&whole.stderr));
        let cut = run(&mut start_on(&file), Some(took.mul_f64(random.f64())));
        let was_killed = cut.status.signal() == Some(SIGKILL);
        let failed = String::from_utf8_lossy(&cut.stderr);
        assert!(was_killed || cut.status.success(), "{example}, attempt {attempts}: {failed}");
        let next = run(&mut start_on(&file), None);
        let failed = String::from_utf8_lossy(&next.stderr);
        assert!(next.status.success(), "{example}, attempt {attempts}, after a kill: {failed}");
        kills += u32::from(was_killed);
        attempts += 1;
    }
}

#[test]
fn the_first_program_finds_each_line_that_it_reported_as_durable_before_it_was_killed() {
    let Some(program) = program("first") else {
        return skip("first", "the examples are not compiled: run `cargo test` for all targets");
    };
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.current_dir(&directory).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut input = child.stdin.take().unwrap();
    for line in ["paid 3 to Ada", "paid 4 to Grace"] {
        writeln!(input, "{line}").unwrap();
        let durable = format!("durable: {line}");
        assert!(lines.by_ref().any(|printed| printed.unwrap() == durable), "{durable}");
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));

    let found = command.stdin(Stdio::null()).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(found.ends_with("\nfound: paid 3 to Ada\nfound: paid 4 to Grace\n"), "{found}");
}

#[test]
fn the_guide_shows_the_first_program() {
    let guide = include_str!("../../docs/durable-files.md");
    let program = include_str!("../first/main.rs");
    let (head, rest) = program.split_once("\n#![expect(").unwrap();
    let shown = [head, rest.split_once('\n').unwrap().1].concat();
    assert!(guide.contains(&shown), "docs/durable-files.md differs");
}

#[test]
fn a_counter_that_is_killed_starts_again() {
    each_next_start_succeeds("counter", &[]);
}

#[test]
fn slots_that_are_killed_start_again() {
    each_next_start_succeeds("slots", &[]);
}

#[test]
fn statistics_in_an_adopted_mapping_that_are_killed_start_again() {
    each_next_start_succeeds("adopted_mapping", &[]);
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_monitor_of_adopted_guest_memory_that_is_killed_starts_again() {
    each_next_start_succeeds("guest_memory", &[]);
}

#[test]
fn a_queue_that_is_killed_starts_again() {
    each_next_start_succeeds("queue", &[]);
}

#[test]
fn a_machine_that_is_killed_starts_again() {
    each_next_start_succeeds("vm_restart", &[]);
}

#[test]
fn a_cache_that_is_killed_starts_again() {
    each_next_start_succeeds("page_cache", &[]);
}

#[test]
fn a_hash_table_that_is_killed_starts_again() {
    each_next_start_succeeds("hash_table", &["1", "100"]);
}

#[test]
fn a_successor_finds_the_state_in_the_memory_that_it_is_given() {
    let Some(program) = program("live_update") else {
        return skip(
            "live_update",
            "the examples are not compiled: run `cargo test` for all targets",
        );
    };
    let output = run(&mut Command::new(&program), None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().contains("\n4096 bytes, same boot"));
}
