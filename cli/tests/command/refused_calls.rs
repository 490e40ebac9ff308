//! Each system call of the command is refused in turn, as by an old kernel and by the filter of a container. The command falls
//! back, or says which file it could not use and what helps.

use crate::{Ran, cachemaint, ended, skip, stdout};
use cachemaint_test_support::failing_calls::{CALLS, Refused, fail_calls};
use cachemaint_test_support::own_mount::with_small_tmpfs;
use core::ffi::c_int;
use rustix::mount::{MountFlags, mount};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const LINES: &str = "one\ntwo\n";

/// What a command has done if it succeeds.
enum Done {
    /// It has printed this.
    Printed(&'static str),
    /// It has made this file, of these bytes.
    Made(&'static str, &'static str),
    /// This journal has these records.
    Journal(&'static str, &'static str),
    Anything,
}
use Done::{Anything, Journal, Made, Printed};

/// Commands in a directory with a journal, a store and a recording, with their input.
const STEPS: [(&[&str], &str, Done); 8] = [
    (&["journal", "append", "new", "--create", "256K"], LINES, Journal("new", LINES)),
    (&["journal", "read", "log"], "", Printed(LINES)),
    (&["journal", "salvage", "log", "--into", "saved"], "", Journal("saved", LINES)),
    (&["store", "save", "store", "other", "--grow", "1M"], LINES, Anything),
    (&["store", "load", "store", "blob", "--output", "loaded"], "", Made("loaded", LINES)),
    (&["recording", "print", "events"], "", Anything),
    (&["guard", ".", "--once", "--page-cache"], "", Anything),
    (&["inspect", "log"], "", Anything),
];

fn command(place: &Path, arguments: &[&str]) -> Command {
    let mut command = cachemaint();
    command.args(arguments).current_dir(place);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(place: &Path, arguments: &[&str], input: &str) -> Ran {
    ended(command(place, arguments).spawn().unwrap(), input)
}

/// Runs a command whose calls of a kind are refused; `None` if no filter is to be had.
fn run_without(
    (_, number, flags): Refused,
    errno: c_int,
    place: &Path,
    arguments: &[&str],
    input: &str,
) -> Option<Ran> {
    let mut command = command(place, arguments);
    let filter = move || {
        if fail_calls(number, flags, errno) { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec the filter allocates a few bytes, which the C library permits (malloc has handlers of fork).
    #[expect(unsafe_code, reason = "a filter holds for what is executed after it")]
    unsafe {
        command.pre_exec(filter)
    };
    command.spawn().ok().map(|child| ended(child, input))
}

/// Returns a fault of a command that has ended; `None` if it is as it should be.
fn fault(place: &Path, done: &Done, arguments: &[&str], ran: &Ran) -> Option<String> {
    let said = String::from_utf8_lossy(&ran.0.stderr);
    match ran.0.status.code() {
        Some(0) => {
            let (found, expected) = match done {
                Printed(text) => (ran.0.stdout.clone(), *text),
                Made(file, text) => (fs::read(place.join(file)).unwrap_or_default(), *text),
                Journal(file, lines) => {
                    (run(place, &["journal", "read", file], "").0.stdout, *lines)
                }
                Anything => return None,
            };
            (found != expected.as_bytes()).then(|| "it succeeds in vain".to_owned())
        }
        Some(1 | 3) => {
            // The fact and the action are divided by it.
            let streams = ["standard input", "standard output"];
            let names_a_file = arguments.iter().chain(&streams).any(|name| said.contains(name));
            let is_whole = said.starts_with("cachemaint: ") && said.contains("; ") && names_a_file;
            (!is_whole).then(|| format!("says {said}"))
        }
        _ => Some(format!("{}: {said}", ran.0.status)),
    }
}

#[test]
fn a_refused_system_call_has_a_fallback_or_an_error_with_an_action() {
    let test = "a_refused_system_call_has_a_fallback_or_an_error_with_an_action";
    let in_memory = || tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let before = in_memory();
    let made = [
        ("log", &["journal", "append", "log"][..]),
        ("store", &["store", "save", "store", "blob"]),
        ("events", &["recording", "write", "events"]),
    ];
    for (_, arguments) in made {
        let arguments = [arguments, &["--create", "256K"]].concat();
        run(before.path(), &arguments, LINES).success();
    }
    let mut faults = Vec::new();
    // No program starts without them: these are the loader's, and the standard library asserts the last one.
    let of_start = ["newfstatat", "pread64", "rt_sigaction"];
    for refused in CALLS.iter().filter(|(name, ..)| !of_start.contains(name)) {
        for (errno, name) in [(libc::ENOSYS, "ENOSYS"), (libc::EPERM, "EPERM")] {
            for (arguments, input, done) in &STEPS {
                let place = in_memory();
                for (file, _) in made {
                    fs::copy(before.path().join(file), place.path().join(file)).unwrap();
                }
                let Some(ran) = run_without(*refused, errno, place.path(), arguments, input) else {
                    return skip(test, "no filter of system calls is to be had");
                };
                let fault = fault(place.path(), done, arguments, &ran);
                faults.extend(
                    fault.map(|fault| format!("{}={name} {arguments:?}: {fault}", refused.0)),
                );
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A filter answers with any error.
#[test]
fn a_guard_reaches_directories_whatever_error_openat2_has() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("below")).unwrap();
    fs::write(place.path().join("below/file"), LINES).unwrap();
    let openat2 = ("openat2", libc::SYS_openat2, None);
    for errno in [libc::EINVAL, libc::EACCES] {
        let guard = ["guard", ".", "--once", "--page-cache"];
        let Some(ran) = run_without(openat2, errno, place.path(), &guard, "") else {
            return skip("a guard without openat2", "no filter of system calls is to be had");
        };
        ran.success();
    }
}

/// As in a small container on a kernel before 6.4, which does not tell a program its auxiliary vector by `prctl`.
#[test]
fn it_works_without_proc_and_sys_on_an_old_kernel() {
    let test = "it_works_without_proc_and_sys_on_an_old_kernel";
    let prctl = ("prctl", libc::SYS_prctl, None);
    with_small_tmpfs(test, |place| {
        for tree in ["/proc", "/sys"] {
            if let Err(error) = mount("none", tree, "tmpfs", MountFlags::empty(), c"size=4k") {
                return skip(
                    test,
                    format_args!(
                        "nothing can be mounted over another file system: {tree}: {error}"
                    ),
                );
            }
        }
        let run = |arguments: &[&str]| run_without(prctl, libc::EINVAL, place, arguments, LINES);
        let Some(appended) = run(&["journal", "append", "log", "--create", "256K"]) else {
            return skip(test, "no filter of system calls is to be had");
        };
        appended.success();
        let read = run(&["journal", "read", "log"]).unwrap().success();
        assert_eq!(stdout(&read), LINES);
        let inspected = stdout(&run(&["inspect", "log"]).unwrap().success());
        assert!(inspected.contains("tmpfs keeps files in RAM"), "{inspected}");
        run(&["caps"]).unwrap().success();
        run(&["guard", ".", "--once", "--page-cache"]).unwrap().code(1);
    });
}
