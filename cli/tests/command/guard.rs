//! `cachemaint guard`, as a service and a script use it.

use crate::{Ran, cachemaint, json, ran, skip, stderr, stdout, unread, utc};
use cachemaint::medium::Backing;
use cachemaint::medium::Granularity;
use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::yield_now;

const BYTES: usize = 100_000;

/// Returns a directory in RAM if possible: a sync of the file system of a disk can take long beside other programs.
fn shared() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn guard(directory: &Path, arguments: &[&str]) -> Child {
    guard_by(cachemaint(), directory, arguments)
}

fn guard_by(mut command: std::process::Command, directory: &Path, arguments: &[&str]) -> Child {
    command.args(["guard", "--page-cache"]).args(arguments).arg(directory);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Guards a directory with a file in it, and has looked at that file.
fn start(directory: &Path, arguments: &[&str]) -> Child {
    let file = directory.join("buffer");
    fs::write(&file, vec![1; BYTES]).unwrap();
    let mut child = guard(directory, &[&["--within", "1ms"], arguments].concat());
    wait_until_open(&mut child, &file);
    child
}

/// Waits until a guard has a file open, as it has the first one that it finds on a file system.
fn wait_until_open(child: &mut Child, file: &Path) {
    let open = format!("/proc/{}/fd", child.id());
    let is_open = || {
        let mut numbers = fs::read_dir(&open).unwrap().flatten();
        numbers.any(|number| fs::read_link(number.path()).is_ok_and(|name| name == file))
    };
    while !is_open() {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it has not waited for the end: {ended:?}");
        yield_now();
    }
}

fn end(child: Child) -> Ran {
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    Ran(child.wait_with_output().unwrap())
}

/// The guarantees that it prints first have no reader, as under a service manager whose log is gone.
#[test]
fn it_guards_though_its_report_has_no_reader() {
    let directory = shared();
    let file = directory.path().join("buffer");
    fs::write(&file, vec![1; BYTES]).unwrap();
    let mut child = cachemaint()
        .args(["guard", "--page-cache"])
        .arg(directory.path())
        .stdout(unread().unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The guarantees are printed after the file was opened, so this line says that it goes on.
    let mut line = String::new();
    std::io::BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("the guard runs, but cannot print its report"), "{line}");
    assert_eq!(child.try_wait().unwrap(), None);
    end(child).code(141);
}

#[test]
fn it_ends_by_sigterm_with_what_it_has_done() {
    let directory = shared();
    let output = end(start(directory.path(), &["--json", "--cpu", "50%"])).success();
    let document = json(&output);
    let number = |name: &str| document[name].as_u64().unwrap();
    assert_eq!((number("schema"), number("files"), number("within_ns")), (1, 1, 1_000_000));
    assert_eq!(number("problems"), 0);
    // The last pass comes when the command ends.
    assert!(number("passes") >= 2, "{document}");
    assert_eq!(number("bytes"), number("passes") * BYTES as u64);
    assert!(number("longest_interval_ns") >= number("longest_pass_ns"), "{document}");
    assert!(document["cpu_share"].as_f64().unwrap() > 0.0);

    let text = stdout(&end(start(directory.path(), &[])).success());
    for part in ["What survives", "warm reboot", "1 in the last pass", "; the goal was 1ms"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// An orderly end may never come. No interval is as short as the one that is asked for here.
#[test]
fn an_interval_that_is_longer_than_asked_for_is_reported_while_the_guard_runs_and_has_its_time() {
    let directory = shared();
    let file = directory.path().join("buffer");
    fs::write(&file, vec![1; BYTES]).unwrap();
    let run = |format: &[&str]| {
        let began = utc("now");
        let mut child = guard(directory.path(), &[&["--within", "1ns"], format].concat());
        let mut first = String::new();
        let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
        errors.read_line(&mut first).unwrap();
        assert!(first.starts_with("cachemaint: an interval took "), "{first}");
        assert!(first.ends_with("; the goal is 1ns\n"), "{first}");
        assert_eq!(child.try_wait().unwrap(), None);
        // The others are read, so that the guard does not wait for room for them.
        let rest = std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        let ended = end(child).success();
        rest.join().unwrap().unwrap();
        (ended, began..=utc("now"))
    };
    let (ended, life) = run(&["--json"]);
    let document = json(&ended);
    // It is printed in milliseconds.
    let milliseconds = |time: &str| time[.."2001-09-09T01:46:40.000".len()].to_owned();
    let at = milliseconds(document["longest_interval_at"].as_str().unwrap());
    assert!((milliseconds(life.start())..=milliseconds(life.end())).contains(&at), "{document}");
    let (ended, _) = run(&[]);
    let text = stdout(&ended);
    assert!(text.contains("\nlongest     the interval that ended at "), "{text}");
}

/// `nohup` ignores SIGHUP, and a shell SIGINT of its jobs in the background.
#[test]
fn a_guard_goes_on_after_signals_that_it_was_started_to_ignore_and_finds_new_files() {
    let directory = shared();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]);
    shell.arg(cachemaint().get_program());
    let mut child = guard_by(shell, directory.path(), &[]);
    // It prints the guarantees when its signals are set.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    for signal in [Signal::HUP, Signal::INT] {
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    let late = directory.path().join("late");
    fs::write(&late, vec![1; BYTES]).unwrap();
    wait_until_open(&mut child, &late);
    let ended = end(child).success();
    assert!(stdout(&ended).contains("files       1 in the last pass"), "{}", stdout(&ended));
}

#[test]
fn one_pass_reports_its_files_and_bytes() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("below")).unwrap();
    for name in ["a", "below/b"] {
        fs::write(directory.path().join(name), vec![1; BYTES]).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = cachemaint();
        command.args(["guard", "--once", "--page-cache"]).args(arguments).arg(directory.path());
        // Nothing else fails.
        ran(&mut command, "").code(i32::from(may_be_in_ram(directory.path())))
    };
    let document = json(&run(&["--json"]));
    let numbers =
        ["schema", "passes", "files", "bytes"].map(|name| document[name].as_u64().unwrap());
    assert_eq!(numbers, [1, 1, 2, 2 * BYTES as u64]);
    let text = stdout(&run(&[]));
    assert!(text.contains("200,000 bytes"), "{text}");
}

/// Returns true if a directory is in RAM of the kernel, which no reboot and no kexec keeps.
fn is_in_ram(directory: &Path) -> bool {
    // `TMPFS_MAGIC` and `RAMFS_MAGIC` (Linux, `include/uapi/linux/magic.h`).
    [0x0102_1994, 0x8584_58f6].contains(&rustix::fs::statfs(directory).unwrap().f_type)
}

/// Returns true if a directory is in such RAM, or on an overlay that hides its upper directory, as in a container.
fn may_be_in_ram(directory: &Path) -> bool {
    is_in_ram(directory)
        || cachemaint_inspect::FileReport::at(directory).unwrap().backing == Backing::Unknown
}

/// It is run before a reboot.
#[test]
fn a_write_back_in_ram_of_the_kernel_fails_and_one_on_a_disk_does_not() {
    let test = "a_write_back_in_ram_of_the_kernel_fails_and_one_on_a_disk_does_not";
    let shared = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let ordinary = tempfile::tempdir().unwrap();
    for directory in [&shared, &ordinary] {
        fs::write(directory.path().join("buffer"), vec![1; BYTES]).unwrap();
    }
    let [shared, ordinary] = [shared.path(), ordinary.path()];
    if !is_in_ram(shared) {
        return skip(test, "/dev/shm is not a tmpfs");
    }
    let run = |paths: &[&Path]| {
        let once = ["guard", "--once", "--page-cache", "--json"];
        ran(cachemaint().args(once).args(paths), "")
    };
    let lost = run(&[shared]).code(1);
    let document = json(&lost);
    assert_eq!((&document["files"], &document["problems"]), (&1.into(), &0.into()));
    let survives = &document["survives"][0];
    assert_eq!(survives["path"], shared.to_str().unwrap());
    assert_eq!((&survives["kexec"], &survives["warm_reboot"]), (&"no".into(), &"no".into()));
    let error = stderr(&lost);
    let said = format!("{}: no reboot and no kexec keeps its files", shared.display());
    assert_eq!(error.matches(&said).count(), 1, "{error}");

    if may_be_in_ram(ordinary) {
        return skip(test, "the directory for temporary files may be in RAM of the kernel");
    }
    let both = run(&[ordinary, shared]).code(1);
    assert_eq!(stderr(&both).matches("no reboot and no kexec").count(), 1, "{}", stderr(&both));
    let kept = run(&[ordinary]).success();
    assert!(stderr(&kept).is_empty(), "{}", stderr(&kept));
    assert_ne!(json(&kept)["survives"][0]["warm_reboot"], "no");
}

/// A script goes by the exit code.
#[test]
fn a_write_back_of_nothing_fails() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("empty"), []).unwrap();
    let once = ["guard", "--once", "--page-cache"];
    let run = |path: &Path| ran(cachemaint().args(once).arg(path), "");
    let nothing = run(directory.path()).code(1);
    assert!(stderr(&nothing).contains("nothing was written back"), "{}", stderr(&nothing));
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(directory.path(), &link).unwrap();
    let refused = run(&link).code(3);
    assert!(stderr(&refused).contains("name its target"), "{}", stderr(&refused));
}

/// A service that guards nothing must not look like one that did its work.
#[test]
fn a_guard_that_could_write_back_nothing_of_what_is_there_fails() {
    let directory = shared();
    // The path of the last ones is longer than the guard reads.
    let name = "d".repeat(255);
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut below = open(directory.path(), flags, Mode::empty()).unwrap();
    for _ in 0..17 {
        mkdirat(&below, &name, Mode::RWXU).unwrap();
        below = openat(&below, &name, flags, Mode::empty()).unwrap();
    }
    let mut child = guard(directory.path(), &["--within", "100ms"]);
    let mut told = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.contains("not guarded: "), "{line}");
    end(child).code(1);
    let mut last = String::new();
    told.read_to_string(&mut last).unwrap();
    assert!(last.contains("nothing was guarded"), "{last}");
    assert!(!last.contains("not guarded: "), "it is reported once: {last}");
}

/// The guard writes back nothing from then on, and it can run for weeks.
#[test]
fn a_path_that_is_missing_at_the_end_fails_and_one_that_came_back_does_not() {
    for comes_back in [false, true] {
        let directory = shared();
        let [tree, moved] = ["tree", "moved"].map(|name| directory.path().join(name));
        fs::create_dir(&tree).unwrap();
        let mut child = start(&tree, &["--json"]);
        let mut told = std::io::BufReader::new(child.stderr.take().unwrap());
        fs::rename(&tree, &moved).unwrap();
        // Intervals are reported, too.
        let mut line = String::new();
        while !line.contains("not guarded: ") {
            line.clear();
            assert_ne!(told.read_line(&mut line).unwrap(), 0, "it has not reported the path");
        }
        assert!(line.contains("no longer exists"), "{line}");
        assert!(line.contains(tree.to_str().unwrap()), "{line}");
        if comes_back {
            fs::rename(&moved, &tree).unwrap();
        }
        let document = json(&end(child).code(i32::from(!comes_back)));
        let gone = u64::from(!comes_back);
        assert_eq!((&document["outside"], &document["problems"]), (&1.into(), &1.into()));
        assert_eq!((&document["gone"], &document["files"]), (&gone.into(), &(1 - gone).into()));
        let mut last = String::new();
        told.read_to_string(&mut last).unwrap();
        assert_eq!(last.contains("missing at the end"), !comes_back, "{last}");
    }
}

#[test]
fn guarding_page_granular_files_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let guarantee = cachemaint_inspect::FileReport::at(directory.path()).unwrap();
    if !matches!(guarantee.granularity, Granularity::Page(_)) {
        return skip("guarding_page_granular_files_is_refused", "files are on DAX here");
    }
    let missing = directory.path().join("missing");
    for once in [&[][..], &["--once"]] {
        let guard = |path| ran(cachemaint().arg("guard").args(once).arg(path), "").code(3);
        let refused = guard(directory.path());
        assert!(
            stderr(&refused).contains("sync it instead (--page-cache)"),
            "{}",
            stderr(&refused)
        );
        let refused = guard(&missing);
        assert!(stderr(&refused).contains("no such file"), "{}", stderr(&refused));
    }
    for wrong in [["--within", "0ms"], ["--cpu", "0%"], ["--once", "--lock-memory"]] {
        ran(cachemaint().arg("guard").args(wrong).arg(directory.path()), "").code(2);
    }
}
