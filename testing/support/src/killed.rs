//! Operations that are cut off: a forked child is stopped at a chosen system call.
//!
//! The parent traces the child (ptrace(2)). While the child waits to enter the call, the parent kills it, and the call is
//! not executed. No time is involved. The parent can also note all calls, where their order is the promise.

use crate::skip::skip;
use core::ffi::{c_int, c_long};
use core::fmt::Display;
use core::ptr::null_mut;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// A forked child keeps every descriptor that is open when it is forked, so the tests run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test of the program has a child.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory in memory, unless the environment names another place: a killed process loses nothing on either, and
/// the disk would be waited for after most of the system calls.
#[must_use]
pub fn directory() -> TempDir {
    let is_named = std::env::var_os("TMPDIR").is_some();
    let in_memory = if is_named { None } else { tempfile::tempdir_in("/dev/shm").ok() };
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// The end of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    /// The child finished before the chosen call.
    Finished,
    /// The child cannot be traced here.
    NotTraced,
}

/// The end of a stop before a system call.
#[derive(Clone, Copy, Debug)]
enum Next {
    GoOn,
    Kill,
}

/// The exit codes of a child. One that panics ends with 0, as it has no other thread.
const FAILED: c_int = 1;
const NOT_TRACED: c_int = 2;
const FINISHED: c_int = 3;

/// Cuts `act` off before its first system call, before its second, and so on, until it is finished. Of calls that only
/// read and follow each other it is cut off before the first: no other process can see the difference. `prepare` is
/// called before each time, and `check` after it, with true if `act` was finished. Returns false if children cannot be
/// traced here, after a line that reports it.
///
/// `act` runs in a forked child of a process with threads: it must not need a lock that another thread can hold.
pub fn at_each_system_call<E: Display>(
    test: &str,
    mut prepare: impl FnMut(),
    act: impl Fn() -> Result<(), E>,
    mut check: impl FnMut(bool),
) -> bool {
    let run = |kills| {
        prepare();
        let (mut moments, mut was_reading) = (0, false);
        let end = run(&act, &mut |child, _| {
            let is_reading = only_reads(child);
            let is_moment = !(is_reading && was_reading);
            was_reading = is_reading;
            moments += usize::from(is_moment);
            if is_moment && moments > kills { Next::Kill } else { Next::GoOn }
        });
        if end != End::NotTraced {
            check(end == End::Finished);
        }
        end
    };
    until_finished(test, run)
}

/// Returns true if the call that a stopped child is about to make changes nothing that outlives the child.
#[cfg(target_arch = "x86_64")]
fn only_reads(child: libc::pid_t) -> bool {
    const READING: [c_long; 10] = [
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_fstatfs,
        libc::SYS_gettid,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_pread64,
        libc::SYS_read,
        libc::SYS_readlink,
        libc::SYS_statx,
    ];
    let (number, arguments) = about_to_call(child);
    let flags = match number {
        libc::SYS_open => arguments[1],
        libc::SYS_openat => arguments[2],
        _ => return READING.contains(&number),
    };
    let creating = libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE;
    flags & u64::from(creating.cast_unsigned()) == 0
}

/// Other architectures number and divide the calls in another way.
#[cfg(not(target_arch = "x86_64"))]
fn only_reads(_: libc::pid_t) -> bool {
    false
}

/// A system call of a child.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub number: c_long,
    /// The device and inode of the file, if the first argument is its descriptor.
    pub file: Option<(u64, u64)>,
}

/// Calls `note` with each system call that `act` makes, which must succeed. Returns false if children cannot be traced here,
/// after a line that reports it.
///
/// `act` runs as in [`at_each_system_call`].
pub fn note_system_calls<E: Display>(
    test: &str,
    act: impl Fn() -> Result<(), E>,
    mut note: impl FnMut(Call),
) -> bool {
    let run = |_| {
        run(&act, &mut |child, _| {
            note(entered(child));
            Next::GoOn
        })
    };
    until_finished(test, run)
}

/// Returns the number of system calls that `act` makes, which must succeed, without `exit`. Returns `None` if children
/// cannot be traced here, after a line that reports it.
///
/// `act` runs as in [`at_each_system_call`].
pub fn count_system_calls<E: Display>(
    test: &str,
    act: impl Fn() -> Result<(), E>,
) -> Option<usize> {
    let mut calls = 0;
    note_system_calls(test, act, |_| calls += 1).then(|| calls - 1)
}

fn entered(child: libc::pid_t) -> Call {
    let (number, [first, ..]) = about_to_call(child);
    let file = std::fs::metadata(std::format!("/proc/{child}/fd/{first}")).ok();
    let file = file.map(|file| (file.dev(), file.ino()));
    Call { number, file }
}

/// Returns the number and arguments of the call that a stopped child is about to make. The first words of the kernel's
/// `ptrace_syscall_info` are its kind and architecture, two addresses, and of an entry these (ptrace(2)).
fn about_to_call(child: libc::pid_t) -> (c_long, [u64; 6]) {
    const ENTRY: u8 = 1;
    let mut info = [0_u64; 12];
    let len = size_of_val(&info);
    // `PTRACE_GET_SYSCALL_INFO`: its type differs between C libraries.
    let request = 0x420e;
    // SAFETY: the child is ours, and it is stopped; the array has so many bytes.
    let got = unsafe { libc::ptrace(request, child, len, &raw mut info) };
    assert!(got > 0, "{}", std::io::Error::last_os_error());
    assert_eq!(info[0].to_ne_bytes()[0], ENTRY);
    let [_, _, _, number, arguments @ ..] = info;
    (c_long::try_from(number).unwrap_or(-1), core::array::from_fn(|at| arguments[at]))
}

/// Calls `run` with the number of system calls that the child executes first: 0, 1 and so on.
fn until_finished(test: &str, mut run: impl FnMut(usize) -> End) -> bool {
    if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
        skip(test, "user-mode emulation of a CPU does not trace children");
        return false;
    }
    for calls in 0.. {
        match run(calls) {
            End::Killed => {}
            End::Finished => break,
            End::NotTraced => {
                skip(test, "children cannot be traced");
                return false;
            }
        }
    }
    true
}

/// Runs `act` in a child that is stopped before each of its system calls. `at_call` gets the child and the number of calls
/// before.
fn run<E: Display>(
    act: &impl Fn() -> Result<(), E>,
    at_call: &mut dyn FnMut(libc::pid_t, usize) -> Next,
) -> End {
    // SAFETY: the child calls `act`, which is made for it, and ends.
    let child = unsafe { libc::fork() };
    assert_ne!(child, -1, "{}", std::io::Error::last_os_error());
    if child == 0 {
        let code = be_traced(act);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    trace(child, at_call)
}

fn be_traced<E: Display>(act: &impl Fn() -> Result<(), E>) -> c_int {
    // SAFETY: only the tracer of this process changes.
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) } == -1 {
        return NOT_TRACED;
    }
    // SAFETY: this process stops until its parent lets it go on.
    unsafe { libc::raise(libc::SIGSTOP) };
    match act() {
        Ok(()) => FINISHED,
        Err(error) => {
            // Another thread may have held the lock of the standard streams when this process was forked.
            let text = std::format!("the child failed: {error}\n");
            // SAFETY: the bytes are there.
            unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
            FAILED
        }
    }
}

/// Stops the child before each system call, and does what `at_call` returns.
fn trace(child: libc::pid_t, at_call: &mut dyn FnMut(libc::pid_t, usize) -> Next) -> End {
    let mut status = wait(child);
    if libc::WIFEXITED(status) {
        assert_eq!(libc::WEXITSTATUS(status), NOT_TRACED);
        return End::NotTraced;
    }
    assert_eq!(libc::WSTOPSIG(status), libc::SIGSTOP);
    // The call takes a word.
    let options = c_long::from(libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL);
    // SAFETY: the child is ours, and it is stopped.
    let set = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, child, null_mut::<u8>(), options) };
    assert_ne!(set, -1, "{}", std::io::Error::last_os_error());
    // A call stops the child when it is entered and when it is left.
    for stop in 0.. {
        status = go_on(child);
        if libc::WIFEXITED(status) {
            assert_eq!(libc::WEXITSTATUS(status), FINISHED, "the child failed by itself");
            assert_ne!(stop, 0, "the child was never stopped");
            break;
        }
        assert!(libc::WIFSTOPPED(status), "the child was ended by another signal: {status:#x}");
        let stopped_by = libc::WSTOPSIG(status);
        assert_eq!(stopped_by, libc::SIGTRAP | 0x80, "a signal other than that of a system call");
        if stop % 2 == 1 {
            continue;
        }
        match at_call(child, stop / 2) {
            Next::GoOn => {}
            Next::Kill => return kill(child),
        }
    }
    End::Finished
}

fn kill(child: libc::pid_t) -> End {
    // SAFETY: the child is ours.
    unsafe { libc::kill(child, libc::SIGKILL) };
    let status = wait(child);
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL, "{status:#x}");
    End::Killed
}

/// Resumes the child until it enters or leaves its next system call, or ends.
fn go_on(child: libc::pid_t) -> c_int {
    // SAFETY: the child is ours, and it is stopped.
    let went =
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, child, null_mut::<u8>(), null_mut::<u8>()) };
    assert_ne!(went, -1, "{}", std::io::Error::last_os_error());
    wait(child)
}

fn wait(child: libc::pid_t) -> c_int {
    let mut status = 0;
    // SAFETY: the child is ours, and so is the status.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "{}", std::io::Error::last_os_error());
    status
}
