//! `cachemaint demo`.

use crate::{cachemaint, ran, stdout};
use std::path::Path;

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn every_acknowledged_record_is_found_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let text = stdout(&ran(cachemaint().arg("demo").arg(directory.path()), "").success());
    let killed = text.lines().find(|line| line.starts_with("killed")).unwrap();
    let count = killed.split("s, ").nth(1).unwrap().split(' ').next().unwrap();
    assert_ne!(count, "0", "the writer got to work: {killed}");
    assert!(text.contains(&format!("all {count} acknowledged records, intact")), "{text}");
    assert!(text.contains("It does not prove that anything was written back"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(entries(directory.path()), 0);
    ran(cachemaint().args(["demo", "/no-such-place"]), "").code(3);
}

/// An interrupt at any step leaves no file and no process.
#[cfg(unix)]
#[test]
fn nothing_is_left_behind_by_an_interrupt() {
    interrupt(|place| entries(place) > 0);
    interrupt(|place| file(place).is_some());
    // The log of a journal begins after five pages; the writer has opened it when a record is there.
    interrupt(|place| {
        let bytes = file(place).and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
        bytes.get(20_480..).is_some_and(|log| log.iter().any(|byte| *byte != 0))
    });
}

#[cfg(unix)]
fn file(place: &Path) -> Option<std::path::PathBuf> {
    let made = std::fs::read_dir(place).unwrap().next()?;
    Some(made.unwrap().path().join("records")).filter(|file| file.exists())
}

/// Interrupts a demo at a step. One that this process sees too late, and that comes to its end, is followed by another.
#[cfg(unix)]
fn interrupt(is_time: impl Fn(&Path) -> bool) {
    assert!((0..20).any(|_| is_interrupted(&is_time)), "each of 20 demos came to its end");
}

/// Returns true if the demo was interrupted before its end, by SIGTERM (15).
#[cfg(unix)]
fn is_interrupted(is_time: impl Fn(&Path) -> bool) -> bool {
    use std::os::unix::process::ExitStatusExt as _;

    let directory = tempfile::tempdir().unwrap();
    let mut demo = cachemaint()
        .arg("demo")
        .arg(directory.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !is_time(directory.path()) {
        if let Some(status) = demo.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return false;
        }
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = demo.wait().unwrap();
    assert!(status.success() || status.signal() == Some(15), "{status}");
    assert_eq!(entries(directory.path()), 0);
    !status.success()
}
