//! Signals to `cachemaint record`: they reach the program, or end the recording, unless they are ignored.

use super::{Place, ignored};
use assert_cmd::cargo;
use cachemaint_test_support::skip::skip;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, ioctl_tiocsctty, kill_process, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command as Process, Stdio};

/// A supervisor that ends the command wants to end the program. The exit code is 128 plus the signal's number, as in
/// shells.
#[test]
fn a_signal_to_record_reaches_the_program_which_decides_when_both_end() {
    let ready = "echo ready; exec sleep 1000";
    let trapped = "trap 'kill $!; echo last words; exit 9' TERM; sleep 1000 >/dev/null 2>&1 & echo ready; wait";
    let rows = [
        (Signal::TERM, ready, 128 + 15, "ready\n"),
        (Signal::INT, ready, 128 + 2, "ready\n"),
        (Signal::HUP, ready, 128 + 1, "ready\n"),
        (Signal::TERM, trapped, 9, "ready\nlast words\n"),
    ];
    for (signal, script, code, expected) in rows {
        if is_ignored(signal) {
            continue;
        }
        let place = Place::empty();
        let mut command = Process::new(cargo::cargo_bin!("cachemaint"));
        command.arg("record").arg(&place.path).args(["--", "sh", "-c", script]);
        let mut recording = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = recording.stdout.take().unwrap();
        let mut first = [0; "ready\n".len()];
        out.read_exact(&mut first).unwrap();
        kill_process(Pid::from_child(&recording), signal).unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        let status = recording.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{signal:?}: {status}");
        assert_eq!(format!("{}{rest}", str::from_utf8(&first).unwrap()), expected, "{signal:?}");
        let texts: Vec<String> = place.texts().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, expected.lines().collect::<Vec<_>>(), "{signal:?}");
    }
}

/// A supervisor that sends SIGTERM again, as the output has a reader that has stopped reading.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_a_recording_whose_output_is_not_read() {
    if is_ignored(Signal::TERM) {
        return;
    }
    let place = Place::empty();
    let mut command = Process::new(cargo::cargo_bin!("cachemaint"));
    command.arg("record").arg(&place.path).args(["--", "sh", "-c", "echo ready; exec yes"]);
    let mut recording = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = recording.stdout.take().unwrap();
    let begin = std::time::Instant::now();
    while rustix::io::ioctl_fionread(&out).unwrap() < 4096 {
        assert!(begin.elapsed().as_secs() < 60, "the output is missing");
        std::thread::yield_now();
    }
    let status = loop {
        kill_process(Pid::from_child(&recording), Signal::TERM).unwrap();
        if let Some(status) = recording.try_wait().unwrap() {
            break status;
        }
        assert!(begin.elapsed().as_secs() < 60, "it goes on");
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(128 + 15));
    drop(out);
    let texts = place.texts();
    // The recording has the last lines, as many as it has space for.
    assert!(texts.len() > 100 && texts.iter().skip(1).all(|(_, text)| text == "y"));
}

/// Returns true if this process ignores a signal, as `nohup` has it: its children do so too.
fn is_ignored(signal: Signal) -> bool {
    ignored::ignores(std::process::id(), signal)
}

/// The kernel sends the hangup of a terminal to the leader of its session alone: `ssh -t HOST cachemaint record` is
/// one. The end of a terminal is the close of the other side of the pseudo-terminal.
#[test]
#[expect(
    unsafe_code,
    reason = "a child becomes the leader of a session before it runs the command"
)]
fn a_hangup_of_the_terminal_reaches_the_program_of_a_session_leader() {
    if is_ignored(Signal::HUP) {
        return;
    }
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let its_side = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    let input = its_side.try_clone().unwrap();

    let place = Place::empty();
    // Without the signal it ends by itself after a minute, with another code.
    let script =
        "trap 'kill $!; echo last words; exit 9' HUP; sleep 60 >/dev/null 2>&1 & echo ready; wait";
    let mut command = Process::new(cargo::cargo_bin!("cachemaint"));
    command.arg("record").arg(&place.path).args(["--", "sh", "-c", script]);
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::null());
    let lead_session = move || {
        setsid()?;
        ioctl_tiocsctty(&its_side)?;
        Ok(())
    };
    // SAFETY: it makes two system calls alone, which may be made between `fork` and `exec`.
    unsafe { command.pre_exec(lead_session) };
    let mut recording = command.spawn().unwrap();
    let mut out = recording.stdout.take().unwrap();
    let mut first = [0; "ready\n".len()];
    out.read_exact(&mut first).unwrap();
    drop(terminal);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((recording.wait().unwrap().code(), &*rest), (Some(9), "last words\n"));
    let texts: Vec<String> = place.texts().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["ready", "last words"]);
}

/// A container that is entered without a session of its own: its processes see 0 as the number of theirs
/// (`pid_namespaces(7)`).
#[test]
fn a_program_is_recorded_where_its_session_has_no_number() {
    let container = || {
        let mut unshare = Process::new("unshare");
        unshare.args(["--user", "--map-root-user", "--pid", "--fork"]);
        unshare
    };
    let name = "a_program_is_recorded_where_its_session_has_no_number";
    match container().arg("true").output() {
        Err(error) => return skip(name, format_args!("unshare(1) cannot be started: {error}")),
        Ok(tried) if !tried.status.success() => {
            return skip(name, String::from_utf8_lossy(&tried.stderr).trim());
        }
        Ok(_) => {}
    }
    let place = Place::empty();
    let mut record = container();
    record.arg(cargo::cargo_bin!("cachemaint")).arg("record").arg(&place.path);
    let recorded = record.args(["--", "sh", "-c", "echo line; exit 7"]).output().unwrap();
    assert_eq!(recorded.status.code(), Some(7), "{}", String::from_utf8_lossy(&recorded.stderr));
    let texts: Vec<String> = place.texts().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["line"]);
}

/// A process in the background keeps the program's output open. It gets SIGTERM when the value is dropped.
struct Background(Pid);

impl Drop for Background {
    fn drop(&mut self) {
        let (Ok(()) | Err(_)) = kill_process(self.0, Signal::TERM);
    }
}

/// Returns true if a process has ended and its parent has not waited for it, or if it is gone.
fn has_ended(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat"));
    status.map_or(true, |status| status.rsplit(')').next().unwrap().starts_with(" Z"))
}

/// As a server is started: by a script that leaves it in the background.
#[test]
fn a_signal_after_the_end_of_the_program_ends_a_recording_that_others_keep_open() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        if is_ignored(signal) {
            continue;
        }
        let place = Place::empty();
        let mut command = Process::new(cargo::cargo_bin!("cachemaint"));
        // A shell without job control ignores SIGINT for its jobs in the background, so SIGTERM ends it.
        let script = "sleep 1000 & printf '%s\\n' $$ $! 'last words' 'and the rest'; exit 3";
        command.arg("record").arg(&place.path).args(["--", "sh", "-c", script]);
        let mut recording = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(recording.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let [program, background] = [line(), line()];
        let _background = Background(Pid::from_raw(background.parse().unwrap()).unwrap());
        assert_eq!([line(), line()], ["last words", "and the rest"]);
        while !has_ended(&program) {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&recording), signal).unwrap();
        assert_eq!(recording.wait().unwrap().code(), Some(3), "{signal:?}");
        let texts: Vec<String> = place.texts().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, [&program, &background, "last words", "and the rest"], "{signal:?}");
    }
}
