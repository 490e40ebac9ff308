//! The number of instructions that the hot path executes, counted by single steps on the real CPU.
//!
//! libpmem executes 48 for `pmem_persist` of 8 bytes and 29 for `pmem_flush` (callgrind, gcc -O2). Here at most 13 and
//! 12 are allowed for a range within one line, and 11 for a persist of a word, whose size the compiler knows. These are
//! the numbers of the instructions on the paths in `tests/asm`. A compiler that needs more has made the hot path
//! longer, which is to be seen, whichever release it is. The count is that of optimised code, so a debug build does not
//! count.

#![cfg(all(
    target_os = "linux",
    target_arch = "x86_64",
    not(debug_assertions),
    not(any(miri, cachemaint_loom))
))]
#![expect(unsafe_code, reason = "a child is traced, step by step")]

mod skip;

use cachemaint::{Cache, Point};
use skip::skip;
use std::hint::black_box;

/// Calls `pmem_persist`'s counterpart, out of line as that is.
#[inline(never)]
fn persist(cache: Cache, start: *const u8, len: usize) {
    // SAFETY: the only caller passes a range of its own.
    unsafe { cache.writeback_range(start, len) };
}

/// Persists a word, whose size the compiler knows.
#[inline(never)]
fn persist_word(cache: Cache, start: *const u8, _: usize) {
    // SAFETY: the only caller passes a range of its own, of at least 8 bytes.
    unsafe { cache.writeback_range(start, 8) };
}

/// Calls `pmem_flush`'s counterpart, out of line as that is.
#[inline(never)]
fn writeback_unfenced(cache: Cache, start: *const u8, len: usize) {
    // SAFETY: the only caller passes a range of its own, and fences.
    unsafe { cache.writeback_range_unfenced(start, len) };
}

/// Exit code of a child that may not be traced.
const NOT_TRACED: i32 = 77;

type Call = fn(Cache, *const u8, usize);

/// Executes the call in a traced child, and counts the steps from its first instruction to the one
/// after its return.
fn count(call: Call, cache: Cache, bytes: &[u8]) -> Option<usize> {
    let entry = call as usize as u64;
    // SAFETY: the child calls nothing that needs another thread, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: asks to be traced by the parent.
        if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0 {
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(NOT_TRACED) };
        }
        // SAFETY: stops, so that the parent can begin to step.
        unsafe { libc::raise(libc::SIGSTOP) };
        black_box(call)(black_box(cache), black_box(bytes.as_ptr()), black_box(bytes.len()));
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    let steps = steps_within(child, entry);
    // SAFETY: the child is ours; it may have ended already.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // SAFETY: collects the child.
    unsafe { libc::waitpid(child, core::ptr::null_mut(), 0) };
    steps
}

/// `None` if nothing may be traced here.
fn steps_within(child: libc::pid_t, entry: u64) -> Option<usize> {
    if !wait_for_stop(child) {
        return None;
    }
    let mut return_to = None;
    let mut steps = 0;
    loop {
        let registers = registers(child);
        match return_to {
            None if registers.rip == entry => return_to = Some(peek(child, registers.rsp)),
            Some(address) if registers.rip == address => return Some(steps),
            _ => {}
        }
        steps += usize::from(return_to.is_some());
        // SAFETY: the child is stopped.
        unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child, 0, 0) };
        assert!(wait_for_stop(child), "the child ended before the call returned");
    }
}

fn wait_for_stop(child: libc::pid_t) -> bool {
    let mut status = 0;
    // SAFETY: the status is ours to write.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    waited == child && libc::WIFSTOPPED(status)
}

fn registers(child: libc::pid_t) -> libc::user_regs_struct {
    // SAFETY: the structure is made of integers.
    let mut registers: libc::user_regs_struct = unsafe { core::mem::zeroed() };
    // SAFETY: the child is stopped and the structure is what the request writes.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETREGS, child, 0, &raw mut registers) };
    assert_eq!(result, 0, "PTRACE_GETREGS");
    registers
}

fn peek(child: libc::pid_t, address: u64) -> u64 {
    // SAFETY: the child is stopped; an address that it does not have is an error.
    let word = unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, child, address, 0) };
    word as u64
}

#[repr(align(64))]
struct Line([u8; 64]);

#[test]
fn a_range_within_a_line_takes_few_instructions() {
    let cache = Cache::host().unwrap().to(Point::Persistence).unwrap();
    if cache.writeback_choice().instruction.name != "clwb" {
        skip("instruction_count", "the CPU has no clwb, whose path is counted");
        return;
    }
    let line = Line([7; 64]);
    for len in [1, 8, 64] {
        let bytes = &line.0[..len];
        let (Some(fenced), Some(unfenced)) =
            (count(persist, cache, bytes), count(writeback_unfenced, cache, bytes))
        else {
            skip("instruction_count", "no process may be traced here");
            return;
        };
        println!("{len} bytes: persist {fenced}, write-back without fence {unfenced} instructions");
        // The clwb, the sfence and the return are executed at least; a count below would be wrong.
        assert!((3..=13).contains(&fenced), "persist of {len} bytes: {fenced}");
        assert!((2..=12).contains(&unfenced), "write-back of {len} bytes: {unfenced}");
    }
    let word = count(persist_word, cache, &line.0[..8]).expect("a process was traced before");
    println!("a word: persist {word} instructions");
    assert!((3..=11).contains(&word), "persist of a word: {word}");
}
