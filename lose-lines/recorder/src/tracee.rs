//! Processes under ptrace(2): their stops, registers and memory.
//!
//! A seccomp filter stops them only at the calls of [`super::calls`], so that all others run at full speed.

#![expect(unsafe_code, reason = "ptrace, prctl and process_vm_readv have no safe interface")]

use core::ffi::{c_char, c_long};
use core::{mem, ptr};
use std::collections::HashMap;
use std::env;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use libc::{c_int, iovec, sock_filter, sock_fprog};

/// A thread. The kernel's calls take it as a process.
pub(super) type Thread = i32;

/// The type of a request in the C library's header.
#[cfg(target_env = "musl")]
type Request = c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

/// What happened to a thread.
#[derive(Debug)]
pub(super) enum Stop {
    Ended(ExitStatus),
    /// It is about to make a call of the filter.
    Call,
    /// Its call has ended.
    Returned,
    /// A program was started in it.
    Started,
    /// Something else that ptrace(2) reports.
    Event,
    /// A signal for it.
    Signal(c_int),
}

/// Waits for any thread that this thread traces. Returns nothing if there is none.
pub(super) fn wait() -> io::Result<Option<(Thread, Stop)>> {
    let mut status = 0;
    // SAFETY: the status is valid for the call.
    let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
    if thread < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(None),
            Some(libc::EINTR) => wait(),
            _ => Err(error),
        };
    }
    let stop = if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
        Stop::Ended(ExitStatus::from_raw(status))
    } else {
        match (libc::WSTOPSIG(status), status >> 16) {
            (_, libc::PTRACE_EVENT_SECCOMP) => Stop::Call,
            (_, libc::PTRACE_EVENT_EXEC) => Stop::Started,
            (signal, 0) if signal == libc::SIGTRAP | 0x80 => Stop::Returned,
            (signal, 0) => Stop::Signal(signal),
            _ => Stop::Event,
        }
    };
    Ok(Some((thread, stop)))
}

/// Strings for execve(2).
struct Strings {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers are those of the strings, which nothing changes.
unsafe impl Send for Strings {}
// SAFETY: as above.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(strings: impl Iterator<Item = Vec<u8>>) -> io::Result<Self> {
        let strings: Vec<CString> = strings.map(CString::new).collect::<Result<_, _>>()?;
        let pointers = strings.iter().map(|string| string.as_ptr());
        let pointers = pointers.chain([ptr::null()]).collect();
        Ok(Self { _strings: strings, pointers })
    }

    fn get(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// Starts a program under the filter, with these arguments. Its first stop is a SIGTRAP. If it is not executed, it ends with
/// the error's number.
pub(super) fn start(
    mut command: Command,
    arguments: &[OsString],
    mut filter: Vec<sock_filter>,
) -> io::Result<Child> {
    let len = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let mut environment: HashMap<OsString, OsString> = env::vars_os().collect();
    let changed = command.get_envs().filter_map(|(name, value)| Some((name.into(), value?.into())));
    environment.extend(changed);
    let environment = Strings::new(
        environment
            .into_iter()
            .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()),
    )?;
    let arguments = Strings::new(arguments.iter().map(|word| word.as_bytes().to_vec()))?;
    let program = CString::new(command.get_program().as_bytes())?;
    // The filter and the strings move into the closure, where they stay.
    let execute = move || {
        let filter = sock_fprog { len, filter: filter.as_mut_ptr() };
        let none: *mut libc::c_void = ptr::null_mut();
        // SAFETY: the call takes no memory.
        checked(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, none, none) })?;
        // SAFETY: the call takes no memory.
        checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
        // SAFETY: the filter is valid for the call.
        let set = unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter)
        };
        checked(set.into())?;
        // The standard library would report a failure by a write, which the filter stops: the parent waits for it.
        // SAFETY: the strings are valid for the call, and both lists end with a null pointer.
        unsafe { libc::execvpe(program.as_ptr(), arguments.get(), environment.get()) };
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
        // SAFETY: the call ends the process.
        unsafe { libc::_exit(error) }
    };
    // SAFETY: the closure makes only system calls, which are allowed between fork(2) and execve(2).
    unsafe { command.pre_exec(execute) };
    command.spawn()
}

fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes a request. A thread that was killed meanwhile is no error: its end is the next stop.
fn request(what: Request, thread: Thread, data: usize) {
    let none: *mut libc::c_void = ptr::null_mut();
    // SAFETY: these requests take numbers.
    drop(checked(unsafe { libc::ptrace(what, thread, none, data) }));
}

/// Asks for the stops of new threads and processes too. They are killed if this thread ends.
pub(super) fn follow(thread: Thread) {
    let options = libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL
        | libc::PTRACE_O_TRACESYSGOOD;
    request(libc::PTRACE_SETOPTIONS, thread, usize::try_from(options).unwrap_or(0));
}

/// Lets a thread run on, with a signal unless it is 0.
pub(super) fn resume(thread: Thread, signal: c_int) {
    request(libc::PTRACE_CONT, thread, usize::try_from(signal).unwrap_or(0));
}

/// Lets a thread run on to the end of its call.
pub(super) fn resume_to_return(thread: Thread) {
    request(libc::PTRACE_SYSCALL, thread, 0);
}

/// Kills a process by one of its threads.
pub(super) fn kill(thread: Thread) {
    // SAFETY: the call takes no memory.
    drop(checked(unsafe { libc::kill(thread, libc::SIGKILL) }.into()));
}

/// The registers of a stopped thread.
#[derive(Clone, Copy)]
pub(super) struct Registers(libc::user_regs_struct);

/// `NT_PRSTATUS`: the general registers (elf.h).
const GENERAL: c_int = 1;

impl Registers {
    pub(super) fn of(thread: Thread) -> io::Result<Self> {
        // SAFETY: the structure has only integers.
        let mut registers: libc::user_regs_struct = unsafe { mem::zeroed() };
        let len = size_of_val(&registers);
        let mut part = iovec { iov_base: (&raw mut registers).cast(), iov_len: len };
        // SAFETY: the kernel fills at most the structure.
        let read = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, thread, GENERAL, &raw mut part) };
        checked(read).map(|_done| Self(registers))
    }

    fn set(&mut self, thread: Thread) -> io::Result<()> {
        let len = size_of_val(&self.0);
        let mut part = iovec { iov_base: (&raw mut self.0).cast(), iov_len: len };
        // SAFETY: the kernel reads only the structure.
        let written =
            unsafe { libc::ptrace(libc::PTRACE_SETREGSET, thread, GENERAL, &raw mut part) };
        checked(written).map(drop)
    }
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    pub(super) fn call(&self) -> c_long {
        self.0.orig_rax.cast_signed()
    }

    pub(super) fn arguments(&self) -> [u64; 6] {
        let registers = &self.0;
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9]
    }

    pub(super) fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }

    /// Returns the addresses of instruction, stack and frame, and no return address: the stack has it.
    pub(super) fn frame(&self) -> (u64, u64, u64, Option<u64>) {
        (self.0.rip, self.0.rsp, self.0.rbp, None)
    }

    /// Makes a call that is about to start fail with an error.
    pub(super) fn refuse(mut self, thread: Thread, error: c_int) -> io::Result<()> {
        (self.0.orig_rax, self.0.rax) = (u64::MAX, i64::from(-error).cast_unsigned());
        self.set(thread)
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    pub(super) fn call(&self) -> c_long {
        self.0.regs[8].cast_signed()
    }

    pub(super) fn arguments(&self) -> [u64; 6] {
        let mut arguments = [0; 6];
        arguments.copy_from_slice(&self.0.regs[..6]);
        arguments
    }

    pub(super) fn result(&self) -> i64 {
        self.0.regs[0].cast_signed()
    }

    /// Returns the addresses of instruction, stack and frame, and the return address.
    pub(super) fn frame(&self) -> (u64, u64, u64, Option<u64>) {
        (self.0.pc, self.0.sp, self.0.regs[29], Some(self.0.regs[30]))
    }

    /// Makes a call that is about to start fail with an error.
    pub(super) fn refuse(mut self, thread: Thread, error: c_int) -> io::Result<()> {
        /// `NT_ARM_SYSTEM_CALL`: the number of the call (elf.h).
        const CALL: c_int = 0x404;
        let mut none: c_int = -1;
        let mut part = iovec { iov_base: (&raw mut none).cast(), iov_len: size_of::<c_int>() };
        // SAFETY: the kernel reads only the number.
        let written = unsafe { libc::ptrace(libc::PTRACE_SETREGSET, thread, CALL, &raw mut part) };
        checked(written)?;
        self.0.regs[0] = i64::from(-error).cast_unsigned();
        self.set(thread)
    }
}

/// Reads memory of a thread, up to the first byte that is not there, or as much as one call transfers.
pub(super) fn memory(thread: Thread, at: u64, len: usize) -> Vec<u8> {
    /// `MAX_RW_COUNT` of the kernel.
    const LIMIT: usize = 0x7fff_f000;
    let len = len.min(LIMIT);
    let mut bytes = vec![0; len];
    let local = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
    let address = usize::try_from(at).unwrap_or(0);
    let remote = iovec { iov_base: ptr::without_provenance_mut(address), iov_len: len };
    // SAFETY: the kernel writes only to the vector; the other address belongs to the other process.
    let read =
        unsafe { libc::process_vm_readv(thread, &raw const local, 1, &raw const remote, 1, 0) };
    bytes.truncate(usize::try_from(read).unwrap_or(0));
    bytes
}

/// Reads a number of 64 bits.
pub(super) fn word(thread: Thread, at: u64) -> Option<u64> {
    memory(thread, at, 8).try_into().ok().map(u64::from_le_bytes)
}

/// Reads a string that ends with a zero.
pub(super) fn string(thread: Thread, at: u64) -> Vec<u8> {
    const LIMIT: usize = 4096;
    let mut string = Vec::new();
    while string.len() < LIMIT {
        let here = at + string.len() as u64;
        // Up to the end of the page: the next one may not be there.
        let part = memory(thread, here, LIMIT - usize::try_from(here % 4096).unwrap_or(0));
        if let Some(end) = part.iter().position(|byte| *byte == 0) {
            string.extend(&part[..end]);
            break;
        }
        if part.is_empty() {
            break;
        }
        string.extend(part);
    }
    string
}

/// Reads the parts of a vector of buffers (readv(2)).
pub(super) fn gather(thread: Thread, at: u64, count: u64) -> Vec<u8> {
    let count = usize::try_from(count).unwrap_or(0).min(1024);
    let vector = memory(thread, at, count * 16);
    let parts = vector.chunks_exact(16).map(|part| {
        let number = |from: usize| part[from..from + 8].try_into().map_or(0, u64::from_le_bytes);
        memory(thread, number(0), usize::try_from(number(8)).unwrap_or(0))
    });
    parts.flatten().collect()
}
